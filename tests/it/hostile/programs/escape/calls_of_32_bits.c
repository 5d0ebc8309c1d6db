/*
 * does: makes 32-bit system calls, whose numbers mean other things to a filter
 */
int main(void) {
#ifdef __x86_64__
    /* getpid, mount, unshare, reboot, keyctl, bpf */
    int calls[] = {20, 21, 310, 88, 288, 357};
    for (int i = 0; i < 6; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            int result;
            __asm__ volatile("int $0x80" : "=a"(result) : "a"(calls[i]), "b"(0), "c"(0), "d"(0), "S"(0), "D"(0) : "memory", "r8", "r9", "r10", "r11");
            _exit(result == -EPERM || result == -ENOSYS ? 0 : 1);
        }
        int status;
        waitpid(pid, &status, 0);
        /* A kernel without them ends the program. */
        if (!(WIFEXITED(status) && WEXITSTATUS(status) == 0) && !WIFSIGNALED(status)) escaped("32-bit call %d", calls[i]);
    }
#endif
    return done();
}
