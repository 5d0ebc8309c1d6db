/*
 * does: connects to metadata services, private networks and the internet, by TCP and UDP, in IPv4 and IPv6
 */
int main(void) {
    const char *four[] = {"169.254.169.254", "100.100.100.200", "192.0.2.1", "10.0.0.1", "172.16.0.1", "192.168.0.1", "203.0.113.7", "224.0.0.1"};
    const char *six[] = {"fd00:ec2::254", "2001:db8::1", "fe80::1", "ff02::1"};
    for (int kind = SOCK_STREAM; kind <= SOCK_DGRAM; kind++) {
        for (int i = 0; i < 8; i++) {
            struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(i % 2 ? 53 : 80)};
            inet_pton(AF_INET, four[i], &at.sin_addr);
            refused(four[i], connect(socket(AF_INET, kind, 0), (void *)&at, sizeof at), ENETUNREACH, 0);
        }
        for (int i = 0; i < 4; i++) {
            struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_port = htons(80), .sin6_scope_id = i > 1};
            inet_pton(AF_INET6, six[i], &at.sin6_addr);
            int s = socket(AF_INET6, kind, 0);
            if (s >= 0) refused(six[i], connect(s, (void *)&at, sizeof at) || sendto(s, "x", 1, 0, (void *)&at, sizeof at) < 0 ? -1 : 0, 0, 0);
        }
    }
    return done();
}
