/*
 * does: reaches other terminals than its own
 * output: terminal
 */
int main(void) {
    int found = 0;
    DIR *all = opendir("/dev/pts");
    for (struct dirent *e; (e = readdir(all));)
        if (atoi(e->d_name) || !strcmp(e->d_name, "0")) found++;
    if (found != 1) escaped("%d terminals are there", found);
    const char *nodes[] = {"/dev/console", "/dev/tty0", "/dev/tty1", "/dev/ttyS0", "/dev/vcs", "/dev/hvc0"};
    for (int i = 0; i < 6; i++) refused(nodes[i], open(nodes[i], O_RDWR | O_NOCTTY), 0, 0);
    int ptmx = open("/dev/ptmx", O_RDWR | O_NOCTTY), number = -1;
    if (ptmx < 0 || ioctl(ptmx, TIOCGPTN, &number) || number > 3) escaped("terminal number %d", number);
    return done();
}
