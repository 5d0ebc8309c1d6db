#!/usr/bin/env python3
"""Compares the log parsers with those of the installed `swebench` package on generated logs.

    pip install swebench==5.0.2        # into a throw-away environment
    cargo build --bin evalrun
    python tests/oracle/parsers.py [--count 2000] [--seed 1] [--parser NAME]… [--real DIR]
    python tests/oracle/parsers.py --record tests/fixtures/parsers.jsonl

For every parser of the package's registry it makes logs out of pieces of that runner's output,
shuffled, cut, doubled, coloured, with CRLF, NUL, invalid UTF-8 and long lines; `--real` adds the
logs of a folder, mutated the same way; `--record` writes some short logs and the package's
answers as the fixture of the unit tests instead of comparing. Status maps must be equal, order included; where the
package's parser raises, ours must say that it failed. Exits with 1 on the first differences,
after showing the smallest log of each kind.
"""

import argparse
import contextlib
import io
import json
import pathlib
import random
import subprocess
import sys
import types

from swebench.harness.log_parsers import PARSER_REGISTRY

ROOT = pathlib.Path(__file__).resolve().parents[2]

SPACES = [" ", " ", " ", " ", "  ", "\t", "\u00a0", "\x1c", "\x85", "\u2003", "\u3000", "\x0b", "\x0c", "\x1f"]
WORDS = ["a", "b", "test_x", "tests/t.py::test_a", "test_b[1-2]", "test_c[/a/b/c]", "t[//x]", "t[/a*b/]", "x]y[z", "é", "ü²", "٣", "名前",
         "foo", "foo bar", "a - b", " - ", "-", ".", "..", "...", "=", ":", "(", ")", "[", "]", "<", ">", "#", "1", "22", "1)", "2)", "(5ms)", "(5 ms)",
         "(1.5s)", "(1.5 s)", "(12 s)", "12ms", "12 ms", "{", "}", "'", '"', "\\", "\x00", "\x1b[31m", "\x1b[0m", "\x1b[1;32m", "[12m", "\x07", "ok", "FAIL", "PASS",
         "PASSED", "FAILED", "ERROR", "SKIPPED", "XFAIL", "XPASS", "E", "F", "passed", "failed", "/", "//", "*", "_", "__"]

