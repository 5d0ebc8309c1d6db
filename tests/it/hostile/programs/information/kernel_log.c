/*
 * does: reads the kernel's log, addresses and keys
 */
#include <sys/klog.h>
int main(void) {
    char text[256];
    for (int type = 2; type < 11; type++) refused("syslog", klogctl(type, text, sizeof text), EPERM, 0);
    refused("/dev/kmsg", open("/dev/kmsg", O_RDONLY), ENOENT, 0);
    int log = open("/proc/kmsg", O_RDONLY | O_NONBLOCK);
    if (log >= 0 && read(log, text, sizeof text) > 0) escaped("/proc/kmsg");
    FILE *symbols = fopen("/proc/kallsyms", "r");
    unsigned long address;
    for (int i = 0; symbols && i < 1000 && fscanf(symbols, "%lx %*[^\n]", &address) == 1; i++)
        if (address) { escaped("address %lx", address); break; }
    FILE *modules = fopen("/proc/modules", "r");
    for (int i = 0; modules && fscanf(modules, "%*s %*s %*s %*s %*s %lx%*[^\n]", &address) == 1; i++)
        if (address) { escaped("address %lx of a module", address); break; }
    const char *closed[] = {"/proc/kcore", "/proc/kpagecount", "/proc/kpageflags", "/proc/vmallocinfo", "/proc/slabinfo", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/proc/iomem"};
    for (int i = 0; i < 9; i++) {
        int file = open(closed[i], O_RDONLY);
        if (file >= 0 && read(file, text, sizeof text) > 0) {
            if (i == 8 && !memcmp(text, "00000000-00000000", 17)) continue;
            escaped("%s can be read", closed[i]);
        }
    }
    return done();
}
