#!/bin/sh
# does: lists what is in /sys, and the network's devices
cd /sys 2>/dev/null && ls -A
ls /sys/class/net 2>/dev/null | sed 's|^|class/net/|'
ls -A /sys/fs/cgroup /sys/kernel/debug /sys/kernel/tracing /sys/kernel/security /sys/fs/bpf /sys/firmware 2>/dev/null | grep -v ':$' | grep .
true
