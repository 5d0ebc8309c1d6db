#!/bin/sh
# does: lists what is in /proc beside processes
cd /proc && ls -A | grep -v '^[0-9]*$'
