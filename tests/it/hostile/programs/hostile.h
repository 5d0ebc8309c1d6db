/* What hostile programs share. It stands before each of them. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/types.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int escapes;

/* Says that something was possible that must not be. */
static void escaped(const char *format, ...) {
    va_list words;
    va_start(words, format);
    printf("ESCAPED ");
    vprintf(format, words);
    printf("\n");
    va_end(words);
    escapes++;
}

/* `result` must be -1, with one of two errors (0: any). */
static void refused(const char *what, long result, int error, int other) {
    if (result != -1) escaped("%s gave %ld", what, result);
    else if (error && errno != error && errno != other)
        escaped("%s failed only with: %s", what, strerror(errno));
}

/* Whether there is one user inside, as where an ordinary user keeps the sandbox. */
static int one_user(void) {
    unsigned long count = 0;
    FILE *map = fopen("/proc/self/uid_map", "r");
    if (map) fscanf(map, "%*u %*u %lu", &count), fclose(map);
    return count == 1;
}

/* So much memory, written to for sure. */
static char *taken(size_t bytes) {
    char *at = malloc(bytes);
    if (at) memset(at, 'x', bytes);
    __asm__ volatile("" : : "r"(at) : "memory");
    return at;
}

/* The exit code: 0 if everything was refused. */
static int done(void) {
    fflush(stdout);
    return escapes ? 1 : 0;
}

static void nap(long ms) {
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

static const char *told(const char *name) {
    const char *value = getenv(name);
    return value ? value : "";
}

/* Prints what a file holds, for the keeper to look for the secret in. */
static int show(const char *path) {
    char text[4096];
    int file = open(path, O_RDONLY | O_NONBLOCK);
    if (file < 0) return -1;
    ssize_t length = read(file, text, sizeof text);
    if (length > 0) fwrite(text, 1, length, stdout);
    close(file);
    return length > 0 ? 0 : -1;
}
