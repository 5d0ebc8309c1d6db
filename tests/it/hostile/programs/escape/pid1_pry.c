/*
 * does: pries into pid 1 by its files in /proc
 */
int main(void) {
    const char *files[] = {"exe", "root", "cwd", "mem", "maps", "smaps", "environ", "fd", "map_files", "auxv",
        "stack", "syscall", "pagemap", "io", "fdinfo", "ns/mnt", "ns/net", "task/1/mem", "task/1/cwd", "task/1/fd"};
    char path[100], text[100];
    for (int i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "/proc/1/%s", files[i]);
        int file = open(path, O_RDONLY);
        if (file >= 0) {
            if (read(file, text, sizeof text) > 0 || errno == EISDIR) escaped("%s can be read", path);
            DIR *all = fdopendir(file);
            if (all && readdir(all)) escaped("%s can be listed", path);
        }
        if (open(path, O_WRONLY) >= 0) escaped("%s can be written", path);
        if (readlink(path, text, sizeof text) > 0) escaped("%s says where it leads", path);
        snprintf(path, sizeof path, "/proc/1/%s/..%s", files[i], told("CANARY"));
        if (show(path) == 0) escaped("%s", path);
    }
    return done();
}
