/*
 * does: locks memory so that it cannot be taken back
 * limits: memory=64M
 * ends: code 0 or signal 9
 * may hit: memory
 */
int main(void) {
    mlockall(MCL_CURRENT | MCL_FUTURE);
    char *at = mmap(NULL, 256 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0);
    if (at == MAP_FAILED) return 0;
    memset(at, 1, 256 << 20);
    nap(2000);
    escaped("256 MiB are locked");
    return done();
}
