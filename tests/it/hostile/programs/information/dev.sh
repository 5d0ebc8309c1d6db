#!/bin/sh
# does: lists what is in /dev
cd /dev && find . -not -path './pts/*' | sort
