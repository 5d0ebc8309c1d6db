#!/bin/sh
# does: fills its file system, which is in memory
# upper: memory
# limits: disk=16M
# hits: disk
i=0
while [ $i -lt 64 ]; do i=$((i + 1)); head -c 1000000 /dev/zero > /tmp/$i 2>/dev/null; done
[ "$(du -sm /tmp | cut -f1)" -le 17 ] || echo "ESCAPED $(du -sm /tmp) MiB"
true
