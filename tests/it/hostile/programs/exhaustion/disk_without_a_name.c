/*
 * does: fills the disk with files that have no name any more
 * limits: disk=32M
 * ends: signal 9 or code 0
 * hits: disk
 * time: 120
 */
int main(void) {
    static char block[1 << 20];
    int full = 0;
    for (int i = 0; i < 100; i++) {
        int file = open("/tmp/gone", O_RDWR | O_CREAT | O_EXCL, 0600);
        unlink("/tmp/gone");
        for (int n = 0; n < 8; n++) if (write(file, block, sizeof block) < 0) full = 1;
        if (i > 10) nap(200);
        if (full) return 0;
    }
    escaped("800 MiB");
    return done();
}
