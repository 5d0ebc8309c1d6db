/*
 * does: leaves ended children unreaped until no more can be started
 * limits: pids=64
 * hits: pids
 * rootless hits: none
 * why: refused forks are not counted
 * then: works
 */
int main(void) {
    int n = 0;
    for (;; n++) {
        pid_t pid = fork();
        if (pid == 0) _exit(0);
        if (pid < 0) break;
    }
    if (n >= 64) escaped("%d zombies", n);
    return done();
}
