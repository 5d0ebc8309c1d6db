/*
 * does: links to what is not its own: programs of the machine, files of the kernel
 */
int main(void) {
    refused("a program", link("/usr/bin/env", "/tmp/env"), EXDEV, 0);
    refused("a file of /proc", link("/proc/self/status", "/tmp/status"), EXDEV, EPERM);
    refused("a descriptor", linkat(AT_FDCWD, "/proc/self/fd/0", AT_FDCWD, "/tmp/null", AT_SYMLINK_FOLLOW), EXDEV, EPERM);
    refused("a program of the machine", open("/usr/bin/env", O_WRONLY), 0, 0);
    refused("a new one", open("/usr/bin/new", O_CREAT | O_WRONLY, 0755), 0, 0);
    refused("its mode", chmod("/usr/bin/env", 04755), 0, 0);
    refused("its time", utimensat(AT_FDCWD, "/usr/bin/env", NULL, 0), 0, 0);
    refused("its owner", chown("/usr/bin/env", 0, 0), 0, 0);
    return done();
}
