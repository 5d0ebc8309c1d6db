#!/bin/sh
# does: reads every file that is there, other than programs, for the keeper to look for the secret in
find / \( -path /usr -o -path /proc -o -path /sys -o -path /hostile \) -prune -o -type f -size -64k -exec cat {} + 2>/dev/null | head -c 900000 | tr -c 'a-zA-Z0-9\n' '.'
cat "$CANARY" "/proc/1/root$CANARY" "$(dirname "$CANARY")/folder/file" 2>/dev/null
true
