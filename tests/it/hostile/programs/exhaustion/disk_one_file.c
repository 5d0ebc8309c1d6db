/*
 * does: makes one file without end
 * limits: disk=32M
 * ends: signal 25 or signal 9 or code 0
 * hits: disk
 */
int main(void) {
    static char block[1 << 20];
    int file = open("/tmp/large", O_RDWR | O_CREAT, 0600), n = 0;
    signal(SIGXFSZ, SIG_IGN);
    refused("fallocate", fallocate(file, 0, 0, 1L << 40), EFBIG, ENOSPC);
    signal(SIGXFSZ, SIG_DFL);
    while (n < 200 && write(file, block, sizeof block) > 0) n++;
    if (n > 40) escaped("%d MiB", n);
    return done();
}
