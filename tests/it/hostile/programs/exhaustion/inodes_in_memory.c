/*
 * does: makes empty files without end in a file system in memory
 * limits: disk=16M memory=64M
 * upper: memory
 * ends: signal 9 or code 0
 * may hit: memory disk
 * time: 180
 */
int main(void) {
    char path[64];
    int made = 0;
    for (; made < 1000000; made++) {
        snprintf(path, sizeof path, "/tmp/%d", made);
        if (mknod(path, S_IFREG | 0600, 0)) return 0;
    }
    escaped("%d files", made);
    return done();
}
