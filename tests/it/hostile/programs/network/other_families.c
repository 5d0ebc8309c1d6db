/*
 * does: opens sockets of every family, so that the machine loads a module for it
 */
int main(void) {
    for (int family = 3; family < 60; family++) {
        if (family == AF_INET6 || family == AF_NETLINK || family == AF_PACKET) continue;
        int kinds[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET, SOCK_RDM};
        for (int i = 0; i < 5; i++) {
            char what[64];
            snprintf(what, sizeof what, "family %d kind %d", family, kinds[i]);
            refused(what, socket(family, kinds[i], 0), EAFNOSUPPORT, EPERM);
            refused(what, socketpair(family, kinds[i], 0, (int[2]){0}), EAFNOSUPPORT, EPERM);
        }
    }
    return done();
}
