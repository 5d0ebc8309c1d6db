#!/bin/sh
# does: is an image whose shell is a loop
# image: shell-loop
# ends: cannot start
exit 2
