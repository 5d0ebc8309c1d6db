/*
 * does: has the keeper read and take away a directory of twelve thousand files
 * then: copy-out /many any
 * then: works
 * time: 180
 */
int main(void) {
    char name[32];
    mkdir("/many", 0755);
    chdir("/many");
    for (int i = 0; i < 12000; i++) {
        snprintf(name, sizeof name, "%d", i);
        if (mknod(name, S_IFREG | 0644, 0)) return 2;
    }
    return 0;
}
