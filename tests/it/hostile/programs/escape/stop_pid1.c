/*
 * does: stops, kills and floods pid 1 with signals
 * then: works
 * time: 120
 */
int main(void) {
    for (int round = 0; round < 200; round++)
        for (int signal = 1; signal <= 64; signal++) {
            kill(1, signal);
            union sigval value = {.sival_int = 7};
            sigqueue(1, signal, value);
            syscall(SYS_tgkill, 1, 1, signal);
        }
    for (int n = 0; n < 20000; n++) kill(1, SIGCHLD);
    return 0;
}
