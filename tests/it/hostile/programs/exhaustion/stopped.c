/*
 * does: stops itself and its children
 * time: 2
 * ends: timed-out
 */
int main(void) {
    for (int i = 0; i < 5; i++) if (fork() == 0) for (;;) raise(SIGSTOP);
    for (;;) raise(SIGSTOP);
}
