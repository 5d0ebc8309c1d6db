/*
 * does: fills the buffers of as many sockets as it can
 * limits: memory=64M
 * ends: code 0 or signal 9
 * may hit: memory
 * rootless ends: code 0 or signal 9 or timed-out
 * why: buffers are the kernel's memory, which nobody counts without a cgroup
 */
int main(void) {
    static char block[1 << 16];
    long kept = 0;
    for (int i = 0; i < 800; i++) {
        int ends[2], large = 1 << 24;
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends)) break;
        setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &large, 4);
        for (ssize_t n; (n = write(ends[0], block, sizeof block)) > 0;) kept += n;
    }
    if (kept > 96 << 20 && !one_user()) escaped("%ld MiB in sockets", kept >> 20);
    return done();
}
