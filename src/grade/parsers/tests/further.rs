//! The parsers that the incumbent does not have, on output as their runners write it.

use super::super::*;

/// The map as `name=STATUS` lines.
pub(super) fn read(parser: &str, text: &str) -> Vec<String> {
    let parsed = parse(parser, text, Subject::default()).unwrap();
    let line = |(name, status): (&str, &_)| {
        let status = serde_json::to_value(status).unwrap();
        format!("{name}={}", status.as_str().unwrap())
    };
    parsed.tests.iter().map(line).collect()
}

#[test]
fn unittest_of_all_versions_of_python() {
    let log = "\
test_add (tests.test_calc.Calc) ... ok
test_div (tests.test_calc.Calc.test_div) ... FAIL
test_doc (tests.test_calc.Calc)
What the docstring says. ... skipped 'not today'
test_noisy (tests.test_calc.Calc) ... some output of its own
ok
test_err (tests.test_calc.Calc) ... ERROR
test_exp (tests.test_calc.Calc) ... expected failure
test_luck (tests.test_calc.Calc) ... unexpected success
test_sub (tests.test_calc.Calc) ... ok
setUpClass (tests.test_calc.Broken) ... ERROR

======================================================================
FAIL: test_sub (tests.test_calc.Calc) (i=1)
----------------------------------------------------------------------
Traceback (most recent call last):
ok
";
    assert_eq!(
        read("unittest", log),
        [
            "tests.test_calc.Calc.test_add=PASSED",
            "tests.test_calc.Calc.test_div=FAILED",
            "tests.test_calc.Calc.test_doc=SKIPPED",
            "tests.test_calc.Calc.test_noisy=PASSED",
            "tests.test_calc.Calc.test_err=ERROR",
            "tests.test_calc.Calc.test_exp=XFAIL",
            "tests.test_calc.Calc.test_luck=FAILED",
            "tests.test_calc.Calc.test_sub=FAILED",
            "tests.test_calc.Broken.setUpClass=ERROR",
        ]
    );
}

#[test]
fn pytest_as_json_in_both_forms() {
    let document = r#"noise
{"created": 1.5, "summary": {"passed": 1}, "collectors": [{"nodeid": "t/bad.py", "outcome": "failed"}],
 "tests": [{"nodeid": "t/a.py::x[1 2]", "lineno": 3, "outcome": "passed", "call": {"duration": 0.1}},
  {"nodeid": "t/a.py::y", "outcome": "xfailed"}, {"nodeid": "t/a.py::z", "outcome": "error"}]}
"#;
    let expected =
        ["t/a.py::x[1 2]=PASSED", "t/a.py::y=XFAIL", "t/a.py::z=ERROR", "t/bad.py=ERROR"];
    assert_eq!(read("pytest-json", document), expected);
    let lines = r#"
{"pytest_version": "8.0", "$report_type": "SessionStart"}
{"nodeid": "a.py::x", "outcome": "passed", "when": "setup", "$report_type": "TestReport"}
{"nodeid": "a.py::x", "outcome": "passed", "when": "call", "$report_type": "TestReport"}
{"nodeid": "a.py::x", "outcome": "failed", "when": "teardown", "$report_type": "TestReport"}
{"nodeid": "a.py::y", "outcome": "skipped", "when": "call", "wasxfail": "bug", "$report_type": "TestReport"}
{"nodeid": "a.py::z", "outcome": "skipped", "when": "setup", "$report_type": "TestReport"}
{"nodeid": "b.py", "outcome": "failed", "result": null, "$report_type": "CollectReport"}
"#;
    let expected = ["a.py::x=ERROR", "a.py::y=XFAIL", "a.py::z=SKIPPED", "b.py=ERROR"];
    assert_eq!(read("pytest-json", lines), expected);
}

#[test]
fn junit_in_files_and_logs() {
    let log = r#"+ cat report.xml
<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite name="pytest" tests="4"><properties><property name="a" value="b"/></properties>
<testcase classname="t.a" name="x&lt;1&gt;" time="0.1"/>
<testcase classname="t.a" name="y"><failure message="no">assert <![CDATA[1 < 2]]></failure></testcase>
<testcase classname="t.a" name="z"><skipped type="pytest.xfail" message=""/></testcase>
<testcase name="w"><skipped/><system-out>x</system-out></testcase></testsuite></testsuites>
more output
<testsuite name="s"><testcase classname="B" name="m"><error/></testcase>
<testcase classname="B" name="m"/></testsuite>
"#;
    let expected = ["t.a::x<1>=PASSED", "t.a::y=FAILED", "t.a::z=XFAIL", "w=SKIPPED", "B::m=ERROR"];
    assert_eq!(read("junit-xml", log), expected);
    let cut = "<testsuites><testsuite><testcase classname=\"A\" name=\"b\"/><testcase";
    let parsed = parse("junit-xml", cut, Subject::default()).unwrap();
    assert_eq!((parsed.tests.len(), parsed.failure.is_some()), (1, true));
}

