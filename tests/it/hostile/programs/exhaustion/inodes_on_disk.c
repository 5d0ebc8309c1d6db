/*
 * does: makes empty files without end, of which the disk has a number too
 * limits: disk=16M memory=512M
 * ends: signal 9 or code 0
 * hits: disk
 * time: 180
 */
int main(void) {
    char path[64];
    int made = 0, refusals = 0;
    for (int d = 0; d < 400; d++) {
        snprintf(path, sizeof path, "/tmp/%d", d);
        mkdir(path, 0755);
        for (int i = 0; i < 1000; i++) {
            snprintf(path, sizeof path, "/tmp/%d/%d", d, i);
            if (mknod(path, S_IFREG | 0600, 0) == 0) made++; else refusals++;
        }
        if (refusals) return 0;
    }
    escaped("%d files", made);
    return done();
}
