/*
 * does: makes the file longer and shorter that the keeper reads
 * while: copy-out /race/file
 * time: 120
 */
int main(void) {
    static char block[65536];
    mkdir("/race", 0755);
    int file = open("/race/file", O_CREAT | O_RDWR, 0644);
    double end = seconds() + 3;
    while (seconds() < end) {
        ftruncate(file, 0);
        for (int i = 0; i < 40; i++) pwrite(file, block, sizeof block, i * sizeof block);
    }
    return 0;
}
