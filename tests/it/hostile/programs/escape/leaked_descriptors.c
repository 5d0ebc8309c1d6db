/*
 * does: looks for descriptors that lead out (CVE-2024-21626)
 */
int main(void) {
    struct stat at;
    for (int fd = 3; fd < 4096; fd++) {
        if (fcntl(fd, F_GETFD) != -1) escaped("descriptor %d is open", fd);
    }
    for (int fd = 0; fd < 3; fd++) {
        if (fstat(fd, &at) == 0 && S_ISDIR(at.st_mode)) escaped("descriptor %d is a directory", fd);
    }
    char path[64];
    for (int fd = 0; fd < 64; fd++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d/../../../..%s", fd, told("CANARY"));
        if (show(path) == 0) escaped("%s", path);
    }
    return done();
}
