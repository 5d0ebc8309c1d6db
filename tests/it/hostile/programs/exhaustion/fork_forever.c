/*
 * does: forks without end, every child too, each in a session of its own
 * limits: pids=100
 * time: 3
 * ends: timed-out or signal 9
 * may hit: memory
 * hits: pids
 * rootless hits: none
 * why: refused forks are not counted
 */
int main(void) {
    for (;;) if (fork() == 0) setsid();
}