#[test]
fn rust_go_and_dotnet() {
    let nextest = "
    Starting 3 tests across 2 binaries
        PASS [   0.004s] krate tests::a
\u{1b}[31;1m        FAIL\u{1b}[0m [   0.005s] (2/5) krate::bin/x tests::b
     SIGSEGV [   0.001s] krate c
  TRY 1 FAIL [   0.003s] krate d
  TRY 2 PASS [   0.003s] krate d
        SLOW [> 60.000s] krate e
     TIMEOUT [  60.001s] krate e
        SKIP [         ] krate f
     Summary [   0.100s] 5 tests run
";
    let expected = [
        "krate tests::a=PASSED",
        "krate::bin/x tests::b=FAILED",
        "krate c=FAILED",
        "krate d=PASSED",
        "krate e=FAILED",
        "krate f=SKIPPED",
    ];
    assert_eq!(read("cargo-nextest", nextest), expected);
    let go = r#"
{"Time":"2024-01-01T00:00:00Z","Action":"run","Package":"x/y","Test":"TestA"}
{"Action":"output","Package":"x/y","Test":"TestA","Output":"--- PASS: TestB\n"}
{"Action":"pass","Package":"x/y","Test":"TestA/sub","Elapsed":0.1}
{"Action":"fail","Package":"x/y","Test":"TestA","Elapsed":0.1}
{"Action":"skip","Package":"x/y","Test":"TestS"}
{"Action":"fail","Package":"x/y"}
"#;
    let expected =
        ["x/y::TestA/sub=PASSED", "x/y::TestA=FAILED", "x/y::TestS=SKIPPED", "x/y=FAILED"];
    assert_eq!(read("go-test-json", go), expected);
    let dotnet = "
  Passed Ns.Cls.Add(a: 1, b: \"x y\") [12 ms]
  Failed Ns.Cls.Div [< 1 ms]
  Error Message:
   Passed is no word [here]
  Skipped Ns.Cls.Later
[xUnit.net 00:00:00.52]     Ns.Cls.Fact [FAIL]
[xUnit.net 00:00:00.52]     Ns.Cls.Fact2 [SKIP]
passed Ns.Mtp.Works (1s 23ms)

Passed!  - Failed:     0, Passed:     3, Skipped:     0, Total:     3, Duration: 5 ms
     Passed: 3
";
    let expected = [
        "Ns.Cls.Add(a: 1, b: \"x y\")=PASSED",
        "Ns.Cls.Div=FAILED",
        "Ns.Cls.Later=SKIPPED",
        "Ns.Cls.Fact=FAILED",
        "Ns.Cls.Fact2=SKIPPED",
        "Ns.Mtp.Works=PASSED",
    ];
    assert_eq!(read("dotnet", dotnet), expected);
}

#[test]
fn ctest_and_mocha() {
    let ctest = "
      Start  1: alpha
 1/7 Test  #1: alpha ............................   Passed    0.01 sec
 2/7 Test  #2: beta.one .........................***Failed    0.02 sec
 3/7 Test  #3: gamma ............................***Exception: SegFault  0.10 sec
 4/7 Test  #4: delta ............................***Timeout   5.00 sec
 5/7 Test  #5: eps ..............................***Skipped   0.00 sec
 6/7 Test  #6: zeta .............................***Not Run (Disabled)   0.00 sec
 7/7 Test  #7: eta ..............................***Not Run   0.00 sec

The following tests FAILED:
	  2 - beta.one (Failed)
";
    let expected = [
        "alpha=PASSED",
        "beta.one=FAILED",
        "gamma=FAILED",
        "delta=FAILED",
        "eps=SKIPPED",
        "zeta=SKIPPED",
        "eta=ERROR",
    ];
    assert_eq!(read("ctest", ctest), expected);
    let spec = "
  Calculator
    add
      ✓ adds (12ms)
      1) adds far
    - later
  Other
    ✔ works


  2 passing (20ms)
  1 pending
  1 failing

  1) Calculator
       add
         adds far:
     Error: no
";
    let expected = [
        "Calculator add adds=PASSED",
        "Calculator add adds far=FAILED",
        "Calculator later=SKIPPED",
        "Other works=PASSED",
    ];
    assert_eq!(read("mocha", spec), expected);
    let json = "> mocha --reporter json\n{\n \"stats\": {\"tests\": 2},\n \"tests\": [],\n \"pending\": [],\n \"failures\": [{\"title\": \"b\", \"fullTitle\": \"A b\"}],\n \"passes\": [{\"fullTitle\": \"A a\"}]\n}\n";
    assert_eq!(read("mocha", json), ["A a=PASSED", "A b=FAILED"]);
}

#[test]
fn tap_with_directives_blocks_and_subtests() {
    let node = "TAP version 13
# Subtest: outer
    # Subtest: inner
    ok 1 - inner
      ---
      ok 9 - in a block
      ...
    # Subtest: bad
    not ok 2 - bad # TODO later
    1..2
ok 1 - outer
ok 2 - later # SKIP no time
not ok 3
ok - \\# hash
1..4
Bail out! no disk
";
    assert_eq!(
        read("tap", node),
        [
            "outer > inner=PASSED",
            "outer > bad=XFAIL",
            "outer=PASSED",
            "later=SKIPPED",
            "3=FAILED",
            "# hash=PASSED",
            "Bail out! no disk=ERROR",
        ]
    );
    let perl = "    # Subtest: foo.t
    ok 1 - a
    not ok 2 - b
    1..2
not ok 1 - foo.t
";
    assert_eq!(read("tap", perl), ["foo.t > a=PASSED", "foo.t > b=FAILED", "foo.t=FAILED"]);
}

#[test]
fn a_pattern_of_the_rows_own() {
    let by_word = r"regex:^(?P<status>PASS|FAIL|skip) (?P<name>.+)$";
    assert_eq!(
        read(by_word, "PASS a b\nFAIL c\nskip d\nx PASS e\nPASS a b"),
        ["a b=PASSED", "c=FAILED", "d=SKIPPED"]
    );
    let by_group = r"regex:^(?:(?P<passed>\[\+\])|(?P<failed>\[-\])) (?P<name>\S+)";
    assert_eq!(read(by_group, "[+] a\n[-] b\n[?] c"), ["a=PASSED", "b=FAILED"]);
    assert!(is_parser(by_word) && pattern_problem(by_word).is_none());
    for bad in
        ["regex:(", "regex:^(?P<name>x)$", "regex:^(?P<status>x)$", "regex:(?P<name>a){99999}"]
    {
        assert!(!is_parser(bad) && pattern_problem(bad).is_some(), "{bad}");
    }
}

#[test]
fn files_of_the_sandbox_are_named_behind_the_parser() {
    assert_eq!(result_file("junit-xml:/testbed/r.xml"), Some("/testbed/r.xml"));
    assert_eq!(result_file("junit-xml"), None);
    assert_eq!(result_file("junit-xml:r.xml"), None);
    assert_eq!(result_file("regex:/a/(?P<name>b)"), None);
    assert!(is_parser("junit-xml:/r.xml") && !is_parser("junit:/r.xml") && !is_parser("tap:x"));
}

#[test]
fn plain_results_rewards_and_statuses() {
    let results = "{\n  \"tests\": [\n {\"name\": \"a | b\", \"status\": \"PASSED\"},\n {\"name\": \"c\", \"status\": \"fail\"}]}";
    assert_eq!(read("results-json", results), ["a | b=PASSED", "c=FAILED"]);
    assert_eq!(read("reward", "reward: 0\nreward: 1.0\n"), ["reward=PASSED"]);
    assert_eq!(read("reward", "reward: 0.5\n"), ["reward=FAILED"]);
    assert_eq!(read("reward", "reward: \n"), ["reward=FAILED"]);
    assert_eq!(read("exit-status", "exit status: 0\n"), ["tests=PASSED"]);
    assert_eq!(read("exit-status", "exit status: 0\nexit status: 1\n"), ["tests=FAILED"]);
    assert_eq!(
        read("pytest-verbose", "a.py::x PASSED [ 50%]\na.py::y FAILED\n"),
        ["a.py::x=PASSED", "a.py::y=FAILED"]
    );
}
