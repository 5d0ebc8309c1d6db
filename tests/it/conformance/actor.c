/* What the conformance cases need done inside and a shell cannot do: actor VERB [ARGUMENTS]. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static void nap(long ms) {
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

/* Takes so many MiB of memory, step by step, and keeps them: who only watches needs a moment. */
static int grow(int mib) {
    for (int i = 0; i < mib; i += 8) {
        char *block = malloc(8 << 20);
        if (!block) return 1;
        memset(block, 'x', 8 << 20);
        nap(10);
    }
    nap(60000);
    return 0;
}

/* Forks until it is refused, and says how often it was not. */
static int fork_many(int most) {
    int forked = 0;
    while (forked < most) {
        pid_t pid = fork();
        if (pid < 0) break;
        if (pid == 0) {
            nap(30000);
            _exit(0);
        }
        forked++;
    }
    printf("%d\n", forked);
    return 0;
}

/* Uses so many milliseconds of a CPU. */
static int spin(int ms) {
    while (clock() < ms * (CLOCKS_PER_SEC / 1000)) {}
    return 0;
}

static struct sockaddr_in at(const char *host, int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, host, &address.sin_addr);
    return address;
}

static int link_to(const char *host, int port) {
    int s = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = at(host, port);
    if (connect(s, (void *)&address, sizeof address) == 0) return 0;
    printf("%s\n", strerror(errno));
    return 1;
}

static int serve(int port) {
    int s = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = at("127.0.0.1", port);
    if (bind(s, (void *)&address, sizeof address) || listen(s, 5)) {
        printf("%s\n", strerror(errno));
        return 1;
    }
    return link_to("127.0.0.1", port);
}

int main(int count, char **words) {
    const char *verb = count > 1 ? words[1] : "";
    if (!strcmp(verb, "grow")) return grow(atoi(words[2]));
    if (!strcmp(verb, "fork")) return fork_many(atoi(words[2]));
    if (!strcmp(verb, "spin")) return spin(atoi(words[2]));
    if (!strcmp(verb, "connect")) return link_to(words[2], atoi(words[3]));
    if (!strcmp(verb, "serve")) return serve(atoi(words[2]));
    return 64;
}