# Pieces of each runner's lines; single characters and words come from above.
PIECES = {
    "pytest": ["PASSED ", "FAILED ", "ERROR ", "SKIPPED ", "XFAIL ", "PASSED: ", "ERRORS", "SKIPPED [1] x.py:3: no", "SKIPPED [٣] q", " - AssertionError: x", "[100%]", "[/tmp/x/y]", "test_a[", "]", "FAILED - ",
               "MouseButton.LEFT", "MouseButton.RIGHT", "=== short test summary info ===", "tests/a.py::test_1", " PASSED", " FAILED", "\x1b[31mFAILED\x1b[0m ", "\x1b[32mPASSED\x1b[0m", "t.py::x \x1b[32mPASSED\x1b[0m", "[ 50%]"],
    "seaborn": ["FAILED ", "PASSED ", " PASSED ", " PASSED", "tests/a.py::b", "ERROR ", "FAILED"],
    "sympy": ["________ sympy/a/b.py:test_x ________", "___", " ", "x.py:", ".py:", "a.py:b ", "test_a", " ok", " F", " E", " f", " s", "ok   [OK]", "test_long_name (x) ", "sympy/x.py:3: DeprecationWarning: y"],
    "django": [" ... ", " ... ok", " ... OK", " ...  OK", " ... FAIL", " ... ERROR", " ... skipped 'x'", "FAIL: ", "ERROR: ", "FAIL:", "ERROR:root: x", "ok", "okay", "test_a (x.Y)", "test_b (x.Z)", "--version is equivalent to version",
               "Applying sites.0002_alter_domain_unique...test_no_migrations (m)", " ... Testing against Django installed in '/x' with 3 processes\nz silenced).\nok", "Testing against Django installed in ",
               " silenced).\nok", "System check identified no issues (0 silenced)\nok", " ... System check identified no issues (0 silenced)\nok\n", " ... Internal Server Error: /a/b/\nok\n", "\nok\n", " ... expected failure", "..."],
    "jest": ["✓ ", "✕ ", "○ ", "✓", "skipped ", " (5 ms)", " (5ms)", " (1.5 s)", "[PASSED] ", "[FAILED] ", "[PENDING] ", "adds numbers"],
    "vitest": ["✓ ", "× ", "↓ ", " 12ms", " [skipped]", " 12", " 5 ms", "src/a.test.ts > x", " 12s"],
    "tap": ["ok 1 - a", "not ok 2 - b", "ok ", "not ok ", " - ", "# SKIP", "# TODO", "    ok 1 sub", "1..3", "12 "],
    "karma": ["Starting browser", "SUMMARY:", "✔ ", "✖ ", "✔", "  ", "    ", "   Suite", " Suite", "\t", "      deep", "✔ works\n    ✖ broken", "SUMMARY: x"],
    "calypso": [" ./node_modules/.bin/jest ", "Test Suites: 1", "  ● x", "    ✓ a (5ms)", "   ✕ b", "✓ c", "  ✓", "  Suite", "    Inner", "      ✓ deep (12ms)", "  ○ skipped", "(3ms)", "  ✓ a (3ms) b", "  ✓ (3ms)", "\u00a0 ✓\u00a0x (٣ms)"],
    "carbon": ["PASS ", "FAIL ", "PASS", "FAIL\t", "src/a-test.js", " (5ms)", " (5.1s)", " (5 s)", " (5 ms)", " (1.)", " (6\u00a0s) x"],
    "grommet": ["PASS ", "FAIL ", "PASS\n", "FAIL", "src/a-test.js", " (5ms)", " (5.1 s)", "(3 ms)", "\n"],
    "highlightjs": ["  suite", "    inner", "  ✓ a (5ms)", "✔ b", "  1) c", "    2) d ✓", "\n  12 passing", "\n \t3 passing (1s)", "   ", " one", "\t\ttabs", "1)", "✓", "(3ms)"],
    "prismjs": ["./node_modules/.bin/mocha tests/run.js --reporter json", '{"passes":[{"fullTitle":"a b"}],"failures":[{"fullTitle":"c"}]}', '{"passes": [], "failures": []}', "{", "}", '{"passes":[]}', '{"failures":[{"fullTitle":"a b"}],"passes":[{"x":1}]}', "npm x"],
    "eslint": ["  1) rule", "  2) other\n      should x:\n", "AssertionError", "Error", "     AssertionError [ERR]: x", "  12)", "TypeError", "\n", "   Error: x", " Error"],
    "bpmn_js": ["2KPhantomJS 2.1.1 (Linux 5.4) ", "2KPhantomJS 2.1.1 (Linux x86_64) ", "Chrome Headless 112.0 (Linux x86_64) ", "HeadlessChrome 90.0 (Linux 0.0.0) ", "suite test ", "FAILED\n", "FAILED", " FAILED\n", "\n"],
    "chart_js": ["Chrome 112.0 (Linux x86_64) ", "\x1b[31mChrome 1.2 (Linux) a b FAILED\x1b[39m", "Chrome Headless 1.0 (Linux) ", " FAILED", "FAILED\n", "x should y ", "(a) ", "Chrome 1 (", "\u00a0"],
    "openlayers": ["Chrome Headless 112.0 (Linux x86_64) ", "Chrome 90.0 (Linux 5_4) ", " FAILED\n", "FAILED\n", "  1) a\n  b Error:", "case x: mismatch", "case ", ": mismatch", "\n  3) z", "Error: q", "\n"],
    "marked": ["1) spec", "2)", " 3) x", "12) a b ", "\n", "٣) q"],
    "p5js": ["  1) a\n       b:\n", "\n  4) suite\n       inner <p>x</p>\n         deep:\n", "<b><b>", "</b></b>", "<a><b><a></b></a>", "</<b></b>a>", "<<b></b>a>", "  2) x y:", "1) ", "\n     inner\n       deep:", "{", "[", "}", "]", "{ a }", "[1]", "<p>", "</p>", "<a>", "</a>", "<b>", "</b>", "<p", "</", "p>", "a>", ":", "\n", "\n  ", "  3)", "x: {", "<é>", "</é>", "<p><p>", "<a><b></a></b>", "AssertionError: x"],
    "next": [" xvfb-run ", "Starting browser Chrome", "TOTAL", "  ✓ a", "    ✗ b", "  Suite", "    Inner", "ERROR x", "LOG: y", "WARN", "Check", "inner", " xvfb-run x Starting browser Chrome\n  Suite\n    ✓ works\n", "AssertionError: #x\n\n", "\x1b[32m✓\x1b[0m c",
             "Running: a.cy.js (1 of 3)\n\n\n  Suite\n    ✓ works (12ms)\n    1) broken\n", "\n\n\n  Other\n", "Running:x)", "    ✓ t (", "    2) u"],
    "lighthouse": ["running 3 test files", "12 passing", "  ✔ a (5ms)", "    1) b", "  suite", "    inner", "✔ c (5mms)", "      2) d (3ms)", "PASS x (3ms)", "FAIL y", "./node_modules/.bin/mocha --reporter json",
                   '"passes": [\n', '"failures": [\n', '"fullTitle": "a b",\n', '"fullTitle": "c",\n', "]", "],", "running 1 test files\nx\n  s\n    ✔ t (1ms)\n"],
    "quarto_cli": ["[smoke] ", "[unit] ", "...", " ... \x1b[0m\x1b[32mok\x1b[0m (5s)", " ... \x1b[0m\x1b[31mFAILED\x1b[0m", "ERRORS", "failures:", "/tmp/abc.qmd", "/tmp/abc/", "/tmp/x1/y.qmd", "/tmp/z.qmd/", "34mINFO", "test result: ok", "1 passed 2 failed 3 steps", "render", "\x1b[32mok", "\x1b[31mFAILED"],
    "redis": ["[ok]: ", "[err]: ", "[skip]: ", "[ignore]: ", "[exception]: ", " (12 ms)", " in tests/unit/x.tcl", "Test a", " (5ms)"],
    "jq": ["PASS: ", "FAIL: ", "tests/jqtest", "PASS:", "XFAIL: "],
    "doctest": ["<doctest>", "</doctest>", '<doctest binary="x" version="2.4">', '<TestCase name="a">', "</TestCase>", '<SubCase name="b">', "</SubCase>", '<Expression success="true"/>', '<Expression success="false">', "</Expression>", "<!-- c -->", "<![CDATA[<]]>", "&lt;", "&#65;", "&bad;", '<TestCase name="a&amp;b"><SubCase name="q"><Expression success="true"/></SubCase></TestCase>', "\n", "<?pi x?>",
                '<doctest><TestCase name="a"><SubCase name="b"><SubCase name="c"><Expression success="false"></Expression></SubCase></SubCase></TestCase></doctest>', '<doctest><TestSuite><TestCase name="x">\n<SubCase name="y" line="3"/>\n</TestCase></TestSuite></doctest>'],
    "micropython_test": ["pass  a.py", "FAIL  b.py", "skip  c.py", "pass", "pass ", "FAILED"],
    "googletest": ["[       OK ] A.b (0 ms)", "[  FAILED  ] A.c (12 ms)", "1: [ OK ] x ", "[  FAILED  ] A.c, where x (1 ms)", "[  FAILED  ] A.c", " (0 ms)", "[ OK ]", "[", "]"],
    "gotest": ["--- PASS: TestA (0.00s)", "    --- FAIL: TestA/b (0.1s)", "--- SKIP: TestC (0.00s)", "--- PASS: ", " (x)", "=== RUN TestA", "--- FAIL: "],
    "maven": ["mvn test -Dtest=A#b ", "-Dtest=", "[INFO] BUILD SUCCESS", "[INFO] BUILD FAILURE", "BUILD SUCCESS ", "BUILD FAILURE", "+ mvnd test -B -pl x -Dtest=C#d -Dtest=E#f", " BUILD "],
    "ant": ["[junit] [PASS] a.b", "    [junit] [FAIL] c", "[junit] [ERR] d", "[junit] ", "[junit]", "[PASS]", "[junit] [SKIP] e"],
    "gradle_custom": ["A > b PASSED", "A > b FAILED", "C > d", "PASSED", "FAILED", "> Task :test", "BUILD FAILED", "E > f SKIPPED", " > ", "X", "org.a.B > m  PASSED"],
    "phpunit": ["Suite (Tests\\A)", " ✔ a b", " ✘ c", " ↩ d", "OK (3 tests)", " │ x", "✔", "é (x)", "² (y)", "́a (z)", "(x)"],
    "minitest": ["A#test_b = 0.02 s = .", "A#test_c = 0.1 s = F", "A#d. x = 1 s = E", ". ", " = ", "= S", "test_x. = 0.00 s = .", "."],
    "cucumber": ["Scenario ...", " ...F", " .", " ..", "F", " F..", "feature a ....", "...F."],
    "ruby_unit": ["test: a:  .", "test_b: E", "test_c:   F", "d: O", "e: N", ": .", "test: ", ": Ex", ": E_", ": F.", "::", ": .: (0.1)", ": ", ":"],
    "rspec_transformed_json": ["a b - passed", "c - failed", "d - pending", " - passed", " - failed", "x - ./spec/a[1:2] - passed", " - passedfoo"],
    "cargo": ["test a::b ... ok", "test c ... FAILED", "test d ... ignored", "test e - should panic ... ok", "test ", " ... ", "bench: 3", "test x ... ok²", "test y ... okء"],
}

