/*
 * does: makes devices, addresses, routes and rules
 */
#include <linux/if.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
static int ask(int protocol, int type, int length) {
    struct { struct nlmsghdr h; char body[256]; } message = {{sizeof message.h + length, type, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE, 1, 0}};
    struct { struct nlmsghdr h; int error; char rest[512]; } answer;
    int s = socket(AF_NETLINK, SOCK_RAW, protocol);
    if (s < 0) return -1;
    struct timeval time = {2, 0};
    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
    send(s, &message, message.h.nlmsg_len, 0);
    ssize_t n = recv(s, &answer, sizeof answer, 0);
    close(s);
    if (n < (ssize_t)sizeof answer.h + 4 || answer.h.nlmsg_type != NLMSG_ERROR) return -1;
    errno = -answer.error;
    return answer.error ? -1 : 0;
}
int main(void) {
    int types[] = {RTM_NEWLINK, RTM_DELLINK, RTM_NEWADDR, RTM_NEWROUTE, RTM_NEWRULE, RTM_NEWNEIGH, RTM_NEWQDISC};
    for (int i = 0; i < 7; i++) refused("a change by netlink", ask(NETLINK_ROUTE, types[i], 64), 0, 0);
    refused("a rule of the firewall", ask(NETLINK_NETFILTER, 0xa00, 16), 0, 0);
    struct ifreq about = {0};
    strcpy(about.ifr_name, "lo");
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    about.ifr_flags = 0;
    refused("lo down", ioctl(s, 0x8914, &about), EPERM, 0);
    about.ifr_mtu = 9000;
    refused("mtu", ioctl(s, 0x8922, &about), EPERM, 0);
    strcpy(about.ifr_name, "x0");
    refused("a bridge", ioctl(s, 0x89a0, "x0"), EPERM, ENOPKG);
    refused("iptables", setsockopt(socket(AF_INET, SOCK_STREAM, 0), SOL_IP, 64, about.ifr_name, 40), 0, 0);
    return done();
}
