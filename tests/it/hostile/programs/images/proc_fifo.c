/*
 * does: is an image whose /proc is a pipe
 * image: proc-fifo
 * ends: refused or cannot start
 */
int main(void) {
    struct stat at;
    if (stat("/dev/null", &at) || at.st_rdev != makedev(1, 3)) escaped("/dev/null is another");
    if (lstat("/dev/pts", &at) || !S_ISDIR(at.st_mode)) escaped("/dev/pts is no directory");
    if (lstat("/dev/shm", &at) || !S_ISDIR(at.st_mode)) escaped("/dev/shm is no directory");
    if (lstat("/proc/self", &at) || !S_ISLNK(at.st_mode)) escaped("/proc is not the kernel's");
    if (lstat("/sys/kernel", &at)) { FILE *kinds = fopen("/proc/mounts", "r"); char line[300]; while (fgets(line, sizeof line, kinds)) if (strstr(line, " /sys ")) escaped("/sys is not the kernel's"); }
    refused("the secret", show(told("CANARY")), 0, 0);
    return done();
}
