/*
 * does: writes what would have the kernel run a program or change the machine
 */
int main(void) {
    const char *files[] = {"/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/hotplug",
        "/proc/sys/kernel/hostname", "/proc/sys/kernel/domainname", "/proc/sys/kernel/poweroff_cmd", "/proc/sys/kernel/sysrq", "/proc/sysrq-trigger",
        "/proc/sys/fs/binfmt_misc/register", "/proc/sys/vm/overcommit_memory", "/proc/sys/vm/drop_caches",
        "/proc/sys/kernel/ns_last_pid", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv4/conf/all/route_localnet",
        "/proc/sys/kernel/sem", "/proc/sys/kernel/shmmax", "/proc/sys/user/max_user_namespaces", "/proc/sys/kernel/pid_max",
        "/proc/irq/0/smp_affinity", "/proc/irq/default_smp_affinity", "/proc/mtrr", "/proc/acpi/wakeup", "/proc/scsi/scsi",
        "/proc/bus/pci/00/00.0", "/proc/fs/nfsd/portlist", "/proc/timer_stats", "/proc/sched_debug", "/proc/kcore",
        "/sys/kernel/uevent_helper", "/sys/kernel/kexec_crash_size", "/sys/power/state", "/sys/power/disk",
        "/sys/kernel/mm/transparent_hugepage/enabled", "/sys/class/net/lo/mtu", "/sys/class/net/lo/uevent", "/sys/block", "/sys/bus/pci/rescan",
        "/sys/module/kernel/parameters/panic", "/sys/fs/cgroup/cgroup.procs", "/sys/firmware/efi/vars"};
    char path[64];
    for (int i = 0; i < sizeof files / sizeof *files; i++) {
        chmod(files[i], 0666);
        if (open(files[i], O_WRONLY | O_TRUNC) >= 0) {
            struct stat at, null;
            /* A mask is /dev/null, and may be written. */
            stat(files[i], &at), stat("/dev/null", &null);
            if (at.st_rdev != null.st_rdev) escaped("%s can be written", files[i]);
        }
        int handle = open(files[i], O_PATH);
        snprintf(path, sizeof path, "/proc/self/fd/%d", handle);
        int file = handle < 0 ? -1 : open(path, O_RDWR);
        struct stat at;
        if (file >= 0 && fstat(file, &at) == 0 && !S_ISCHR(at.st_mode)) escaped("%s by its handle", files[i]);
    }
    return done();
}
