#!/usr/bin/env python3
"""Runs swebench (the incumbent) and evalrun on the same images and predictions, and compares them.

    benches/parity.py --rows verified.jsonl --ids psf__requests-1142 ... --home HOME --export

The images are those under which swebench looks for its rows: they must be in the Docker daemon, or with
--export they are brought there from evalrun's store (--home), where `evalrun images build` made them.
Predictions are `gold`, `empty`, `wrong` (made here: nothing but a new file, and of patches with several
hunks all but the last) or files. swebench is installed from PyPI into a virtual environment below
--scratch unless --python names one that has it.

For every instance both verdicts and both test lists are printed, and for every run: wall time, sum of the
times of the test scripts, efficiency (that sum divided by wall time times workers; all images are ready),
core-seconds an instance (all that this machine did meanwhile, the daemon's work included: nothing else
should run), peak memory of the harness' own process, and what it left on disk. Exit code 1: they differ.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

CATEGORIES = ("resolved", "unresolved", "empty_patch", "error")
TICKS = os.sysconf("SC_CLK_TCK")


def main():
    args = arguments()
    scratch = pathlib.Path(args.scratch).absolute()
    scratch.mkdir(parents=True, exist_ok=True)
    rows = selected(args)
    dataset = scratch / "rows.json"
    dataset.write_text(json.dumps(rows))
    python = pathlib.Path(args.python).absolute() if args.python else incumbent(scratch, args.version)
    if args.export:
        export(args, rows)
    sets = [prediction_set(name, rows, scratch) for name in args.predictions]
    stamp = time.strftime("%H%M%S")
    differences, figures = 0, []
    for workers in args.workers:
        for name, predictions in sets:
            run_id = f"parity-{stamp}-{name}-{workers}"
            runs = [theirs(python, dataset, predictions, (run_id, workers), scratch)]
            for backend in args.backends:
                runs.append(ours(args, scratch, predictions, (f"{run_id}-{backend}", workers, backend)))
            for run in runs:
                figures.append((name, workers, run))
            differences += compare(name, [row["instance_id"] for row in rows], runs)
    table(figures, len(rows))
    print(f"\n{differences} differences")
    sys.exit(1 if differences else 0)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", required=True, help="a file of rows: .jsonl, or .json with a list")
    parser.add_argument("--ids", nargs="*", help="instances, or files with one a line; else all rows")
    parser.add_argument("--predictions", nargs="+", default=["gold", "empty", "wrong"])
    parser.add_argument("--workers", nargs="+", type=int, default=[2])
    parser.add_argument("--backends", nargs="+", default=["docker", "native"])
    parser.add_argument("--evalrun", default="target/release/evalrun")
    parser.add_argument("--home", help="evalrun's folder of images")
    parser.add_argument("--export", action="store_true", help="bring images from there to the daemon")
    parser.add_argument("--python", help="a Python that has swebench")
    parser.add_argument("--version", default="5.0.2", help="of swebench, where it is installed")
    parser.add_argument("--scratch", default="target/parity")
    parser.add_argument("--timeout", type=int, default=1800)
    return parser.parse_args()


def selected(args):
    text = pathlib.Path(args.rows).read_text()
    rows = json.loads(text) if args.rows.endswith(".json") else [json.loads(l) for l in text.splitlines() if l]
    if not args.ids:
        return rows
    ids = []
    for word in args.ids:
        path = pathlib.Path(word)
        ids += path.read_text().split() if path.is_file() else [word]
    by_id = {row["instance_id"]: row for row in rows}
    missing = [one for one in ids if one not in by_id]
    if missing:
        sys.exit(f"error: no rows of {', '.join(missing)}")
    return [by_id[one] for one in dict.fromkeys(ids)]


def incumbent(scratch, version):
    venv = scratch / "venv"
    python = venv / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", f"swebench=={version}"], check=True)
    return python


def image_of(row):
    name = row["instance_id"].lower().replace("__", "_1776_")
    return row.get("image") or f"swebench/sweb.eval.x86_64.{name}:latest"


def export(args, rows):
    for row in rows:
        name = image_of(row)
        there = subprocess.run(["docker", "image", "inspect", name], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
        if there.returncode != 0:
            print(f"exporting {name}", flush=True)
            subprocess.run([args.evalrun, "images", "export", name, "--to", f"docker-daemon:{name}",
                            *home(args)], check=True)


def home(args):
    return ["--home", args.home] if args.home else []


def prediction_set(name, rows, scratch):
    """A name and a file of predictions."""
    if pathlib.Path(name).is_file():
        return pathlib.Path(name).stem, pathlib.Path(name).absolute()
    patches = {
        "gold": lambda row: row["patch"],
        "empty": lambda _: "",
        "wrong": lambda row: wrong(row["patch"]),
    }
    path = scratch / f"{name}.jsonl"
    lines = [{"instance_id": row["instance_id"], "model_name_or_path": name, "model_patch": patches[name](row)}
             for row in rows]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return name, path


def wrong(patch):
    """All hunks but the last; of a patch with one hunk nothing, but a new file."""
    hunks = [match.start() for match in re.finditer(r"^@@ ", patch, re.M)]
    if len(hunks) > 1:
        cut = patch[:hunks[-1]]
        # A heading of a file without hunks is no patch.
        heading = cut.rfind("\ndiff --git ")
        if heading >= 0 and "\n@@ " not in cut[heading:]:
            cut = cut[:heading + 1]
        return cut
    return ("diff --git a/not_a_fix.txt b/not_a_fix.txt\nnew file mode 100644\n"
            "--- /dev/null\n+++ b/not_a_fix.txt\n@@ -0,0 +1 @@\n+This mends nothing.\n")


def theirs(python, dataset, predictions, named, scratch):
    run_id, workers = named
    command = [python, "-m", "swebench.harness.run_evaluation", "-d", dataset, "-p", predictions,
               "-id", run_id, "--max_workers", workers, "--report_dir", scratch / "reports"]
    run = measured("swebench", command, scratch)
    run["logs"] = scratch / "logs" / "run_evaluation" / run_id
    run["report"] = next(iter((scratch / "reports").glob(f"*.{run_id}.json")), None) \
        or next(iter(scratch.glob(f"*.{run_id}.json")), None)
    return finished(run)


def ours(args, scratch, predictions, named):
    run_id, workers, backend = named
    command = [pathlib.Path(args.evalrun).absolute(), "run", "--dataset", scratch / "rows.json",
               "--predictions", predictions, "--run-id", run_id, "--parallel", workers, "--quiet",
               "--backend", backend, "--timeout", args.timeout, "--no-cache", "--report-dir", scratch / "evalrun", *home(args)]
    run = measured(f"evalrun, {backend}", command, scratch)
    run["logs"] = scratch / "evalrun" / run_id
    run["report"] = next(iter(run["logs"].glob(f"*.{run_id}.json")), None)
    return finished(run)


def measured(what, command, folder):
    """Runs a command: wall time, core-seconds of the machine, peak memory of the process."""
    print(f"running {what}", flush=True)
    log = folder / f"{what.replace(', ', '-')}.log"
    before, started, peak = busy(), time.monotonic(), 0
    with log.open("ab") as out:
        process = subprocess.Popen([str(word) for word in command], cwd=folder, stdout=out, stderr=out)
        while process.poll() is None:
            peak = max(peak, high_water(process.pid))
            time.sleep(0.05)
    return {"what": what, "wall": time.monotonic() - started, "cores": busy() - before, "peak": peak,
            "status": process.returncode, "log": log}


def busy():
    """Seconds that all cores have worked since the machine started."""
    fields = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    values = [int(field) for field in fields]
    return (sum(values) - values[3] - values[4]) / TICKS


def high_water(pid):
    try:
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmHWM:\s+(\d+)", text)
    return int(found.group(1)) << 10 if found else 0


def finished(run):
    """Adds verdicts, test lists, the sum of test times, and bytes on disk."""
    if run["report"] is None:
        sys.exit(f"error: {run['what']} ended with {run['status']} and left no report; see {run['log']}")
    report = json.loads(run["report"].read_text())
    run["verdicts"] = {one: category for category in CATEGORIES for one in report[f"{category}_ids"]}
    run["tests"], run["script"], run["bytes"] = {}, 0.0, 0
    for path in run["logs"].rglob("*"):
        if path.is_file():
            run["bytes"] += path.stat().st_size
        if path.name == "report.json":
            for instance, about in json.loads(path.read_text()).items():
                run["tests"][instance] = test_lists(about)
        if path.name == "run_instance.log":
            found = re.findall(r"Test runtime: ([\d_.]+) seconds", path.read_text(errors="replace"))
            run["script"] += sum(float(one.replace("_", "")) for one in found[-1:])
    return run


def test_lists(about):
    """The tests of each list, in an order of their own."""
    status = about.get("tests_status") or {}
    return {(kind, end): sorted(tests) for kind, ends in status.items() for end, tests in ends.items()
            if kind in ("FAIL_TO_PASS", "PASS_TO_PASS")}


def compare(name, ids, runs):
    """Prints instance by instance; returns how many differ from the first run."""
    differences = 0
    print(f"\n{name}: verdicts, and tests that passed or failed of those expected to be mended (F) and kept (P)")
    for instance in ids:
        cells, first = [], runs[0]
        for run in runs:
            verdict = run["verdicts"].get(instance, "-")
            tests = run["tests"].get(instance)
            same = verdict == first["verdicts"].get(instance, "-") and tests == first["tests"].get(instance)
            differences += not same
            cells.append(f"{run['what']}: {verdict} {counts(tests)}{'' if same else '  DIFFERENT'}")
        print(f"  {instance:40} " + " | ".join(cells))
    return differences


def counts(tests):
    if not tests:
        return ""
    size = lambda kind, end: len(tests.get((kind, end), []))
    return (f"F {size('FAIL_TO_PASS', 'success')}/{size('FAIL_TO_PASS', 'failure')} "
            f"P {size('PASS_TO_PASS', 'success')}/{size('PASS_TO_PASS', 'failure')}")


def table(figures, instances):
    print(f"\n{'predictions':12} {'harness':18} {'workers':>7} {'wall s':>8} {'tests s':>8} {'efficiency':>10} "
          f"{'cores s/inst':>12} {'peak MiB':>9} {'logs KiB':>9}")
    for name, workers, run in figures:
        efficiency = run["script"] / (run["wall"] * workers)
        print(f"{name:12} {run['what']:18} {workers:7} {run['wall']:8.1f} {run['script']:8.1f} "
              f"{efficiency:9.0%}  {run['cores'] / instances:12.2f} {run['peak'] / (1 << 20):9.0f} "
              f"{run['bytes'] / 1024:9.0f}")
    if shutil.which("docker"):
        sizes = subprocess.run(["docker", "system", "df"], stdout=subprocess.PIPE, text=True)
        print(f"\nthe daemon's disk:\n{sizes.stdout}")


main()
