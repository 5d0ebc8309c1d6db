/*
 * does: makes its files such that nobody can take them away
 */
#include <linux/fs.h>
int main(void) {
    mkdir("/stay", 0755);
    int file = open("/stay/file", O_CREAT | O_RDWR, 0644), flags = FS_IMMUTABLE_FL | FS_APPEND_FL;
    refused("immutable", ioctl(file, FS_IOC_SETFLAGS, &flags), 0, 0);
    int folder = open("/stay", O_RDONLY);
    refused("immutable folder", ioctl(folder, FS_IOC_SETFLAGS, &flags), 0, 0);
    chmod("/stay/file", 0);
    chmod("/stay", 0);
    mkdir("/deep", 0700), mkdir("/deep/er", 0), chmod("/deep", 0);
    return done();
}
