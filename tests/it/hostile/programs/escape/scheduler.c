/*
 * does: takes more than its share of the CPU by priority and real time, and pid 1's from it
 * then: works
 */
int main(void) {
    struct sched_param high = {50};
    refused("real time", sched_setscheduler(0, SCHED_FIFO, &high), EPERM, 0);
    refused("round robin", sched_setscheduler(0, SCHED_RR, &high), EPERM, 0);
    refused("nice", setpriority(PRIO_PROCESS, 0, -20), EACCES, EPERM);
    refused("io priority", syscall(SYS_ioprio_set, 1, 0, 1 << 13), EPERM, 0);
    /* What would keep pid 1 from its work. */
    refused("nice of pid 1", setpriority(PRIO_PROCESS, 1, 19), EPERM, 0);
    refused("nice of all", setpriority(PRIO_USER, 0, 19), EPERM, 0);
    refused("pid 1 idle", sched_setscheduler(1, SCHED_IDLE, &(struct sched_param){0}), EPERM, 0);
    refused("parameters of pid 1", sched_setparam(1, &(struct sched_param){0}), EPERM, 0);
    refused("attributes of pid 1", syscall(SYS_sched_setattr, 1, (char[48]){48, 0, 0, 0, 5}, 0), EPERM, 0);
    cpu_set_t first;
    CPU_ZERO(&first);
    CPU_SET(0, &first);
    refused("CPUs of pid 1", sched_setaffinity(1, sizeof first, &first), EPERM, 0);
    refused("io priority of pid 1", syscall(SYS_ioprio_set, 1, 1, 3 << 13), EPERM, 0);
    refused("io priority of all", syscall(SYS_ioprio_set, 3, 0, 3 << 13), EPERM, 0);
    int score = open("/proc/1/oom_score_adj", O_WRONLY);
    if (score >= 0 && write(score, "1000", 4) == 4) escaped("pid 1 is the first to be killed");
    for (int limit = 0; limit < RLIM_NLIMITS; limit++)
        refused("a limit of pid 1", prlimit(1, limit, &(struct rlimit){1, 1}, NULL), EPERM, 0);
    struct rlimit any = {100, 100};
    refused("nice limit", setrlimit(RLIMIT_NICE, &any), EPERM, 0);
    refused("real-time limit", setrlimit(RLIMIT_RTPRIO, &any), EPERM, 0);
    struct rlimit core = {RLIM_INFINITY, RLIM_INFINITY};
    refused("core limit", setrlimit(RLIMIT_CORE, &core), EPERM, 0);
    int file = open("/proc/self/oom_score_adj", O_WRONLY);
    if (write(file, "-1000", 5) == 5) escaped("the kernel will not kill it");
    return done();
}
