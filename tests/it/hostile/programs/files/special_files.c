/*
 * does: has the keeper read pipes, sockets, devices, directories of processes and files without end
 * then: copy-out /odd/pipe refused
 * then: copy-out /odd/socket refused
 * then: copy-out /odd/zero refused
 * then: copy-out /odd/memory refused
 * then: copy-out /odd/loop refused
 * then: copy-out /proc/kmsg refused
 * then: copy-out /proc/1/mem refused
 * then: copy-out /proc/1/root refused
 * then: copy-out /proc/self/fd/3 refused
 * then: copy-out /proc/self/exe refused
 * then: copy-out /dev/random refused
 * then: copy-out /dev/ptmx refused
 * then: copy-out /odd/nothing refused
 * then: copy-out /odd tree
 * then: works
 */
int main(void) {
    mkdir("/odd", 0755);
    mkfifo("/odd/pipe", 0666);
    struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "/odd/socket"};
    bind(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&at, sizeof at);
    symlink("/dev/zero", "/odd/zero");
    symlink("/proc/self/mem", "/odd/memory");
    symlink("loop", "/odd/loop");
    return 0;
}