ALIASES = {
    "pytest": ["pytest_options", "matplotlib", "pytest_v2", "astroid", "flask", "marshmallow", "pvlib", "pyvista", "sqlfluff", "xarray", "pydicom", "requests", "pylint", "astropy", "scikit", "sphinx"],
    "carbon": ["react_pdf"],
    "jest": ["jest_json", "immutable_js"],
    "minitest": ["jekyll"],
}
for source, names in ALIASES.items():
    for name in names:
        PIECES[name] = PIECES[source]
PIECES["jekyll"] = PIECES["minitest"] + PIECES["cucumber"]

SUBJECTS = {
    "lighthouse": [("x__y-1", version) for version in ["9.5", "10.0", "10.2", "2.1", "3.0", "2", "11", "1e0", "x", "", " 2 ", "inf", "nan", "-1"]],
    "next": [("x__y-1", version) for version in ["1.27", "1.2", "1.27.0"]],
    "immutable_js": [(f"immutable-js__immutable-js-{number}", "1") for number in ["2005", "2006", "1", "x", ""]] + [("2005", "1"), ("a-2006 ", "1")],
    "jekyll": [(f"jekyll__jekyll-{number}", "1") for number in ["8047", "8167", "9141", "8761", "8771", "5"]] + [("nodash", "1"), ("a-8047-3", "1")],
}


