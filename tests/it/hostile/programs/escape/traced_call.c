/*
 * does: changes a child's system call into a forbidden one after the filter has seen it
 */
#include <sys/user.h>
int main(void) {
#ifdef __x86_64__
    pid_t pid = fork();
    if (pid == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        long result = syscall(SYS_getppid, 0x10000000, 0, 0);
        _exit(result == 0 ? 1 : 0);
    }
    int status, changed = 0;
    struct user_regs_struct regs;
    waitpid(pid, &status, 0);
    while (1) {
        ptrace(PTRACE_SYSCALL, pid, 0, 0);
        waitpid(pid, &status, 0);
        if (WIFEXITED(status)) break;
        ptrace(PTRACE_GETREGS, pid, 0, &regs);
        if (regs.orig_rax == SYS_getppid && !changed++) {
            regs.orig_rax = SYS_unshare;
            ptrace(PTRACE_SETREGS, pid, 0, &regs);
        }
    }
    if (!changed) return 2;
    if (WEXITSTATUS(status)) escaped("unshare went through");
#endif
    return done();
}
