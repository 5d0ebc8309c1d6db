/*
 * does: exchanges files and links to the machine's in hundreds of threads while its image is taken
 * limits: pids=400
 * while: snapshot /race
 * time: 6
 * ends: timed-out
 */
static void *race(void *number) {
    char file[64], link[64];
    snprintf(file, sizeof file, "/race/file%ld", (long)number);
    snprintf(link, sizeof link, "/race/link%ld", (long)number);
    close(open(file, O_CREAT | O_RDWR, 0644));
    symlink(told("CANARY"), link);
    for (;;) syscall(SYS_renameat2, AT_FDCWD, file, AT_FDCWD, link, 2);
}
int main(void) {
    pthread_t thread;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 65536);
    mkdir("/race", 0755);
    for (long i = 0; i < 200; i++) pthread_create(&thread, &attr, race, (void *)i);
    for (long i = 0; i < 50; i++) if (fork() == 0) for (;;) kill(-1, SIGCONT);
    race((void *)999);
}
