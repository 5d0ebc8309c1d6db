use super::*;
use crate::grade::tests::instance as an_instance;

fn report(passed: &[&str]) -> TestsReport {
    let mut report = TestsReport::default();
    report.fail_to_pass.success = passed.iter().map(|name| (*name).to_owned()).collect();
    report
}

fn files(path: &str, text: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(path.to_owned(), text.to_owned())])
}

#[test]
fn a_runner_that_says_what_is_so_gives_no_sign() {
    let instance = an_instance(&["t.py::test_x"], &[]);
    let plan = plan_canary(
        &instance,
        &report(&["t.py::test_x"]),
        &files("t.py", "def test_x(): pass\n"),
        "old_and_new",
    )
    .unwrap();
    let honest = "FAILED t.py::test_x - no\nFAILED t.py::test_old_and_new_sum\n\
        PASSED t.py::test_old_and_new_same\n";
    let canary = judge_canary(&instance, &plan, honest.as_bytes(), Some(".test_x\n"));
    assert_eq!((canary.failed, canary.passed, canary.silent), (2, true, None));
    assert!(canary.passed_wrongly.is_empty());

    let forged = honest.replace("FAILED", "PASSED");
    let canary = judge_canary(&instance, &plan, forged.as_bytes(), Some(".test_x\n"));
    assert_eq!(canary.passed_wrongly, ["t.py::test_x", "t.py::test_old_and_new_sum"]);
    // A test that was not spoiled may pass.
    let partly = honest.replace("FAILED t.py::test_x - no", "PASSED t.py::test_x");
    let canary = judge_canary(&instance, &plan, partly.as_bytes(), Some(""));
    assert!(canary.passed_wrongly.is_empty());
    assert!(judge_canary(&instance, &plan, b"", None).silent.is_some());
    // It passes, and its file was not loaded.
    let canary = judge_canary(&instance, &plan, b"PASSED t.py::test_x\n", None);
    assert_eq!(canary.passed_wrongly, ["t.py::test_x"]);
}

#[test]
fn tests_of_other_languages_are_turned_round() {
    let instance = an_instance(&["one_is_two"], &["other"]);
    let text = "CHECK(one_is_two, one() == 2);\nCHECK(other, 1 == 1);\n";
    let plan = plan_canary(&instance, &report(&["one_is_two"]), &files("t.c", text), "w").unwrap();
    assert!(plan.files["t.c"].contains("CHECK(one_is_two, !(one() == 2));"));
    let canary = judge_canary(&instance, &plan, b"FAILED one_is_two\nPASSED other\n", None);
    assert_eq!((canary.passed, canary.passed_wrongly.len()), (true, 0));
    let canary = judge_canary(&instance, &plan, b"PASSED one_is_two\nPASSED other\n", None);
    assert_eq!(canary.passed_wrongly, ["one_is_two"]);
    let none = plan_canary(&instance, &report(&["x"]), &files("t.txt", "x"), "w");
    assert!(none.is_err());
}

/// What is appended is sound Python, and spoils what it should, under every runner.
#[test]
fn the_appended_code_spoils_tests_of_functions_and_classes() {
    let Ok(python) = std::process::Command::new("python3").arg("--version").output() else {
        assert!(std::env::var("CI").is_err(), "python3 is missing");
        return;
    };
    assert!(python.status.success());
    let instance = an_instance(&[], &[]);
    let text = "import unittest\n\n\nclass Base:\n    def test_inherited(self):\n        pass\n\n\n\
        class Own(Base, unittest.TestCase):\n    def test_own(self):\n        pass\n\n\n\
        def test_alone():\n    pass";
    let names = ["t.Own.test_own", "t.Own.test_inherited", "t.py::test_alone", "t.Gone.test_gone"];
    let plan = plan_canary(&instance, &report(&names), &files("t.py", text), "a_b_c").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let witness = dir.path().join("witness");
    let module =
        plan.files["t.py"].replace(plan.witness.as_deref().unwrap(), witness.to_str().unwrap());
    fs_err::write(dir.path().join("t.py"), module).unwrap();
    let ran = std::process::Command::new("python3")
        .args(["-m", "unittest", "-v", "t"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(said.contains("FAILED (failures=6)"), "{said}");
    assert!(said.contains("test_a_b_c_same (t.ABCTest"), "{said}");
    let mut named: Vec<String> =
        fs_err::read_to_string(&witness).unwrap().lines().map(str::to_owned).collect();
    named.sort();
    assert_eq!(named, [".test_alone", "Own.test_inherited", "Own.test_own"]);
}
