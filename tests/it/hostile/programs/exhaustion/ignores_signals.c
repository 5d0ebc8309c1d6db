/*
 * does: ignores and blocks every signal
 * time: 2
 * ends: timed-out
 */
int main(void) {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    for (int i = 1; i <= 64; i++) signal(i, SIG_IGN);
    for (;;) sched_yield();
}
