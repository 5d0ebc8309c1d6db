/*
 * does: makes packets by hand, and listens to those of others
 */
int main(void) {
    refused("packets", socket(AF_PACKET, SOCK_RAW, htons(3)), EPERM, 0);
    refused("packets without headers", socket(AF_PACKET, SOCK_DGRAM, htons(3)), EPERM, 0);
    refused("raw ICMP", socket(AF_INET, SOCK_RAW, 1), EPERM, 0);
    refused("raw IP", socket(AF_INET, SOCK_RAW, 255), EPERM, 0);
    refused("raw ICMPv6", socket(AF_INET6, SOCK_RAW, 58), EPERM, EAFNOSUPPORT);
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    refused("mark", setsockopt(s, SOL_SOCKET, 36, &(int){1}, 4), EPERM, 0);
    refused("large buffers", setsockopt(s, SOL_SOCKET, SO_SNDBUFFORCE, &(int){1 << 30}, 4), EPERM, 0);
    refused("transparent", setsockopt(s, SOL_IP, 19, &(int){1}, 4), EPERM, 0);
    refused("debug", setsockopt(s, SOL_SOCKET, SO_DEBUG, &(int){1}, 4), EACCES, EPERM);
    return done();
}