def line(rng, pieces):
    count = rng.choice([1, 1, 1, 2, 2, 3, 4, 6])
    parts = [" " * rng.choice([0, 0, 0, 1, 2, 3, 4, 5, 6, 8])]
    for _ in range(count):
        kind = rng.random()
        if kind < 0.6:
            parts.append(rng.choice(pieces))
        elif kind < 0.85:
            parts.append(rng.choice(WORDS))
        else:
            parts.append(rng.choice(SPACES))
    return "".join(parts)


def mutate(rng, data):
    """Damages a log in some of the ways that real ones are damaged."""
    for _ in range(rng.choice([0, 0, 1, 1, 2, 3])):
        kind = rng.randrange(11)
        at = rng.randrange(len(data) + 1)
        lines = data.split(b"\n")
        if kind == 0:
            data = data[:at] + rng.choice([b"\xff", b"\xc3", b"\xe2\x9c", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x00"]) + data[at:]
        elif kind == 1:
            data = data.replace(b"\n", b"\r\n")
        elif kind == 2:
            data = data[:at] + b"\r" + data[at:]
        elif kind == 3:
            data = data[: at]
        elif kind == 4:
            rng.shuffle(lines)
            data = b"\n".join(lines)
        elif kind == 5:
            data = b"\n".join(lines + rng.sample(lines, len(lines) // 2))
        elif kind == 6:
            data = data[:at] + rng.choice(SPACES).encode() + data[at:]
        elif kind == 7:
            data = data[:at] + data[at + rng.randrange(1, 4):]
        elif kind == 8:
            pick = rng.randrange(len(lines))
            lines[pick] = b"\x1b[32m" + lines[pick] + b"\x1b[0m"
            data = b"\n".join(lines)
        elif kind == 9:
            data = data[:at] + rng.choice(WORDS).encode() * rng.choice([1, 40, 1200]) + data[at:]
        else:
            pick = rng.randrange(len(lines))
            lines[pick] = lines[pick].strip()
            data = b"\n".join(lines)
    return data


def logs(rng, name, count, real):
    pieces = PIECES[name]
    for index in range(count):
        if real and index % 8 == 0:
            text = rng.choice(real)
            lines = text.split(b"\n")
            start = rng.randrange(len(lines))
            yield mutate(rng, b"\n".join(lines[start : start + rng.choice([5, 50, 300])]))
            continue
        text = "\n".join(line(rng, pieces) for _ in range(rng.choice([1, 2, 3, 5, 8, 15, 40])))
        yield mutate(rng, text.encode())


def theirs(parser, data, subject):
    text = data.decode("utf-8", errors="replace").replace("\r\n", "\n").replace("\r", "\n")
    spec = types.SimpleNamespace(instance_id=subject[0], version=subject[1])
    try:
        # Some of them print what they cannot read.
        with contextlib.redirect_stdout(io.StringIO()):
            return [list(entry) for entry in parser(text, spec).items()], None
    except Exception as error:  # noqa: BLE001 - whatever it raises is its answer
        return None, f"{type(error).__name__}: {error}"


def ours(binary, requests):
    lines = "".join(json.dumps(request) + "\n" for request in requests)
    answer = subprocess.run([binary, "parse", "--jsonl", "-"], input=lines.encode(), stdout=subprocess.PIPE, check=True)
    answers = [json.loads(text) for text in answer.stdout.split(b"\n") if text]
    return [{"tests": [list(entry) for entry in answer["status_map"].items()], "failure": answer.get("failure")} for answer in answers]


def record(options):
    """Keeps, of many short logs, those that tell most: many entries, then an exception."""
    with options.record.open("w", encoding="ascii") as fixture:
        for registered, parser in PARSER_REGISTRY.items():
            name = registered.removeprefix("parse_log_")
            rng = random.Random(f"record {options.seed} {name}")
            found = []
            for data in logs(rng, name, options.count, []):
                if len(data) > 400:
                    continue
                subject = rng.choice(SUBJECTS.get(name, [("owner__name-1", "1.0")]))
                tests, error = theirs(parser, data, subject)
                case = {"parser": registered, "hex": data.hex(), "instance_id": subject[0], "version": subject[1], "tests": tests}
                found.append((len(tests or []), case))
            found.sort(key=lambda entry: -entry[0])
            raised = [entry for entry in found if entry[1]["tests"] is None][:2]
            for _, case in found[:3] + found[len(found) // 20 :][:3] + raised:
                fixture.write(json.dumps(case) + "\n")
    return 0


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--count", type=int, default=2000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--parser", action="append")
    options.add_argument("--real", type=pathlib.Path)
    options.add_argument("--record", type=pathlib.Path)
    options.add_argument("--binary", default=str(ROOT / "target/debug/evalrun"))
    options = options.parse_args()
    real = [path.read_bytes() for path in sorted(options.real.glob("*.log"))] if options.real else []
    if options.record:
        return record(options)
    failed = False
    for registered, parser in PARSER_REGISTRY.items():
        name = registered.removeprefix("parse_log_")
        if options.parser and name not in options.parser:
            continue
        rng = random.Random(f"{options.seed} {name}")
        cases = []
        for data in logs(rng, name, options.count, real):
            subject = rng.choice(SUBJECTS.get(name, [("owner__name-1", "1.0")]))
            cases.append((data, subject))
        requests = [{"parser": registered, "hex": data.hex(), "instance_id": subject[0], "version": subject[1]} for data, subject in cases]
        differences, entries, raised = [], 0, 0
        for (data, subject), answer in zip(cases, ours(options.binary, requests), strict=True):
            tests, error = theirs(parser, data, subject)
            entries += len(tests or [])
            raised += error is not None
            same = answer["failure"] is not None if error else answer["failure"] is None and answer["tests"] == tests
            if not same:
                differences.append((len(data), data, subject, tests, error, answer))
        print(f"{name:24} {len(cases)} logs, {entries} entries, {raised} raised, {len(differences)} different")
        for _, data, subject, tests, error, answer in sorted(differences, key=lambda found: found[0])[:3]:
            failed = True
            print(f"    log     {data[:600]!r} {subject}\n    theirs  {error or tests}\n    ours    {answer}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
