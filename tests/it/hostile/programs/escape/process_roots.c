/*
 * does: looks for the machine's files through roots, directories and descriptors of all processes, those of the keeper's work too
 * while: copy-out /hostile
 * time: 120
 */
int main(void) {
    char path[PATH_MAX];
    const char *ways[] = {"root", "cwd", "task/%s/root", "fd/0", "fd/1", "fd/3", "fd/4", "fd/5", "map_files", "cwd/../../../.."};
    double end = seconds() + 2;
    while (seconds() < end) {
        DIR *all = opendir("/proc");
        for (struct dirent *e; (e = readdir(all));) {
            if (!atoi(e->d_name)) continue;
            for (int i = 0; i < 10; i++) {
                char way[64];
                snprintf(way, sizeof way, ways[i], e->d_name);
                snprintf(path, sizeof path, "/proc/%s/%s/%s", e->d_name, way, told("CANARY"));
                if (show(path) == 0) escaped("%s", path);
            }
        }
        closedir(all);
    }
    return done();
}
