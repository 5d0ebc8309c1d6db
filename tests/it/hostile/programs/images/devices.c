/*
 * does: is an image with nodes of disks and memory
 * image: devices
 * ends: code 0 or refused
 */
int main(void) {
    const char *nodes[] = {"/disk", "/disk8", "/mem", "/kmsg", "/zero"};
    for (int i = 0; i < 5; i++) refused(nodes[i], open(nodes[i], O_RDONLY | O_NONBLOCK), EACCES, ENOENT);
    return done();
}
