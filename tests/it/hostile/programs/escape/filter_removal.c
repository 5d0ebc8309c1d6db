/*
 * does: takes the filter of system calls off, or puts a kinder one over it
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
int main(void) {
    struct sock_filter all[] = {{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};
    struct sock_fprog program = {1, all};
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
    refused("mount", mount("x", "/tmp", "tmpfs", 0, ""), EPERM, 0);
    refused("mode 0", prctl(PR_SET_SECCOMP, 0, 0), 0, 0);
    pid_t pid = fork();
    if (pid == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        _exit(mount("x", "/tmp", "tmpfs", 0, "") == 0);
    }
    int status;
    waitpid(pid, &status, 0);
    refused("suspend", ptrace(PTRACE_SETOPTIONS, pid, 0, 0x200000), 0, 0);
    char filter[64];
    refused("read the filter", ptrace(0x420c, pid, 0, filter), 0, 0);
    ptrace(PTRACE_CONT, pid, 0, 0);
    waitpid(pid, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status)) escaped("a traced process mounts");
    return done();
}
