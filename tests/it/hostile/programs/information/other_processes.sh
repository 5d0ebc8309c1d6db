#!/bin/sh
# does: looks for processes of the machine and of other sandboxes
for pid in /proc/[0-9]*; do
  tr '\0' ' ' < "$pid/cmdline" 2>/dev/null
  cat "$pid/comm" "$pid/cgroup" 2>/dev/null
  tr '\0' '\n' < "$pid/environ" 2>/dev/null
done > /tmp/seen
grep -ai 'evalrun-[0-9]\|neighbour[^_]*$\|s3cret\|hostile_secret' /tmp/seen | grep -v NEIGHBOUR_ | sed 's/^/ESCAPED /'
ls -d /proc/$HOST_PID 2>/dev/null | sed 's/^/ESCAPED /'
[ "$(ls -d /proc/[0-9]* | wc -l)" -lt 10 ] || echo "ESCAPED many processes"
cat /proc/locks | grep . | sed 's/^/ESCAPED lock /'
cat /proc/sysvipc/shm /proc/sysvipc/sem /proc/sysvipc/msg | grep -v key | sed 's/^/ESCAPED ipc /'
find / -xdev \( -path /usr -o -path /proc \) -prune -o -name 'neighbour*' -print 2>/dev/null | sed 's/^/ESCAPED /'
true
