/*
 * does: fills anonymous files in memory
 * limits: memory=64M
 * ends: signal 9
 * hits: memory
 * time: 120
 */
int main(void) {
    static char block[1 << 20];
    for (int i = 0; i < 16; i++) {
        int file = syscall(SYS_memfd_create, "x", 0);
        for (int n = 0; n < 32; n++) {
            write(file, block, sizeof block);
            char *at = mmap(NULL, 32 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
            volatile char seen = 0;
            for (int k = 0; k <= n << 20; k += 4096) seen += at[k];
            if (n % 8) munmap(at, 32 << 20);
        }
        nap(50);
    }
    pause();
}
