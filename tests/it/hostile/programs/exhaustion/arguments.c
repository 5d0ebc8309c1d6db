/*
 * does: starts programs with more arguments and variables than fit
 * limits: memory=128M
 */
int main(void) {
    static char *words[300000], *one = "an argument that is not very long, but there are many";
    for (int i = 0; i < 299999; i++) words[i] = one;
    refused("many arguments", execve("/bin/true", words, words), E2BIG, 0);
    char *long_one = malloc(10 << 20);
    memset(long_one, 'x', (10 << 20) - 1);
    words[1] = long_one, words[2] = NULL;
    refused("a long argument", execve("/bin/true", words, words), E2BIG, 0);
    return done();
}
