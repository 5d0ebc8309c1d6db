/*
 * does: maps more memory than the machine has and more pieces than it may
 * may hit: memory
 */
int main(void) {
    for (int i = 0; i < 100; i++) mmap(NULL, 1UL << 40, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    int n = 0;
    while (n < 200000 && mmap(NULL, 4096, n % 2 ? PROT_READ : PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED) n++;
    if (n >= 200000) escaped("%d pieces", n);
    return done();
}
