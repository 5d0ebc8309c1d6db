/*
 * does: makes thousands of orphans that end at once, which pid 1 must reap
 * limits: pids=64
 * may hit: pids memory
 * then: works
 */
int main(void) {
    for (int n = 0; n < 3000; n++) {
        pid_t pid = fork();
        if (pid == 0) {
            if (fork() == 0) _exit(0);
            _exit(0);
        }
        if (pid > 0) waitpid(pid, NULL, 0); else nap(1);
    }
    /* All were reaped: there is room again. */
    for (int i = 0; i < 500; i++) {
        pid_t pids[40], n = 0;
        while (n < 40 && (pids[n] = fork()) != -1) { if (pids[n] == 0) { pause(); _exit(0); } n++; }
        for (int k = 0; k < n; k++) kill(pids[k], SIGKILL), waitpid(pids[k], NULL, 0);
        if (n == 40) return 0;
        nap(20);
    }
    return 2;
}
