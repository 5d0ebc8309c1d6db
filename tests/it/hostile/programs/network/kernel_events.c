/*
 * does: listens to what the kernel tells of the machine's devices and audits
 */
#include <linux/netlink.h>
int main(void) {
    struct sockaddr_nl at = {.nl_family = AF_NETLINK, .nl_groups = 1};
    int s = socket(AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT);
    if (s >= 0 && bind(s, (void *)&at, sizeof at) == 0) escaped("events of devices are heard");
    s = socket(AF_NETLINK, SOCK_RAW, NETLINK_AUDIT);
    if (s >= 0 && bind(s, (void *)&at, sizeof at) == 0) escaped("audits are heard");
    return done();
}
