#!/bin/sh
# does: lists what is mounted, of which kind and how
while read -r _ _ _ _ target flags rest; do
  kind=${rest#*- }
  kind=${kind%% *}
  [ "$kind" = ext4 ] || [ "$kind" = btrfs ] || [ "$kind" = xfs ] || case $target in /usr* | /lib* | /bin | /sbin) kind=disk ;; esac
  case $target in /usr* | /lib* | /bin | /sbin) kind=disk ;; esac
  case $flags in rw* | *,rw*) how=rw ;; *) how=ro ;; esac
  echo "$target $kind $how $(echo "$flags" | tr , '\n' | grep -x 'nosuid\|nodev\|noexec' | sort | tr '\n' ' ')" | sed 's/ $//'
done < /proc/self/mountinfo
