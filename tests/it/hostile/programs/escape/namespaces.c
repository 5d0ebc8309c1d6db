/*
 * does: makes and enters namespaces, to have all capabilities in them
 */
static int child(void *unused) { return 0; }
int main(void) {
    int flags[] = {CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWIPC, CLONE_NEWUTS, CLONE_NEWCGROUP,
        CLONE_NEWUSER | CLONE_NEWNS, 0x80};
    static char stack[65536];
    for (int i = 0; i < sizeof flags / sizeof *flags; i++) {
        refused("unshare", unshare(flags[i]), EPERM, 0);
        if (flags[i] != 0x80) refused("clone", clone(child, stack + sizeof stack, flags[i] | SIGCHLD, NULL), EPERM, 0);
        struct { uint64_t flags, rest[10]; } how = {flags[i], {0, 0, 0, SIGCHLD}};
        long pid = syscall(435, &how, sizeof how);
        if (pid == 0) _exit(0);
        refused("clone3", pid, ENOSYS, 0);
    }
    const char *kinds[] = {"user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time"};
    char path[64];
    for (int i = 0; i < 8; i++) {
        for (int pid = 0; pid < 2; pid++) {
            snprintf(path, sizeof path, pid ? "/proc/1/ns/%s" : "/proc/self/ns/%s", kinds[i]);
            int ns = open(path, O_RDONLY);
            refused(path, setns(ns, 0), EPERM, 0);
            /* The user namespace it belongs to, and what is around that. */
            int owner = ns < 0 ? -1 : ioctl(ns, 0xb701);
            if (ns >= 0 && (pid || ioctl(ns, 0xb702) >= 0 || (owner >= 0 && ioctl(owner, 0xb702) >= 0))) escaped("%s shows what is around it", path);
        }
    }
    return done();
}
