/*
 * does: has a child killed for memory and ends well itself
 * limits: memory=64M
 * hits: memory
 * rootless ends: signal 9
 * why: who only watches ends all of it
 * time: 120
 */
int main(void) {
    if (fork() == 0) {
        taken(512 << 20);
        pause();
    }
    wait(NULL);
    return 0;
}
