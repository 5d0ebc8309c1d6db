#!/usr/bin/env python3
"""Writes rows.jsonl from tasks/ and envs/, and proves it by running every suite three times.

A folder of tasks/ holds the statement, the reference change and its tests as patches to the source
distribution that the package's recipe names. The tests that pass without the change and with it
are the row's PASS_TO_PASS; those that only pass with it, its FAIL_TO_PASS.

usage: make.py [package ...]      needs Python 3.11, git and the package index
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import tomllib

HERE = pathlib.Path(__file__).resolve().parent


def run(*command, cwd, may_fail=False):
    done = subprocess.run(command, cwd=cwd, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    if done.returncode and not may_fail:
        sys.exit(f"{' '.join(map(str, command))}:\n{done.stdout}")
    return done.stdout


def recipe(package):
    text = (HERE / "envs" / f"pypi__{package}.toml").read_text()
    [env] = tomllib.loads(text)["env"]
    return env


def unpack(requirement, folder):
    """The files of a source distribution, as a repository of one commit."""
    run(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:",
        requirement, cwd=folder)
    [archive] = folder.glob("*.tar.gz")
    run("tar", "--no-same-owner", "-xzf", archive.name, cwd=folder)
    tree = folder / archive.name.removesuffix(".tar.gz")
    run("git", "init", "--quiet", cwd=tree)
    run("git", "add", "--all", "--force", cwd=tree)
    run("git", "-c", "user.name=make", "-c", "user.email=make@localhost",
        "commit", "--quiet", "--message", requirement, cwd=tree)
    return tree


def outcomes(tree, bin_dir, command):
    """The tests that pass and the others, by the first word of their names, as log parsers see them."""
    log = run("bash", "-c", f'PATH="{bin_dir}:$PATH"; {command}', cwd=tree, may_fail=True)
    states = {}
    for line in log.splitlines():
        if found := re.match(r"(PASSED|FAILED|ERROR|XFAIL) (\S+)( - .*)?$", line):
            states.setdefault(found[2], set()).add(found[1])
    passing = {name for name, seen in states.items() if seen == {"PASSED"}}
    return passing, states.keys() - passing


def make_row(package):
    env = recipe(package)
    task = HERE / "tasks" / package
    gold, tests = ((task / f"{name}.patch").read_text() for name in ("gold", "test"))
    directives = re.findall(r"^diff --git a/.* b/(.*)$", tests, re.MULTILINE)
    command = " ".join([env["test_command"], *directives])
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        tree = unpack(env["source"].removeprefix("sdist:"), folder)
        run(sys.executable, "-m", "venv", "venv", cwd=folder)
        bin_dir = folder / "venv" / "bin"
        run(bin_dir / "python", "-m", "pip", "install", "--quiet", *env["packages"], cwd=tree)
        run(bin_dir / "python", "-m", "pip", "install", "--quiet", "-e", ".", cwd=tree)
        _, always = outcomes(tree, bin_dir, command)
        run("git", "apply", task / "test.patch", cwd=tree)
        before, _ = outcomes(tree, bin_dir, command)
        run("git", "apply", task / "gold.patch", cwd=tree)
        after, failing = outcomes(tree, bin_dir, command)
    if failing - always or not after - before:
        sys.exit(f"{package}: broken {sorted(failing - always)}, mended {sorted(after - before)}")
    print(f"{package}: {len(after - before)} to pass, {len(before)} to go on passing")
    return {
        "repo": f"pypi/{package}",
        "instance_id": f"pypi__{package}-1",
        "version": env["versions"][0],
        "problem_statement": (task / "statement.md").read_text(),
        "patch": gold,
        "test_patch": tests,
        "FAIL_TO_PASS": sorted(after - before),
        "PASS_TO_PASS": sorted(before),
    }


def main():
    path = HERE / "rows.jsonl"
    old = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    rows = {row["instance_id"]: row for row in old}
    packages = sys.argv[1:] or sorted(folder.name for folder in (HERE / "tasks").iterdir())
    for package in packages:
        row = make_row(package)
        rows[row["instance_id"]] = row
    path.write_text("".join(json.dumps(rows[name]) + "\n" for name in sorted(rows)))


if __name__ == "__main__":
    main()
