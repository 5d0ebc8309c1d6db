/*
 * does: makes as many watches, timers, events and locks as it can
 * limits: memory=128M
 * ends: code 0 or signal 9
 * may hit: memory
 */
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>
int main(void) {
    int n = 0, watches = 0;
    while (n < 3000 && inotify_init1(0) >= 0) n++;
    if (n >= 3000) escaped("%d instances of inotify", n);
    int one = inotify_init1(0);
    char path[64];
    for (int i = 0; i < 3000; i++) {
        snprintf(path, sizeof path, "/tmp/w%d", i);
        mkdir(path, 0755);
        if (inotify_add_watch(one, path, IN_ALL_EVENTS) >= 0) watches++;
    }
    for (int i = 0; i < 20000; i++) {
        timer_t timer;
        if (timer_create(CLOCK_MONOTONIC, NULL, &timer)) break;
    }
    for (int i = 0; i < 20000; i++) if (eventfd(0, 0) < 0 || timerfd_create(CLOCK_MONOTONIC, 0) < 0) break;
    for (int i = 0; i < 500000; i++) {
        union sigval value = {.sival_int = i};
        sigset_t rt;
        sigemptyset(&rt), sigaddset(&rt, SIGRTMIN), sigprocmask(SIG_BLOCK, &rt, NULL);
        if (sigqueue(getpid(), SIGRTMIN, value)) break;
    }
    int file = open("/tmp/locks", O_RDWR | O_CREAT, 0600);
    for (int i = 0; i < 100000; i++) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = i * 2, .l_len = 1};
        if (fcntl(file, F_SETLK, &lock)) break;
    }
    return done();
}
