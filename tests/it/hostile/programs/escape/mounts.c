/*
 * does: mounts, binds, remounts, unmounts and moves, by the old calls and the new
 */
int main(void) {
    mkdir("/tmp/m", 0755);
    const char *kinds[] = {"proc", "sysfs", "tmpfs", "cgroup", "cgroup2", "devtmpfs", "devpts", "overlay", "debugfs",
        "tracefs", "securityfs", "bpf", "fuse", "ext4", "9p", "nfs", "binfmt_misc", "mqueue", "ramfs"};
    for (int i = 0; i < sizeof kinds / sizeof *kinds; i++)
        refused(kinds[i], mount("none", "/tmp/m", kinds[i], 0, ""), EPERM, 0);
    refused("bind", mount("/", "/tmp/m", "", MS_BIND | MS_REC, ""), EPERM, 0);
    refused("bind of proc", mount("/proc", "/tmp/m", "", MS_BIND, ""), EPERM, 0);
    refused("remount /sys", mount("", "/sys", "", MS_REMOUNT | MS_BIND, ""), EPERM, 0);
    refused("remount /proc/sys", mount("", "/proc/sys", "", MS_REMOUNT | MS_BIND, ""), EPERM, 0);
    refused("remount /dev", mount("", "/dev", "", MS_REMOUNT, ""), EPERM, 0);
    refused("share /", mount("", "/", "", MS_SHARED | MS_REC, ""), EPERM, 0);
    refused("move /proc", mount("/proc", "/tmp/m", "", MS_MOVE, ""), EPERM, 0);
    const char *masks[] = {"/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware", "/proc/sys", "/proc", "/sys", "/dev", "/"};
    for (int i = 0; i < sizeof masks / sizeof *masks; i++) refused(masks[i], umount2(masks[i], MNT_DETACH), EPERM, 0);
    refused("open_tree", syscall(SYS_open_tree, AT_FDCWD, "/", 1), EPERM, 0);
    refused("fsopen", syscall(SYS_fsopen, "tmpfs", 0), EPERM, 0);
    refused("fspick", syscall(SYS_fspick, AT_FDCWD, "/", 0), EPERM, 0);
    refused("move_mount", syscall(SYS_move_mount, AT_FDCWD, "/proc", AT_FDCWD, "/tmp/m", 0), EPERM, 0);
    refused("mount_setattr", syscall(442, AT_FDCWD, "/sys", 0, NULL, 0), EPERM, 0);
    refused("pivot_root", syscall(SYS_pivot_root, "/tmp", "/tmp/m"), EPERM, 0);
    return done();
}
