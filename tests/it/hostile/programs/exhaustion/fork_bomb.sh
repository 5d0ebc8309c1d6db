#!/bin/sh
# does: the fork bomb
# limits: pids=64
# time: 4
# ends: timed-out or code 0 or code 2 or code 254 or signal 9
# may hit: memory
# hits: pids
# rootless hits: none
# why: refused forks are not counted
bomb() { bomb | bomb & }
bomb
sleep 2
exit 0
