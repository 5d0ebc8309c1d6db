/*
 * does: has files of enormous sizes without content
 * limits: disk=none
 * then: copy-out /odd/0 too-large
 * then: copy-out /odd too-large
 * then: works
 */
int main(void) {
    mkdir("/odd", 0755);
    chdir("/odd");
    char name[2] = "0";
    for (int shift = 60; shift >= 40; shift--) {
        int file = open(name, O_CREAT | O_RDWR, 0644);
        if (ftruncate(file, 1L << shift) == 0) name[0]++;
        close(file);
    }
    return name[0] > '0' ? 0 : 2;
}
