/*
 * does: signals processes of the machine by number, by group, by descriptors and by messages
 */
int main(void) {
    pid_t host = atoi(told("HOST_PID"));
    if (kill(host, 0) == 0 || errno != ESRCH) escaped("process %d of the machine is there", host);
    for (int pid = 2; pid < 40000; pid++)
        if (pid != getpid() && pid != getppid() && kill(pid, 0) == 0 && getpgid(pid) == 0) escaped("process %d", pid);
    fcntl(1, F_SETOWN, host);
    fcntl(1, F_SETSIG, SIGKILL);
    fcntl(1, F_SETFL, fcntl(1, F_GETFL) | O_ASYNC);
    refused("kill the parent", kill(getppid() ? getppid() : -99999, SIGKILL) == 0 && getppid() != 1 ? 0 : -1, 0, 0);
    int pair[2];
    socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
    setsockopt(pair[0], SOL_SOCKET, 16, &(int){1}, 4);
    return done();
}
