/*
 * does: plays with the pipes that its keeper reads: sizes, flags, owners, junk, reading back
 */
int main(void) {
    char text[4096];
    for (int fd = 0; fd < 3; fd++) {
        fcntl(fd, F_SETFL, O_NONBLOCK | O_APPEND | O_ASYNC | O_DIRECT);
        fcntl(fd, F_SETPIPE_SZ, 4096);
        fcntl(fd, F_SETPIPE_SZ, 1 << 20);
        fchmod(fd, 0);
        fchown(fd, 0, 0);
        ftruncate(fd, 0);
        lseek(fd, 0, SEEK_SET);
        fcntl(fd, F_SETLEASE, F_WRLCK);
        flock(fd, 2 | 4);
        snprintf(text, sizeof text, "/proc/self/fd/%d", fd);
        int again = open(text, O_RDWR | O_NONBLOCK);
        if (again >= 0) while (read(again, text, sizeof text) > 0) {}
        struct iovec part = {text, sizeof text};
        vmsplice(fd, &part, 1, SPLICE_F_NONBLOCK);
        shutdown(fd, 2);
    }
    return 0;
}
