/*
 * does: opens the programs of other processes for writing, those that the keeper starts meanwhile too (CVE-2019-5736)
 * while: exec
 * time: 120
 */
int main(void) {
    char path[300], link[300];
    double end = seconds() + 3;
    while (seconds() < end) {
        DIR *all = opendir("/proc");
        for (struct dirent *e; (e = readdir(all));) {
            int pid = atoi(e->d_name);
            if (!pid || pid == getpid()) continue;
            snprintf(path, sizeof path, "/proc/%d/exe", pid);
            int handle = open(path, O_PATH);
            ssize_t n = readlink(path, link, sizeof link - 1);
            if (n > 0) {
                link[n] = 0;
                if (strstr(link, "zygote") || strstr(link, "memfd")) escaped("%s leads to %s", path, link);
            }
            for (int i = 0; i < 2; i++) {
                if (i) snprintf(path, sizeof path, "/proc/self/fd/%d", handle);
                int file = open(path, O_WRONLY | O_APPEND);
                if (file >= 0) {
                    /* Programs of the machine are shown read-only; one of ours may be its own. */
                    if (write(file, "", 0) == 0 && !strstr(link, "hostile")) escaped("%s can be written", link);
                    close(file);
                }
            }
            close(handle);
        }
        closedir(all);
    }
    return done();
}
