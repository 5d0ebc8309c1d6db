/*
 * does: makes system calls that this program's authors have not heard of, and those of the x32 kind
 */
int main(void) {
    for (long call = 467; call < 2000; call++) refused("an unknown call", syscall(call, 0, 0, 0, 0, 0, 0), ENOSYS, 0);
    for (long call = 0; call < 600; call++) {
        errno = 0;
        refused("a call of x32", syscall(0x40000000 | call, 0, 0, 0, 0, 0, 0), ENOSYS, EPERM);
    }
    refused("a call below zero", syscall(-2, 0, 0, 0), ENOSYS, 0);
    return done();
}
