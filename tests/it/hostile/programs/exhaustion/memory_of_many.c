/*
 * does: takes memory in many processes, each of which has little
 * limits: memory=64M pids=100
 * hits: memory
 * ends: code 0 or signal 9
 * time: 120
 */
int main(void) {
    for (int i = 0; i < 60; i++) {
        if (fork() == 0) {
            taken(4 << 20);
            nap(8000);
            _exit(0);
        }
        nap(10);
    }
    while (wait(NULL) > 0) {}
    return 0;
}
