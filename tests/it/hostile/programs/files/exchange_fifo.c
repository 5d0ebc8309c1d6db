/*
 * does: exchanges a file with a pipe and a device, so that the keeper waits for ever
 * while: copy-out /race/file
 * time: 120
 */
int main(void) {
    mkdir("/race", 0755);
    close(open("/race/file", O_CREAT | O_RDWR, 0644));
    mkfifo("/race/pipe", 0644);
    symlink("/dev/ptmx", "/race/terminal");
    double end = seconds() + 3;
    while (seconds() < end) {
        syscall(SYS_renameat2, AT_FDCWD, "/race/file", AT_FDCWD, "/race/pipe", 2);
        syscall(SYS_renameat2, AT_FDCWD, "/race/file", AT_FDCWD, "/race/terminal", 2);
    }
    return 0;
}
