#!/bin/sh
# does: prints to somebody who does not read
# output: unread
# time: 3
# ends: timed-out
yes
