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
            nap(50000);
            _exit(0);
        }
        nap(10);
    }
    /* The kernel takes one of them; who only watches takes all, in a moment. */
    int status;
    while (wait(&status) > 0) if (WIFSIGNALED(status)) break;
    return 0;
}
