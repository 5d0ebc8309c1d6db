/*
 * does: asks for personalities that make memory executable or addresses known
 */
#include <sys/personality.h>
int main(void) {
    unsigned long odd[] = {READ_IMPLIES_EXEC, ADDR_NO_RANDOMIZE, ADDR_COMPAT_LAYOUT, MMAP_PAGE_ZERO, PER_SVR4, PER_BSD};
    for (int i = 0; i < 6; i++) refused("personality", personality(odd[i]), EPERM, 0);
    if (personality(0xffffffff) != 0) escaped("an odd personality");
    void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (page == NULL) escaped("page zero is mapped");
    return done();
}
