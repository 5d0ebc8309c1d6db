/*
 * does: makes every system call that no program here has a use for
 */
#define T(call, ...) refused(#call, syscall(SYS_##call, ##__VA_ARGS__), EPERM, ENOSYS)
int main(void) {
    static char zero[256];
    T(acct, 0); T(add_key, "user", "x", "y", 1, -3); T(bpf, 0, zero, 48); T(clock_adjtime, 0, zero);
    T(clock_settime, 0, zero); T(delete_module, "x", 0); T(fanotify_init, 0, 0); T(finit_module, 0, "", 0);
    T(fsconfig, 0, 0, 0, 0, 0); T(fsmount, 0, 0, 0); T(fsopen, "proc", 0); T(fspick, -100, "/", 0);
    T(get_mempolicy, 0, 0, 0, 0, 0); T(init_module, zero, 1, ""); T(io_uring_setup, 8, zero);
    T(io_uring_enter, 0, 0, 0, 0, 0, 0); T(io_uring_register, 0, 0, 0, 0); T(kcmp, 1, 1, 0, 0, 0);
    T(kexec_load, 0, 0, 0, 0); T(keyctl, 0, -3, 1); T(lookup_dcookie, 0, 0, 0); T(mbind, 0, 0, 0, 0, 0, 0);
    T(migrate_pages, 0, 0, 0, 0); T(mount, "x", "/", "tmpfs", 0, ""); T(move_mount, 0, "", 0, "", 0);
    T(move_pages, 0, 0, 0, 0, 0, 0); T(open_by_handle_at, 0, zero, 0); T(open_tree, -100, "/", 1);
    T(perf_event_open, zero, 0, -1, -1, 0); T(pivot_root, "/", "/"); T(quotactl, 0, "/", 0, 0);
    T(reboot, 0xfee1dead, 672274793, 0, 0); T(request_key, "user", "x", "", -3); T(set_mempolicy, 0, 0, 0);
    T(setdomainname, "x", 1); T(sethostname, "x", 1); T(setns, 0, 0); T(settimeofday, zero, zero);
    T(swapoff, "/tmp"); T(swapon, "/tmp", 0); T(syslog, 3, zero, 256); T(umount2, "/proc", 2);
    T(unshare, CLONE_NEWUSER); T(userfaultfd, 0); T(vhangup);
    int later[] = {429, 430, 431, 432, 433, 435, 438, 440, 442, 443, 450};
    for (int i = 0; i < sizeof later / sizeof *later; i++) refused("a later call", syscall(later[i], 0, 0, 0, 0, 0, 0), EPERM, ENOSYS);
#ifdef __x86_64__
    T(iopl, 3); T(ioperm, 0, 1024, 1); T(uselib, "/x"); T(sysfs, 3); T(ustat, 0, zero); T(_sysctl, zero);
    T(create_module, "x", 1); T(query_module, 0, 0, 0, 0, 0); T(get_kernel_syms, 0);
#endif
    return done();
}
