/*
 * does: fills /dev/shm and shared memory segments
 * limits: memory=64M
 * ends: signal 9
 * hits: memory
 */
#include <sys/ipc.h>
#include <sys/shm.h>
int main(void) {
    static char block[1 << 20];
    int file = open("/dev/shm/fill", O_RDWR | O_CREAT, 0600), n = 0;
    while (n < 200 && write(file, block, sizeof block) > 0) n++;
    if (n >= 64) escaped("%d MiB in /dev/shm", n);
    unlink("/dev/shm/fill");
    close(file);
    int id = shmget(IPC_PRIVATE, 1UL << 30, IPC_CREAT | 0600);
    char *at = id < 0 ? (void *)-1 : shmat(id, NULL, 0);
    if (at != (void *)-1) memset(at, 1, 1UL << 30);
    /* Who only watches needs a moment. */
    nap(20000);
    escaped("a GiB of shared memory");
    return done();
}
