#!/bin/sh
# does: is an image whose shell is a fifo
# image: shell-fifo
# ends: cannot start
exit 2
