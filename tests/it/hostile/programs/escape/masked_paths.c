/*
 * does: reads what is masked, and moves, removes or covers the masks
 */
int main(void) {
    const char *files[] = {"/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug", "/proc/timer_list"};
    const char *folders[] = {"/proc/acpi", "/proc/asound", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap"};
    char text[16];
    for (int i = 0; i < 6; i++) {
        int file = open(files[i], O_RDONLY);
        if (file >= 0 && read(file, text, 16) > 0) escaped("%s has content", files[i]);
        refused("unlink", unlink(files[i]), 0, 0);
        refused("rename", rename(files[i], "/tmp/x"), 0, 0);
        refused("replace", rename("/etc/hosts", files[i]), 0, 0);
        refused("link", link(files[i], "/tmp/y"), 0, 0);
    }
    for (int i = 0; i < 5; i++) {
        DIR *all = opendir(folders[i]);
        for (struct dirent *e; all && (e = readdir(all));)
            if (e->d_name[0] != '.') escaped("%s holds %s", folders[i], e->d_name);
        snprintf(text, sizeof text, "x");
        if (all && mkdirat(dirfd(all), "new", 0755) == 0) escaped("%s can be written", folders[i]);
    }
    return done();
}
