#!/bin/sh
# does: looks for the name, the addresses and the ids of the machine
[ "$(cat /proc/sys/kernel/hostname)" = "$HOST_NAME" ] && echo "ESCAPED the machine's name"
grep -rqsF "$HOST_NAME" /etc/hosts /etc/hostname /proc/sys/kernel/hostname && echo "ESCAPED the machine's name in a file"
[ -s /etc/resolv.conf ] && echo "ESCAPED the machine's name servers"
[ -e /etc/machine-id ] && echo "ESCAPED the machine's id"
grep -v ' 00000000000000000000000000000001 \|lo$' /proc/net/if_inet6 2>/dev/null && echo "ESCAPED an address"
[ "$(tail -n +2 /proc/net/route 2>/dev/null | wc -l)" = 0 ] || echo "ESCAPED a route"
tail -n +3 /proc/net/dev | grep -v ' lo:' && echo "ESCAPED a device"
[ "$(tail -n +2 /proc/net/arp | wc -l)" = 0 ] || echo "ESCAPED a neighbour of the machine"
true
