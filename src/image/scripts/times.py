"""Gives all that was made since a time one and the same time, but directories.

Python remembers in a compiled file the time of its source: that is changed along with it.
"""
import os
import struct
import sys

TIME = 946684800
began, places = float(sys.argv[1]), sys.argv[2:]
before, compiled = {}, []


def give(path):
    os.utime(path, (TIME, TIME), follow_symlinks=False)


for place in places:
    for folder, names, files in os.walk(place):
        links = [name for name in names if os.path.islink(os.path.join(folder, name))]
        if ".git" in names:
            names.remove(".git")
        for name in files + links:
            path = os.path.join(folder, name)
            status = os.lstat(path)
            if status.st_ctime < began or status.st_mtime == TIME:
                continue
            before[path] = int(status.st_mtime) & 0xFFFFFFFF
            if name.endswith(".pyc") and os.path.basename(folder) == "__pycache__":
                compiled.append(path)
            give(path)

for path in compiled:
    folder, name = os.path.split(path)
    source = os.path.join(os.path.dirname(folder), name.split(".")[0] + ".py")
    with open(path, "r+b") as file:
        head = file.read(12)
        if len(head) < 12 or source not in before:
            continue
        flags, time = struct.unpack("<II", head[4:])
        if flags != 0 or time != before[source]:
            continue
        file.seek(8)
        file.write(struct.pack("<I", TIME))
    give(path)
print("%d files" % len(before))
