/*
 * does: takes memory without end
 * limits: memory=64M
 * ends: signal 9
 * hits: memory
 * time: 120
 */
int main(void) {
    for (int i = 0; i < 4096; i++) {
        if (!taken(1 << 20)) break;
        if (i % 8 == 0) nap(1);
    }
    pause();
}
