#!/usr/bin/env python3
"""Compares the official text rules with the grader of the installed `swebench` package.

    cargo build --example grade_log
    python tests/oracle/grader.py [--count 5000] [--seed 1]

Logs are made of results, markers, exit statuses and signs of running suites in any order. Verdict
and lists of tests must be equal. Exits with 1 on differences.
"""

import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import types

from swebench.harness.grading import get_eval_report

ROOT = pathlib.Path(__file__).resolve().parents[2]
TESTS = ["a", "b", "c", "t[x", "t[x]", "t[x y]", "u[1", "u[1]", "[[", "x]"]
PIECES = [
    "+ : '>>>>> Start Test Output'", "+ : '>>>>> End Test Output'", ">>>>> Test Exit Code: 0", ">>>>> Test Exit Code: 1", "+ echo '>>>>> Test Exit Code: -2'", ">>>>> Test Exit Code:\u00a0٣",
    "12 passing", "0 passing", "Tests:  3 x", "Executed 5 of 6", "TOTAL: 1 SUCCESS", "Test Suites: 1 failed, 12 total", "# tests 7", " # tests 7", "1 spec, 0 failures", "x': ok", "': ok y", "Test Suites: é é, 1 total",
    ">>>>> Patch Apply Failed", ">>>>> Tests Errored", "FAIL: x y", "ERROR:root:x",
]
WEIGHTS = [6, 6] + [2] * 4 + [2] * 12 + [0.2, 0.2, 1, 0.2]
WORDS = ["PASSED", "PASSED", "PASSED", "FAILED", "ERROR", "SKIPPED", "XFAIL", "PASSEDX", "FAILED:"]


def a_log(rng):
    lines = []
    for _ in range(rng.choice([0, 1, 2, 4, 8])):
        lines.append(f"{rng.choice(WORDS)} {rng.choice(TESTS)}" if rng.random() < 0.6 else rng.choices(PIECES, WEIGHTS)[0])
    if rng.random() < 0.85:
        lines.insert(rng.randrange(len(lines) // 2 + 1), PIECES[0])
        lines.insert(rng.randrange(len(lines) // 2, len(lines) + 1), PIECES[1])
    end = rng.choice(["\n", "\n", "\n", "\r\n", "\r"])
    return end.join(lines) + rng.choice(["", end])


def theirs(row, text):
    spec = types.SimpleNamespace(instance_id="owner__name-1", version="", repo="owner/name", **row)
    prediction = {"instance_id": "owner__name-1", "model_name_or_path": "m", "model_patch": "x"}
    with tempfile.NamedTemporaryFile("wb", suffix=".txt") as file:
        file.write(text.encode())
        file.flush()
        try:
            report = get_eval_report(spec, prediction, file.name, True)["owner__name-1"]
        except IndexError:
            return "log_unusable", None
    if not report["patch_successfully_applied"]:
        return "log_unusable", None
    lists = {key: report["tests_status"][key] for key in ("FAIL_TO_PASS", "PASS_TO_PASS")}
    return ("resolved" if report["resolved"] else "unresolved"), lists


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--count", type=int, default=5000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--binary", default=str(ROOT / "target/debug/examples/grade_log"))
    options = options.parse_args()
    rng = random.Random(options.seed)
    cases = []
    for _ in range(options.count):
        picked = rng.sample(TESTS, rng.choice([0, 1, 2, 3]))
        cut = rng.randrange(len(picked) + 1)
        row = {
            "FAIL_TO_PASS": picked[:cut], "PASS_TO_PASS": picked[cut:],
            "eval_type": rng.choice(["pass_and_fail", "pass_and_fail", "fail_only"]),
            "log_parser": rng.choice(["parse_log_pytest", "parse_log_pytest_v2", "parse_log_django"]),
        }
        cases.append((row, a_log(rng)))
    requests = "".join(json.dumps({"row": row, "hex": text.encode().hex()}) + "\n" for row, text in cases)
    answer = subprocess.run([options.binary], input=requests.encode(), stdout=subprocess.PIPE, check=True)
    different, counts = [], {}
    for (row, text), line in zip(cases, answer.stdout.splitlines(), strict=True):
        ours = json.loads(line)
        verdict, lists = theirs(row, text)
        counts[verdict] = counts.get(verdict, 0) + 1
        if ours["verdict"] != verdict or lists and ours["official"]["tests"] != lists:
            different.append((len(text), row, text, verdict, lists, ours))
    print(f"{len(cases)} logs, {len(different)} different; theirs: {counts}")
    for case in sorted(different, key=lambda case: case[0])[:5]:
        print("   ", *map(repr, case[1:]), sep="\n    ")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
