/*
 * does: makes nodes of the machine's disks, memory and log, and reads them
 */
static void node(const char *name, int kind, int major, int minor) {
    char path[200], text[16];
    const char *places[] = {"/tmp", "/dev", "/dev/shm", "/hostile"};
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/%s", places[i], name);
        if (mknod(path, kind | 0666, makedev(major, minor))) continue;
        int file = open(path, O_RDWR | O_NONBLOCK);
        if (file < 0) file = open(path, O_RDONLY | O_NONBLOCK);
        struct stat at;
        /* An ordinary user's sandbox pretends, with a file that is none. */
        if (file >= 0 && fstat(file, &at) == 0 && !S_ISREG(at.st_mode)) escaped("%s is open", path);
        unlink(path);
    }
}
int main(void) {
    FILE *disks = fopen("/proc/partitions", "r");
    char line[200], name[100];
    int major, minor, n = 0;
    while (disks && fgets(line, sizeof line, disks))
        if (sscanf(line, "%d %d %*s %99s", &major, &minor, name) == 3 && n++ < 20) node(name, S_IFBLK, major, minor);
    node("sda", S_IFBLK, 8, 0);
    node("vda", S_IFBLK, 254, 0);
    node("loop0", S_IFBLK, 7, 0);
    node("mem", S_IFCHR, 1, 1);
    node("port", S_IFCHR, 1, 4);
    node("kmsg", S_IFCHR, 1, 11);
    node("fuse", S_IFCHR, 10, 229);
    node("kvm", S_IFCHR, 10, 232);
    node("loop-control", S_IFCHR, 10, 237);
    node("vhost-net", S_IFCHR, 10, 238);
    node("console", S_IFCHR, 5, 1);
    node("tty1", S_IFCHR, 4, 1);
    node("pts0", S_IFCHR, 136, 0);
    return done();
}
