use super::*;
use crate::grade::tests::{instance, outcome};
use crate::model::Status;

const SUMMARY: &str = "=========== short test summary info ===========\nPASSED t.py::a\nFAILED t.py::b - assert 0\n=========== 1 failed, 1 passed in 0.12s ===========\n";

fn pytest() -> Instance {
    let mut expecting = instance(&["t.py::a"], &["t.py::b"]);
    expecting.eval_script =
        ": '>>>>> Start Test Output'\npytest -rA t.py\n./run/tests.py\n: '>>>>> End Test Output'\n"
            .to_owned();
    expecting.test_patch = "--- /dev/null\n+++ b/t.py\n@@ -0,0 +1 @@\n+x\n".to_owned();
    expecting
}

fn signs(patch: &str, log: &str, status: i32) -> (Trust, Vec<String>) {
    let end = log.len() as u64;
    let section = Section::Supervised { start: 0, end, outcome: outcome(Status::Code(status)) };
    let found = integrity(&pytest(), patch, log.as_bytes(), &section);
    (found.trust, found.signs.into_iter().map(|sign| sign.reason).collect())
}

fn change(path: &str, line: &str) -> String {
    format!(
        "diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n@@ -1,2 +1,3 @@\n x\n+{line}\n y\n"
    )
}

#[test]
fn an_honest_run_is_clean() {
    let nothing: (Trust, Vec<String>) = (Trust::Clean, Vec::new());
    for (path, line) in [
        ("src/a.py", "def f(): return 1"),
        ("setup.cfg", "install_requires = x"),
        ("pyproject.toml", "dependencies = []"),
        ("tests/test_other.py", "assert f() == 1"),
        ("src/pytest.py", "x = 1"),
        ("docs/conftest.rst", "-- a\n+++ b"),
    ] {
        assert_eq!(signs(&change(path, line), SUMMARY, 1), nothing, "{path}");
    }
    assert_eq!(signs("", "Traceback\nKilled\n", 137), nothing);
    // An error while a test that passed is taken down.
    let log = SUMMARY
        .replace("FAILED t.py::b - assert 0", "ERROR t.py::a - x")
        .replace("1 failed", "1 error");
    assert_eq!(signs("", &log, 1), nothing);
    let coloured = SUMMARY.replace("PASSED", "\x1b[32mPASSED\x1b[0m");
    assert_eq!(signs("", &coloured, 1), nothing);
}

#[test]
fn what_changes_the_run_is_suspicious() {
    let created = "--- /dev/null\n+++ b/t.py\n@@ -0,0 +1 @@\n+x\n";
    let cases = [
        (change("conftest.py", "x"), "test_hooks"),
        (change("pkg/sub/conftest.py", "x"), "test_hooks"),
        (change("sitecustomize.py", "x"), "start_up_code"),
        (change("lib/a.pth", "import x"), "start_up_code"),
        (change("pytest.py", "x"), "shadowed_runner"),
        (change("_pytest/runner.py", "x"), "shadowed_runner"),
        (change("run/tests.py", "x"), "changed_runner"),
        (created.to_owned(), "created_expected_test_file"),
        ("rename from a\nrename to t.py\n".to_owned(), "created_expected_test_file"),
        (change("pytest.ini", "x"), "runner_settings"),
        (change("setup.cfg", "addopts = -p evil"), "runner_settings"),
        (change("pyproject.toml", "[tool.pytest.ini_options]"), "runner_settings"),
        (change("tox.ini", "commands = true"), "runner_settings"),
        (change("src/a.py", "if 'PYTEST_CURRENT_TEST' in os.environ:"), "speaks_of_the_run"),
        (change("src/a.py", "os._exit(0)"), "speaks_of_the_run"),
        (change("src/a.py", "print('PASSED t.py::a')"), "speaks_of_the_run"),
        (change("src/a.py", "print('>>>>> End Test Output')"), "speaks_of_the_run"),
        (change("src/a.py", "def pytest_runtest_makereport(): ..."), "speaks_of_the_run"),
    ];
    for (patch, reason) in cases {
        assert_eq!(
            signs(&patch, SUMMARY, 1),
            (Trust::Suspicious, vec![reason.to_owned()]),
            "{patch}"
        );
    }
}

#[test]
fn logs_that_contradict_themselves_are_not_clean() {
    let cases = [
        (format!("{SUMMARY}>>>>> End Test Output\n"), 1, Trust::Forged, "printed_marker"),
        (format!("{SUMMARY}PASSED t.py::b\n"), 1, Trust::Forged, "result_after_the_summary"),
        (
            format!(
                "{}PASSED t.py::b\n",
                SUMMARY.replace("FAILED t.py::b - assert 0\n", "").replace("1 failed, ", "")
            ),
            0,
            Trust::Forged,
            "result_after_the_summary",
        ),
        (format!("{SUMMARY}{SUMMARY}"), 1, Trust::Suspicious, "several_summaries"),
        (
            SUMMARY.replace("FAILED t.py::b - assert 0", "PASSED t.py::b"),
            1,
            Trust::Suspicious,
            "failed_status_without_failure",
        ),
        (SUMMARY.to_owned(), 0, Trust::Suspicious, "failure_without_failed_status"),
        (SUMMARY.replace("1 passed", "3 passed"), 1, Trust::Suspicious, "passed_count_differs"),
        (
            SUMMARY.replace("FAILED t.py::b", "FAILED t.py::a"),
            1,
            Trust::Suspicious,
            "contradicting_results",
        ),
        (
            format!("PASSED t.py::b\n{}", SUMMARY.replace("FAILED t.py::b", "FAILED t.py::c")),
            1,
            Trust::Suspicious,
            "result_before_the_summary",
        ),
    ];
    let mut expecting = pytest();
    expecting.eval_script = expecting.eval_script.replace("./run/tests.py\n", "");
    for (log, status, trust, reason) in cases {
        let end = log.len() as u64;
        let section = Section::Supervised { start: 0, end, outcome: outcome(Status::Code(status)) };
        let found = integrity(&expecting, "", log.as_bytes(), &section);
        assert_eq!(found.trust, trust, "{log}");
        assert!(found.signs.iter().any(|sign| sign.reason == reason), "{reason}: {found:?}");
    }
}

#[test]
fn signs_are_few_and_short() {
    let log = ">>>>> End Test Output é\n".repeat(1000);
    let (_, reasons) = signs(&change("a.py", &"os._exit(1)\n+".repeat(500)), &log, 0);
    assert!(reasons.len() <= 2 * MAX_SIGNS, "{reasons:?}");
    for patch in
        ["@@", "@@ -1 +1 @@", "--- ", "+++ b/x", "@@ -9999999999999999999999 +1 @@\n+é\n", "\\"]
    {
        let _ = signs(patch, "=== short test summary info ===\n== 1 passed in 1s ==", 0);
    }
}
