"""Megabytes a second of the installed swebench package's log parsers on one core. Reads a JSON list
of {path, parser} from standard input and prints one number; decoding is part of the time, since a
parser is given text."""

import contextlib
import io
import json
import sys
import time
import types

from swebench.harness.log_parsers import PARSER_REGISTRY

logs = [(PARSER_REGISTRY[log["parser"]], open(log["path"], "rb").read()) for log in json.load(sys.stdin)]
spec = types.SimpleNamespace(instance_id="owner__name-2006", version="9.5")


def work():
    for parser, data in logs:
        text = data.decode("utf-8", errors="replace").replace("\r\n", "\n").replace("\r", "\n")
        # Some print what they cannot read, some raise.
        with contextlib.suppress(Exception), contextlib.redirect_stdout(io.StringIO()):
            parser(text, spec)


work()
rounds, began = 0, time.perf_counter()
while time.perf_counter() - began < 2:
    work()
    rounds += 1
print(sum(len(data) for _, data in logs) / 1e6 * rounds / (time.perf_counter() - began))
