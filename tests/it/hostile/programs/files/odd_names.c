/*
 * does: gives files names with newlines, bytes that are no text, and of the greatest length
 * then: copy-out /odd tree
 * then: works
 * then: snapshot
 */
int main(void) {
    char name[300];
    mkdir("/odd", 0755);
    chdir("/odd");
    const char *names[] = {"a\nb", "\xff\xfe\x80", "\x1b[2J", " ", "-rf", "*", "..x", "a\rb", "\xc3\x28", "|&;<>()$`\\\"'", "\x01"};
    for (int i = 0; i < 11; i++) if (open(names[i], O_CREAT | O_RDWR, 0644) < 0) return 2;
    memset(name, 'n', 255), name[255] = 0;
    if (open(name, O_CREAT | O_RDWR, 0644) < 0) return 3;
    memset(name, '\xfe', 255);
    if (mkdir(name, 0755)) return 4;
    chdir(name);
    for (int i = 0; i < 12; i++) if (mkdir(name, 0755) || chdir(name)) return 5;
    return 0;
}
