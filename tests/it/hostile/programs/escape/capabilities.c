/*
 * does: takes capabilities that it was not born with, inherits and keeps them
 */
#include <linux/capability.h>
int main(void) {
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct had[2], want[2];
    syscall(SYS_capget, &head, had);
    for (int cap = 0; cap <= 40; cap++) {
        int allowed = cap < 32 && (0xa80425fbU >> cap & 1);
        if (prctl(PR_CAPBSET_READ, cap) == 1 && !allowed) escaped("capability %d is in the bounding set", cap);
        if (had[cap / 32].effective >> cap % 32 & 1 && !allowed) escaped("capability %d is effective", cap);
        if (allowed) continue;
        memcpy(want, had, sizeof want);
        want[cap / 32].permitted |= 1U << cap % 32;
        want[cap / 32].effective |= 1U << cap % 32;
        refused("capset", syscall(SYS_capset, &head, want), EPERM, 0);
        refused("ambient", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0), 0, 0);
    }
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1) escaped("new privileges are possible");
    refused("new privileges", prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), 0, 0);
    return done();
}
