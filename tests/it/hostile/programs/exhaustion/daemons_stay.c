/*
 * does: ends well and leaves daemons behind that hold its output
 */
int main(void) {
    for (int i = 0; i < 10; i++) {
        if (fork() == 0) {
            setsid();
            chdir("/");
            if (fork() == 0) for (;;) { for (int s = 1; s < 32; s++) signal(s, SIG_IGN); nap(1000); }
            _exit(0);
        }
    }
    return 0;
}
