//! The parsers of relatives of SWE-bench, on output as their runners write it.

use super::further::read;

#[test]
fn reports_of_jest_and_mocha() {
    let jest = r#"> jest --json
{"numTotalTests": 3, "testResults": [{"name": "/a/b.test.js", "assertionResults": [
  {"fullName": "sum adds", "title": "adds", "status": "passed"},
  {"fullName": "sum fails", "title": "fails", "status": "failed"},
  {"fullName": "sum waits", "title": "waits", "status": "pending"}]}]}
Done in 1s"#;
    assert_eq!(
        read("jest-report", jest),
        [
            "/a/b.test.js->sum adds=PASSED",
            "/a/b.test.js->sum fails=FAILED",
            "/a/b.test.js->sum waits=SKIPPED"
        ]
    );
    assert_eq!(
        read("jest-report-titles", jest),
        ["/a/b.test.js->adds=PASSED", "/a/b.test.js->fails=FAILED", "/a/b.test.js->waits=SKIPPED"]
    );
    let mocha = r#"{"stats": {}, "tests": [
  {"file": "t/a.js", "fullTitle": "A is so", "status": "passed"},
  {"file": "t/a.js", "fullTitle": "A is not", "status": "failed"},
  {"file": "t/b.js", "fullTitle": "B waits", "status": "pending"}]}"#;
    assert_eq!(
        read("mocha-files", mocha),
        ["t/a.js->A is so=PASSED", "t/a.js->A is not=FAILED", "t/b.js->B waits=SKIPPED"]
    );
    for parser in ["jest-report", "jest-report-titles", "mocha-files"] {
        assert!(read(parser, "{\"testResults\": [{\"name\": 1").is_empty(), "a cut report");
    }
}

#[test]
fn go_with_a_name_in_two_packages() {
    let log = "=== RUN   TestA\n--- PASS: TestA (0.01s)\n    --- SKIP: TestA/sub (0.00s)\n\
        --- FAIL: TestB (0.00s)\nFAIL\n--- PASS: TestB (0.00s)\nok  \tpkg\t0.1s\n";
    assert_eq!(read("multi-go", log), ["TestA=PASSED", "TestA/sub=SKIPPED", "TestB=FAILED"]);
}

#[test]
fn polybench_in_its_three_languages() {
    let tap = "TAP version 13\n# a\nok 1 a works\nnot ok 2 b breaks\n";
    assert_eq!(read("polybench-js", tap), ["1 a works=PASSED", "2 b breaks=FAILED"]);
    let bazel = "INFO: x\n//pkg/a:test     \u{1b}[0m\u{1b}[32mPASSED\u{1b}[0m in 1.2s\n\
        //pkg/b:test     FAILED in 2 out of 2\n";
    assert_eq!(read("polybench-bazel", bazel), ["/pkg/a:test=PASSED", "/pkg/b:test=FAILED"]);
    let pytest = "===== test session starts =====\ncollected 3 items\n\n\
        a/t.py::T::test_x PASSED [ 33%]\na/t.py::test_y[1-b] FAILED [ 66%]\n\
        a/t.py::test_z SKIPPED [100%]\n===== short test summary info =====\n";
    assert_eq!(
        read("polybench-python", pytest),
        ["a/t.py:T:test_x=PASSED", "a/t.py:None:test_y[1-b]=FAILED", "a/t.py:None:test_z=SKIPPED"]
    );
    let unittest = "test_x (m.T) ... ok\ntest_y (m.T) ... FAIL\n\nRan 2 tests in 0.1s\n";
    assert_eq!(read("polybench-python", unittest), ["m.T:test_x:=PASSED", "m.T:test_y:=FAILED"]);
}

#[test]
fn reports_of_surefire() {
    let xml = r#"[INFO] x
<?xml version="1.0"?><testsuite name="a.BTest" tests="3">
<testcase name="works" classname="a.BTest" time="0.1"/>
<testcase name="fails" classname="a.BTest"><failure message="no"/></testcase>
<testcase name="waits" classname="a.BTest"><skipped/></testcase>
</testsuite>"#;
    let read = read("surefire-xml", xml);
    assert_eq!(read.len(), 3, "{read:?}");
    assert!(read[0].contains("works") && read[0].ends_with("=PASSED"), "{read:?}");
    assert!(read[1].contains("fails") && read[1].ends_with("=FAILED"), "{read:?}");
    assert!(read[2].contains("waits") && read[2].ends_with("=SKIPPED"), "{read:?}");
}
