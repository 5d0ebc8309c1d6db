#!/usr/bin/env python3
"""What a sandbox costs a real package's tests: its pytest here and in a sandbox, in turns.

    cargo build --release && cargo build --release --example repeat
    python3 benches/pytest_pairs.py DIR [--package attrs==25.4.0] [--pairs 20] [--limit 1.05]

The package comes from the index by pip, with the tests of its source distribution, into DIR, where
it stays for the next time. Both sides have the same interpreter, environment, folder and files, and
write their output to a file; each pair takes the other side first. The time of a sandbox is that
from asking for it until it is gone. Prints each pair, and as JSON all ratios and their median; fails
if that is above the limit, or if the tests fail on either side.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tarfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What the tests need besides pytest.
NEEDS = {
    "attrs": ["hypothesis", "cloudpickle"],
    "jinja2": ["trio"],
    "packaging": ["pretend"],
    "click": [],
}


def prepare(folder, package, python):
    """Makes the folder: an environment, and the package's source beside it; returns the latter."""
    name = package.split("=")[0].lower()
    done = folder / "ready"
    if done.exists() and done.read_text().startswith(package + "\n"):
        return pathlib.Path(done.read_text().splitlines()[1])
    folder.mkdir(parents=True, exist_ok=True)
    run = lambda *words: subprocess.run([str(word) for word in words], check=True,
                                        stdout=subprocess.DEVNULL)
    run(python, "-m", "venv", folder / "venv")
    pip = [folder / "venv/bin/python", "-m", "pip", "-q", "--disable-pip-version-check"]
    run(*pip, "download", "--no-deps", "--no-binary", name, "-d", folder, package)
    archive = next(path for path in folder.glob("*.tar.gz"))
    with tarfile.open(archive) as sdist:
        sdist.extractall(folder, filter="data")
    source = next(path for path in folder.iterdir() if (path / "tests").is_dir())
    run(*pip, "install", "pytest<9", *NEEDS.get(name, []), source)
    done.write_text(f"{package}\n{source}\n")
    return source


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--package", default="attrs==25.4.0")
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--limit", type=float, default=1.05)
    parser.add_argument("--python", default="/usr/bin/python3")
    parser.add_argument("--repeat", default=ROOT / "target/release/examples/repeat")
    parser.add_argument("--only", help="passed to pytest's -k")
    options = parser.parse_args()
    folder = options.folder.resolve()
    source = prepare(folder, options.package, options.python)
    words = [str(folder / "venv/bin/python"), "-m", "pytest", "-q", "-p", "no:randomly"]
    words += ["--rootdir", str(source), str(source / "tests")]
    if (folder / "venv/bin/hypothesis").exists():
        words.append("--hypothesis-seed=0")
    if options.only:
        words += ["-k", options.only]
    # What every command in a sandbox has.
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    environment = {"HOME": "/root", "PATH": path}

    def here():
        began = time.monotonic()
        with open(folder / "here.txt", "w") as output:
            code = subprocess.run(words, cwd=folder, env=environment, stdout=output,
                                  stderr=output, stdin=subprocess.DEVNULL).returncode
        return time.monotonic() - began, code

    here()  # Both sides find what Python compiles.
    inside = subprocess.Popen([options.repeat, folder, folder / "inside.txt", *words],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def in_sandbox():
        inside.stdin.write("\n")
        inside.stdin.flush()
        said = json.loads(inside.stdout.readline())
        return said["seconds"], said["code"]

    in_sandbox()
    pairs = []
    for number in range(options.pairs):
        sides = [here, in_sandbox] if number % 2 == 0 else [in_sandbox, here]
        (first, one), (second, two) = (side() for side in sides)
        host, sandbox = (first, second) if number % 2 == 0 else (second, first)
        if one != 0 or two != 0:
            sys.exit(f"the tests ended with {one} and {two}; see {folder}/here.txt and inside.txt")
        pairs.append((host, sandbox))
        print(f"{number + 1:3} host {host:.3f} s, sandbox {sandbox:.3f} s, "
              f"ratio {sandbox / host:.4f}", file=sys.stderr, flush=True)
    inside.stdin.close()
    inside.wait()
    tail = lambda name: (folder / name).read_text().strip().splitlines()[-1]
    ratios = [sandbox / host for host, sandbox in pairs]
    median = statistics.median(ratios)
    print(json.dumps({
        "package": options.package,
        "tests": {"here": tail("here.txt"), "inside": tail("inside.txt")},
        "host_median_seconds": round(statistics.median(host for host, _ in pairs), 3),
        "sandbox_median_seconds": round(statistics.median(inside for _, inside in pairs), 3),
        "ratios": [round(ratio, 4) for ratio in ratios],
        "median": round(median, 4),
        "limit": options.limit,
    }))
    return 0 if median <= options.limit else 1


sys.exit(main())
