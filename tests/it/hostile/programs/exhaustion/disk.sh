#!/bin/sh
# does: fills the disk with many files
# limits: disk=32M
# ends: signal 9 or code 0
# hits: disk
# time: 120
i=0
while [ $i -lt 200 ]; do i=$((i + 1)); head -c 8000000 /dev/zero > /tmp/$i 2>/dev/null || full=yes; [ $i -lt 20 ] || sleep 0.1; done
[ "$full" ] || echo "ESCAPED $(du -sm /tmp) MiB"
true
