/*
 * does: opens every file of /sys, and of /proc but processes', for writing
 */
static int opened;
static void walk(const char *path, int depth) {
    DIR *all = opendir(path);
    if (!all) return;
    for (struct dirent *e; (e = readdir(all));) {
        if (e->d_name[0] == '.' || (depth == 0 && (atoi(e->d_name) || strstr(e->d_name, "self")))) continue;
        char next[PATH_MAX];
        if (snprintf(next, sizeof next, "%s/%s", path, e->d_name) >= sizeof next) continue;
        if (e->d_type == DT_DIR && depth < 12) walk(next, depth + 1);
        /* Where anybody may ask to be told of pressure. */
        if (e->d_type != DT_REG || !strcmp(path, "/proc/pressure")) continue;
        int file = open(next, O_WRONLY | O_NONBLOCK);
        struct stat at;
        if (file >= 0 && fstat(file, &at) == 0 && S_ISREG(at.st_mode)) escaped("%s can be written", next);
        if (file >= 0) close(file);
        opened++;
    }
    closedir(all);
}
int main(void) {
    walk("/proc", 0);
    walk("/sys", 1);
    if (opened < 50) escaped("only %d files were found", opened);
    return done();
}
