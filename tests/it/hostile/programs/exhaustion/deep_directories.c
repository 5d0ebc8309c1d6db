/*
 * does: makes directories deeper than a path can name
 * then: copy-out /tmp/deep any
 * then: works
 * time: 180
 */
int main(void) {
    mkdir("/tmp/deep", 0755);
    chdir("/tmp/deep");
    for (int i = 0; i < 6000; i++) {
        if (mkdir("abcdefghijklmnop", 0700) || chdir("abcdefghijklmnop")) return i > 100 ? 0 : 2;
    }
    return 0;
}
