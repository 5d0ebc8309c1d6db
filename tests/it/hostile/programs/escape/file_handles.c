/*
 * does: opens files of the machine by their handles, counting up ("shocker")
 */
int main(void) {
    struct { struct file_handle h; unsigned char bytes[128]; } u;
    int mount_id, root = open("/", O_RDONLY), usr = open("/usr", O_RDONLY);
    for (int ino = 1; ino < 200; ino++) {
        memset(&u, 0, sizeof u);
        u.h.handle_bytes = 8;
        u.h.handle_type = 1;
        memcpy(u.h.f_handle, &ino, 4);
        refused("a handle", open_by_handle_at(root, &u.h, O_RDONLY), EPERM, 0);
        refused("a handle below /usr", open_by_handle_at(usr, &u.h, O_RDONLY), EPERM, 0);
    }
    u.h.handle_bytes = 128;
    if (name_to_handle_at(usr, "", &u.h, &mount_id, AT_EMPTY_PATH) == 0)
        refused("a true handle", open_by_handle_at(usr, &u.h, O_RDONLY), EPERM, 0);
    return done();
}
