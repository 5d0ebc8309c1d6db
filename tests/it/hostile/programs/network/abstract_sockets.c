/*
 * does: connects to sockets without a file of the machine and of another sandbox, and to socket files
 */
static void hidden(const char *name) {
    int kinds[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    strncpy(at.sun_path + 1, name, 100);
    for (int i = 0; i < 3; i++) {
        int s = socket(AF_UNIX, kinds[i], 0);
        refused(name, connect(s, (void *)&at, offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name)), ECONNREFUSED, EPROTOTYPE);
        close(s);
    }
}
static void file(const char *path) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    strncpy(at.sun_path, path, 107);
    refused(path, connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&at, sizeof at), ENOENT, ECONNREFUSED);
}
int main(void) {
    hidden(told("HOST_ABSTRACT"));
    hidden(told("NEIGHBOUR_ABSTRACT"));
    hidden("/tmp/.X11-unix/X0");
    file(told("HOST_SOCKET"));
    file("/var/run/docker.sock");
    file("/run/systemd/private");
    file("/run/dbus/system_bus_socket");
    file("/dev/log");
    FILE *all = fopen("/proc/net/unix", "r");
    char line[300];
    while (all && fgets(line, sizeof line, all)) if (strchr(line, '@')) escaped("%s", line);
    return done();
}
