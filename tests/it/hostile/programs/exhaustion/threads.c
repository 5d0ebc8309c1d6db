/*
 * does: starts threads until it is refused
 * limits: pids=128
 * hits: pids
 * rootless hits: none
 * why: refused forks are not counted
 */
static void *sleeper(void *unused) { for (;;) pause(); }
int main(void) {
    pthread_attr_t attr;
    pthread_t thread;
    int n = 0;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 65536);
    while (n < 20000 && pthread_create(&thread, &attr, sleeper, NULL) == 0) n++;
    if (n >= 128) escaped("%d threads", n);
    return done();
}
