/*
 * does: keeps children in the stop of a tracer that does not wait
 * time: 2
 * ends: timed-out
 */
int main(void) {
    for (int i = 0; i < 5; i++) {
        pid_t pid = fork();
        if (pid == 0) for (;;) nap(10);
        ptrace(PTRACE_SEIZE, pid, 0, 0x100000);
        ptrace(PTRACE_INTERRUPT, pid, 0, 0);
        kill(pid, SIGKILL - 1);
    }
    if (fork() == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGTRAP);
    }
    for (;;) pause();
}
