/*
 * does: gives its program all capabilities, and runs it
 */
#include <sys/xattr.h>
int main(int count, char **words) {
    if (count > 1) {
        refused("mount", mount("none", "/tmp", "tmpfs", 0, ""), EPERM, 0);
        FILE *status = fopen("/proc/self/status", "r");
        char line[200];
        unsigned long long bits;
        while (fgets(line, sizeof line, status))
            if (sscanf(line, "CapEff: %llx", &bits) == 1 && (bits & ~0xa80425fbULL)) escaped("%s", line);
        return done();
    }
    uint32_t all[5] = {0x02000001, -1, -1, -1, -1};
    setxattr("/hostile/program", "security.capability", all, sizeof all, 0);
    execl("/hostile/program", "program", "again", NULL);
    /* Capabilities beyond the bounding set keep a program from starting at all. */
    return errno == EPERM ? 0 : 2;
}
