/*
 * does: waits in the kernel, uninterruptible, for a child that never comes on
 * time: 2
 * ends: timed-out
 */
int main(void) {
    if (vfork() == 0) for (;;) pause();
    return 0;
}
