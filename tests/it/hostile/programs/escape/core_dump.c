/*
 * does: crashes, so that the machine's handler of core dumps runs on its behalf
 * ends: signal 11
 */
int main(void) {
    setrlimit(RLIMIT_CORE, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY});
    prctl(PR_SET_DUMPABLE, 1);
    chdir("/tmp");
    raise(SIGSEGV);
    return 3;
}
