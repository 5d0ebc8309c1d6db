/*
 * does: opens files until it may not, in several processes
 * limits: memory=128M pids=64
 * ends: code 0 or signal 9
 * may hit: memory
 */
int main(void) {
    for (int i = 0; i < 4; i++) {
        if (fork() == 0) {
            int n = 0;
            while (n < 3000000 && open("/dev/null", O_RDONLY) >= 0) n++;
            _exit(n >= 3000000);
        }
    }
    int status, wrong = 0;
    while (wait(&status) > 0) if (WIFEXITED(status) && WEXITSTATUS(status)) wrong = 1;
    if (wrong) escaped("millions of files are open");
    return done();
}
