#!/bin/sh
# does: is an image whose shell is a directory
# image: shell-directory
# ends: cannot start
exit 2
