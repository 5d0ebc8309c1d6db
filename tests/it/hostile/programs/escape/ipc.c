/*
 * does: looks for shared memory, semaphores and queues of others
 */
#include <mqueue.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
int main(void) {
    refused("shared memory by key", shmget(atoi(told("NEIGHBOUR_KEY")), 0, 0), ENOENT, 0);
    for (int id = 0; id < 5000; id++) {
        if (shmat(id, NULL, SHM_RDONLY) != (void *)-1) escaped("segment %d", id);
        struct semid_ds about;
        if (semctl(id, 0, IPC_STAT, &about) >= 0) escaped("semaphores %d", id);
        struct msqid_ds queue;
        if (msgctl(id, IPC_STAT, &queue) >= 0) escaped("queue %d", id);
    }
    refused("a file in shared memory", open("/dev/shm/neighbour", O_RDONLY), ENOENT, 0);
    int id = shmget(1, 4096, IPC_CREAT | 0600);
    if (id < 0 || shmat(id, NULL, 0) == (void *)-1) return 2;
    return done();
}
