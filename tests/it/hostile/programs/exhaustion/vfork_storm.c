/*
 * does: starts short-lived processes as fast as it can
 * limits: pids=64
 * time: 3
 * ends: timed-out or signal 9
 * may hit: pids memory
 */
int main(void) {
    for (int i = 0; i < 8; i++) if (fork() == 0) break;
    for (;;) {
        pid_t pid = vfork();
        if (pid == 0) _exit(0);
        if (pid > 0) waitpid(pid, NULL, 0);
    }
}
