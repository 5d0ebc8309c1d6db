/*
 * does: traces pid 1, reads and writes its memory, takes its descriptors
 */
#include <sys/uio.h>
int main(void) {
    char text[16];
    struct iovec own = {text, 16}, theirs = {(void *)0x400000, 16};
    refused("attach", ptrace(PTRACE_ATTACH, 1, 0, 0), EPERM, 0);
    refused("seize", ptrace(PTRACE_SEIZE, 1, 0, 0), EPERM, 0);
    refused("read memory", process_vm_readv(1, &own, 1, &theirs, 1, 0), EPERM, 0);
    refused("write memory", process_vm_writev(1, &own, 1, &theirs, 1, 0), EPERM, 0);
    int pidfd = syscall(SYS_pidfd_open, 1, 0);
    for (int fd = 0; fd < 8; fd++) refused("take a descriptor", syscall(SYS_pidfd_getfd, pidfd, fd, 0), EPERM, EBADF);
    refused("advise", syscall(SYS_process_madvise, pidfd, &theirs, 1, MADV_COLD, 0), EPERM, EBADF);
    refused("compare", syscall(SYS_kcmp, getpid(), 1, 0, 0, 0), EPERM, 0);
    refused("limits", prlimit(1, RLIMIT_NOFILE, &(struct rlimit){3, 3}, NULL), EPERM, 0);
    refused("enter", syscall(SYS_setns, pidfd, 0), EPERM, 0);
    return done();
}
