/*
 * does: keeps every CPU busy in many threads
 * time: 3
 * ends: timed-out
 */
static void *spin(void *unused) { for (volatile long n = 0;; n++) {} }
int main(void) {
    pthread_t thread;
    for (int i = 0; i < 50; i++) pthread_create(&thread, NULL, spin, NULL);
    spin(NULL);
}
