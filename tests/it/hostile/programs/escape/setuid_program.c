/*
 * does: is a set-user-id program of root's, run by somebody else
 * mode: 6755
 * user: 1234:1234
 * why: there are no other users
 */
int main(void) {
    if (one_user()) return 0;
    if (geteuid() == 0 || getegid() == 0) escaped("uid %d gid %d", geteuid(), getegid());
    if (setuid(0) == 0) escaped("setuid");
    refused("the secret of root", open("/root/x", O_CREAT | O_RDWR, 0600), EACCES, 0);
    return done();
}
