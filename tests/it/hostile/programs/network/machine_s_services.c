/*
 * does: connects to services of the machine and of another sandbox
 */
static void tcp(const char *host, int port) {
    int s = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, host, &at.sin_addr);
    refused(host, connect(s, (void *)&at, sizeof at), ECONNREFUSED, ENETUNREACH);
    close(s);
}
int main(void) {
    const char *hosts[] = {"127.0.0.1", "0.0.0.0", "127.1.2.3", "172.17.0.1", "10.0.2.2"};
    for (int i = 0; i < 5; i++) {
        tcp(hosts[i], atoi(told("HOST_PORT")));
        tcp(hosts[i], atoi(told("NEIGHBOUR_PORT")));
        for (int port = 1; port < 1024; port++) tcp(hosts[i], port);
    }
    int s = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(atoi(told("HOST_PORT"))), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    if (s >= 0) refused("::1", connect(s, (void *)&six, sizeof six), 0, 0);
    return done();
}
