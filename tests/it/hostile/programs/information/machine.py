#!/usr/bin/python3
# does: looks in Python for what differs from a machine of its own: CPUs, users, paths, sockets
import os, socket, sys
problems = []
if os.path.exists(os.environ["CANARY"]): problems.append("the canary is there")
if socket.gethostname() == os.environ["HOST_NAME"]: problems.append("the machine's name")
for fd in range(3, 100):
    try:
        os.fstat(fd); problems.append(f"descriptor {fd}")
    except OSError: pass
for path in sys.path:
    if path.startswith(("/root", "/home")) and os.path.exists(path): problems.append(path)
for name in socket.if_nameindex():
    if name[1] != "lo": problems.append(f"device {name}")
for line in open("/proc/net/tcp").readlines()[1:]: problems.append("a connection: " + line)
for problem in problems: print("ESCAPED", problem)
sys.exit(1 if problems else 0)
