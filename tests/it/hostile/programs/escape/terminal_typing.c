/*
 * does: types into its terminal for whoever comes after (TIOCSTI, TIOCLINUX; CVE-2017-5226)
 * output: terminal
 */
int main(void) {
    for (const char *at = "reboot\n"; *at; at++) refused("TIOCSTI", ioctl(0, TIOCSTI, at), EPERM, 0);
    char paste = 3;
    refused("TIOCLINUX", ioctl(0, 0x541c, &paste), EPERM, 0);
    /* The upper half of the request is ignored by the kernel, and must be by the filter. */
    refused("TIOCSTI in disguise", syscall(SYS_ioctl, 0, 0x100005412UL, "x"), EPERM, 0);
    refused("TIOCCONS", ioctl(0, TIOCCONS, 0), 0, 0);
    return done();
}
