/*
 * does: leaves daemons behind, which hold its output and ignore signals, until its time is up
 * time: 2
 * ends: timed-out
 */
int main(void) {
    for (int i = 1; i < 32; i++) signal(i, SIG_IGN);
    for (int i = 0; i < 10; i++) {
        if (fork() == 0) {
            setsid();
            if (fork() == 0) {
                prctl(PR_SET_NAME, "kworker/0:1");
                for (;;) pause();
            }
            _exit(0);
        }
    }
    for (;;) pause();
}
