/*
 * does: exchanges a file with links to memory, devices and settings while the keeper writes it
 * while: copy-in /race/file
 * time: 120
 */
int main(void) {
    const char *goals[] = {"/proc/self/mem", "/proc/sysrq-trigger", "/dev/stdin", "/proc/1/mem", "/dev/ptmx", "/proc/sys/kernel/core_pattern", "/proc/self/fd/1"};
    char path[64];
    mkdir("/race", 0755);
    for (int i = 0; i < 7; i++) {
        snprintf(path, sizeof path, "/race/link%d", i);
        symlink(goals[i], path);
    }
    mkfifo("/race/pipe", 0644);
    double end = seconds() + 3;
    for (int i = 0; seconds() < end; i = (i + 1) % 7) {
        snprintf(path, sizeof path, "/race/link%d", i);
        close(open("/race/file", O_CREAT | O_RDWR | O_NOFOLLOW | O_NONBLOCK, 0644));
        syscall(SYS_renameat2, AT_FDCWD, "/race/file", AT_FDCWD, path, 2);
        syscall(SYS_renameat2, AT_FDCWD, "/race/file", AT_FDCWD, "/race/pipe", 2);
        syscall(SYS_renameat2, AT_FDCWD, "/race/file", AT_FDCWD, "/race/pipe", 2);
        syscall(SYS_renameat2, AT_FDCWD, "/race/file", AT_FDCWD, path, 2);
    }
    return 0;
}
