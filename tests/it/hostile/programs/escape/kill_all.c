/*
 * does: kills every process it can
 * ends: signal 9 or code 0
 * then: works
 */
int main(void) {
    for (int i = 0; i < 100; i++) kill(-1, SIGKILL);
    return 0;
}
