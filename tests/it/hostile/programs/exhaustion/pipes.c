/*
 * does: fills as many pipes as it can, as large as they get
 * limits: memory=64M
 * ends: code 0 or signal 9
 * may hit: memory
 */
int main(void) {
    static char block[1 << 20];
    long kept = 0;
    for (int i = 0; i < 4000; i++) {
        int ends[2];
        if (pipe(ends)) break;
        fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
        fcntl(ends[1], F_SETFL, O_NONBLOCK);
        for (ssize_t n; (n = write(ends[1], block, sizeof block)) > 0;) kept += n;
    }
    if (kept > 96 << 20) escaped("%ld MiB in pipes", kept >> 20);
    return done();
}
