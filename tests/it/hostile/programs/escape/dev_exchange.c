/*
 * does: puts links in the place of /dev/null, /dev/pts and the like while commands start (CVE-2025-31133, -52565)
 * while: exec
 * time: 120
 */
int main(void) {
    const char *names[] = {"/dev/null", "/dev/pts/0", "/dev/pts/1", "/dev/pts", "/dev/shm", "/dev/console", "/dev/ptmx", "/dev", "/proc", "/sys"};
    symlink("/proc/sysrq-trigger", "/tmp/link");
    double end = seconds() + 2;
    while (seconds() < end) {
        for (int i = 0; i < 10; i++) {
            refused("rename over", rename("/tmp/link", names[i]), 0, 0);
            refused("exchange", syscall(SYS_renameat2, AT_FDCWD, "/tmp/link", AT_FDCWD, names[i], 2), 0, 0);
            if (i != 4) refused("unlink", unlink(names[i]), 0, 0);
            refused("rmdir", rmdir(names[i]), 0, 0);
        }
        refused("a node in /dev", mknod("/dev/x", S_IFREG | 0600, 0), 0, 0);
        refused("a link in /dev", symlink("/etc", "/dev/y"), 0, 0);
        refused("a link in /dev/pts", symlink("/etc", "/dev/pts/9"), 0, 0);
    }
    return done();
}
