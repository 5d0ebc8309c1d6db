#!/usr/bin/env python3
"""Many tasks whose tests mostly sleep: how many run at a time, and what evalrun itself needs.

    python3 benches/sleepers.py write DIR [--tasks 2000] [--seconds 5]
    python3 benches/sleepers.py run DIR --evalrun target/release/evalrun [--parallel 500]

`write` makes a dataset directory with its predictions, one in seven of them wrong. `run` evaluates
them and prints, as JSON, the wall time, the most that ran at a time by the journal, the peak of the
main process's resident memory, and whether every verdict is right; it fails if one is not.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import time

RECIPE = """# Sleepers: a shell and git.
repo = "bench/sleepers"

[[env]]
versions = ["1"]
base = "host"
tools = ["git", "patch", "sh"]
source = "dir:../repo"
test_command = "sh check.sh"
log_parser = "parse_log_pytest"
"""

CHECK = """#!/bin/sh
sleep {seconds}
if [ "$(cat answer)" = right ]; then echo "PASSED answer"; exit 0; fi
echo "FAILED answer"
exit 1
"""


def new_file(path, text):
    lines = text.splitlines()
    head = f"diff --git a/{path} b/{path}\nnew file mode 100755\n--- /dev/null\n+++ b/{path}\n"
    return head + f"@@ -0,0 +1,{len(lines)} @@\n" + "".join(f"+{line}\n" for line in lines)


def answer(text):
    return f"diff --git a/answer b/answer\n--- a/answer\n+++ b/answer\n@@ -1 +1 @@\n-none\n+{text}\n"


def script(test_patch):
    return (
        "#!/bin/bash\nset -uxo pipefail\ncd /testbed\ngit status\ngit show --stat\ngit diff HEAD\n"
        f"git apply -v - <<'EOF_114329324912'\n{test_patch}EOF_114329324912\n"
        ": '>>>>> Start Test Output'\nsh check.sh\n: '>>>>> End Test Output'\nrm -f check.sh\n"
    )


def is_right(number):
    return number % 7 != 0


def write(folder, tasks, seconds):
    (folder / "envs").mkdir(parents=True, exist_ok=True)
    (folder / "repo").mkdir(exist_ok=True)
    (folder / "repo/answer").write_text("none\n")
    (folder / "envs/bench__sleepers.toml").write_text(RECIPE)
    (folder / "dataset.toml").write_text('name = "sleepers"\nrows = "rows.jsonl"\nenvs = "envs"\n')
    test_patch = new_file("check.sh", CHECK.format(seconds=seconds))
    with open(folder / "rows.jsonl", "w") as rows, open(folder / "predictions.jsonl", "w") as preds:
        for number in range(tasks):
            name = f"bench__sleepers-{number}"
            row = {
                "repo": "bench/sleepers",
                "instance_id": name,
                "version": "1",
                "patch": answer("right"),
                "test_patch": test_patch,
                "FAIL_TO_PASS": ["answer"],
                "PASS_TO_PASS": [],
                "eval_script": script(test_patch),
                "log_parser": "parse_log_pytest",
                "eval_type": "pass_and_fail",
            }
            patch = answer("right" if is_right(number) else "wrong")
            preds.write(json.dumps({"instance_id": name, "model_name_or_path": "bench",
                                    "model_patch": patch}) + "\n")
            rows.write(json.dumps(row) + "\n")


def memory(pid):
    """Resident memory of a process and its peak, in MB; nothing once it is gone."""
    try:
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    found = dict(line.split(":", 1) for line in text.splitlines() if line.startswith("Vm"))
    return int(found["VmHWM"].split()[0]) / 1024 if "VmHWM" in found else None


def run(folder, evalrun, parallel, more):
    run_id = f"sleepers-{int(time.time())}"
    reports = folder / "reports"
    args = [evalrun, "run", "--dataset", str(folder), "--parallel", str(parallel)]
    args += ["--predictions", str(folder / "predictions.jsonl"), "--run-id", run_id]
    args += ["--report-dir", str(reports), *more]
    began = time.monotonic()
    process = subprocess.Popen(args, stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        peak = memory(process.pid) or peak
        time.sleep(0.05)
    took = time.monotonic() - began
    manifest = json.loads((reports / run_id / "manifest.json").read_text())
    report = json.loads((reports / run_id / f"bench.{run_id}.json").read_text())
    tasks = report["total_instances"]
    right = {f"bench__sleepers-{number}" for number in range(tasks) if is_right(number)}
    wrong = {f"bench__sleepers-{number}" for number in range(tasks)} - right
    correct = set(report["resolved_ids"]) == right and set(report["unresolved_ids"]) == wrong
    print(json.dumps({
        "tasks": tasks,
        "seconds": round(took, 1),
        "exit_code": process.returncode,
        "peak_in_flight": manifest["peak_in_flight"],
        "peak_memory_mb": round(peak, 1),
        "verdicts_right": correct,
    }))
    return 0 if correct else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["write", "run"])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--evalrun", default="target/release/evalrun")
    parser.add_argument("--parallel", type=int, default=500)
    options, more = parser.parse_known_args()
    if options.what == "write":
        write(options.folder, options.tasks, options.seconds)
        return 0
    return run(options.folder, options.evalrun, options.parallel, more)


sys.exit(main())
