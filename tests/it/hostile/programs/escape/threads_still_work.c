/*
 * does: uses threads and processes as libraries do, which must work for all that is refused
 */
static void *thread(void *sum) { __sync_fetch_and_add((int *)sum, 1); return NULL; }
int main(void) {
    pthread_t threads[20];
    int sum = 0, status = 1;
    for (int i = 0; i < 20; i++) if (pthread_create(&threads[i], NULL, thread, &sum)) return 2;
    for (int i = 0; i < 20; i++) pthread_join(threads[i], NULL);
    if (sum != 20) return 3;
    if (system("true") != 0) return 4;
    pid_t pid = fork();
    if (pid == 0) _exit(7);
    waitpid(pid, &status, 0);
    return WEXITSTATUS(status) == 7 ? 0 : 5;
}
