//! The graders on logs made by hand, honest and forged, and properties of verdicts.

mod policies;

use super::*;
use crate::model::{InstanceId, KilledBy, Usage};
use proptest::prelude::*;

const SCRIPT: &str = ": '>>>>> Start Test Output'\npytest\n: '>>>>> End Test Output'\n";

pub(crate) fn instance(fail_to_pass: &[&str], pass_to_pass: &[&str]) -> Instance {
    let owned = |tests: &[&str]| tests.iter().map(|test| (*test).to_owned()).collect();
    Instance {
        id: InstanceId::new("owner__name-1").unwrap(),
        repo: "owner/name".to_owned(),
        base_commit: None,
        version: "1.0".to_owned(),
        environment_setup_commit: None,
        gold_patch: None,
        test_patch: String::new(),
        difficulty: None,
        fail_to_pass: owned(fail_to_pass),
        pass_to_pass: owned(pass_to_pass),
        work_dir: "/testbed".to_owned(),
        image_name: String::new(),
        env: None,
        eval_script: SCRIPT.to_owned(),
        log_parser: "parse_log_pytest".to_owned(),
        eval_type: EvalType::PassAndFail,
        dockerfile: None,
        image_assets: Vec::new(),
    }
}

pub(super) fn fail_only() -> Instance {
    Instance {
        eval_type: EvalType::FailOnly,
        log_parser: "parse_log_marked".to_owned(),
        ..instance(&["a"], &[])
    }
}

pub(super) fn outcome(status: Status) -> Outcome {
    Outcome { status, limits_hit: LimitsHit::default(), usage: Usage::default() }
}

/// The log of an honest harness around what the tests print.
pub(super) fn log(tests: &str, status: i32) -> String {
    format!(
        "+ git show\n+ : '{}'\n{tests}{}{}'\n+ echo '{}: {status}'\n{}: {status}\n+ git checkout\n",
        script::START,
        script::trace_after_tests(status),
        script::END,
        script::EXIT_CODE,
        script::EXIT_CODE
    )
}

/// What we make of the same run: section and status come from the supervisor.
fn supervised_parts(instance: &Instance, parts: [&str; 3], status: i32) -> Graded {
    let start = parts[0].len() as u64;
    let end = start + parts[1].len() as u64;
    let section = Section::Supervised { start, end, outcome: outcome(Status::Code(status)) };
    grade(instance, parts.concat().as_bytes(), &section)
}

fn supervised(instance: &Instance, tests: &str, status: i32) -> Graded {
    supervised_parts(instance, ["+ git show\n", tests, "+ git checkout\n"], status)
}

fn by_text(instance: &Instance, log: &str) -> Graded {
    grade(instance, log.as_bytes(), &Section::TextOnly { outcome: outcome(Status::Code(0)) })
}

pub(super) fn resolved(graded: &Graded) -> bool {
    matches!(graded.verdict, Verdict::Resolved { .. })
}

#[test]
fn honest_logs_fare_as_with_the_incumbent() {
    let usual = instance(&["a"], &["b"]);
    let cases = [
        (usual.clone(), "PASSED a\nPASSED b\n", 0),
        (usual.clone(), "PASSED a\nXFAIL b\n", 0),
        (usual.clone(), "XFAIL a\nSKIPPED b\n", 0),
        (usual.clone(), "SKIPPED a\nPASSED b\n", 0),
        (usual.clone(), "PASSED a\nFAILED b - x\n", 1),
        (usual.clone(), "PASSED a\n", 0),
        (usual.clone(), "PASSED a\nPASSED b\nERROR c\n", 1),
        (usual.clone(), "PASSED a\nPASSED b\n", 1),
        (usual.clone(), "PASSED a\nPASSED b", 0),
        (usual.clone(), "Traceback\n", 1),
        (usual.clone(), "", 0),
        (usual.clone(), "12 passing\n", 0),
        (instance(&[], &["b"]), "PASSED b\n", 0),
        (instance(&["a[x"], &["b"]), "PASSED a[x y]\nPASSED a[x z]\nPASSED b\n", 0),
        (instance(&["a[x"], &["b"]), "PASSED a[x1]\nFAILED a[x2]\nPASSED b\n", 1),
        (instance(&["b"], &["a[x"]), "SKIPPED a[x1]\nFAILED a[x2]\nPASSED b\n", 1),
        (instance(&["b"], &["a[x"]), "FAILED a[x1]\nSKIPPED a[x2]\nPASSED b\n", 1),
        (instance(&["a[x]y"], &[]), "PASSED a[x]yz\n", 0),
        (fail_only(), "10 specs, 0 failures\n", 0),
        (fail_only(), "10 specs, 0 failures\n", 1),
        (fail_only(), "1) b\n10 specs, 1 failure\n", 1),
        (fail_only(), "1) a\n", 1),
        (fail_only(), "0 passing\n", 1),
        (fail_only(), "crash\n", 1),
    ];
    for (instance, tests, status) in cases {
        let theirs = official(&instance, log(tests, status).as_bytes()).verdict;
        assert_eq!(supervised(&instance, tests, status).verdict, theirs, "{tests}");
        assert_eq!(by_text(&instance, &log(tests, status)).verdict, theirs, "{tests}");
    }
}

#[test]
fn the_incumbents_rules_one_by_one() {
    let verdict =
        |tests: &str, status| official(&instance(&["a"], &["b"]), log(tests, status).as_bytes());
    assert!(resolved(&verdict("PASSED a\nSKIPPED b\n", 0)));
    assert!(!resolved(&verdict("SKIPPED a\nPASSED b\n", 0)));
    assert_eq!(
        verdict("PASSED a\nPASSED b\n", 2).verdict,
        Verdict::LogUnusable { why: LogProblem::ExitStatusContradicts { status: 2 } }
    );
    assert_eq!(verdict("oops\n", 1).verdict, Verdict::LogUnusable { why: LogProblem::NoResults });
    let unmarked = official(&instance(&["a"], &[]), b"PASSED a\n").verdict;
    assert_eq!(unmarked, Verdict::LogUnusable { why: LogProblem::TestsNotStarted });
    let cut =
        official(&instance(&["a"], &[]), b"+ : '>>>>> Start Test Output'\nPASSED a\n").verdict;
    assert_eq!(cut, Verdict::LogUnusable { why: LogProblem::TestsNotEnded });
    let marked = verdict("PASSED a\nPASSED b\n>>>>> Tests Errored\n", 0).verdict;
    assert!(matches!(marked, Verdict::LogUnusable { why: LogProblem::BadMarker { .. } }));
    let django = Instance { log_parser: "parse_log_django".to_owned(), ..instance(&["a"], &[]) };
    let failed = official(&django, log("ERROR:root:boom\n", 1).as_bytes()).verdict;
    assert!(matches!(failed, Verdict::LogUnusable { why: LogProblem::ParserFailed { .. } }));
    let unknown = Instance { log_parser: "parse_log_nose".to_owned(), ..instance(&["a"], &[]) };
    let failed = official(&unknown, log("PASSED a\n", 0).as_bytes()).verdict;
    assert!(matches!(failed, Verdict::LogUnusable { why: LogProblem::ParserFailed { .. } }));
}

/// Every case is resolved by the incumbent; what the tests print, and their true exit status.
#[test]
fn forged_logs_resolve_by_text_and_not_with_a_supervised_section() {
    let usual = instance(&["a"], &[]);
    let forged = [
        // The record of the exit status, printed.
        ("PASSED a\n>>>>> Test Exit Code: 0\n", 1),
        // An early end.
        ("PASSED a\n>>>>> End Test Output\nFAILED a\n", 0),
        // A second start.
        ("PASSED a\n>>>>> Start Test Output\nFAILED a\n", 0),
        // A word that is no status.
        ("PASSEDX a\nFAILED b\n", 1),
        ("FAILED: a\n", 0),
    ];
    for (tests, status) in forged {
        assert!(resolved(&official(&usual, log(tests, status).as_bytes())), "{tests}");
        let ours = supervised(&usual, tests, status);
        assert!(!resolved(&ours), "{tests}: {ours:?}");
    }
    let before = "PASSED a\n";
    let section = "+ pytest\n";
    let text = format!("{before}{}", log(section, 0));
    assert!(resolved(&official(&usual, text.as_bytes())));
    assert!(!resolved(&supervised_parts(&usual, [before, section, ""], 0)));
    assert!(!resolved(&supervised_parts(&usual, ["", section, before], 0)));
    // Evidence of tests outside of the section.
    let text = format!("12 passing\n{}", log("crash\n", 1));
    assert!(resolved(&official(&fail_only(), text.as_bytes())));
    assert!(!resolved(&supervised_parts(&fail_only(), ["12 passing\n1) x\n", "crash\n", ""], 1)));
    // Nothing expected.
    let nothing = instance(&[], &[]);
    assert!(resolved(&official(&nothing, log("FAILED x\n", 1).as_bytes())));
    assert!(!resolved(&supervised(&nothing, "FAILED x\n", 1)));
    assert!(!resolved(&by_text(&nothing, &log("PASSED x\n", 0))));
    // The end before the start.
    let text = ">>>>> End Test Output\n>>>>> Start Test Output\nPASSED a\n";
    assert!(resolved(&official(&usual, text.as_bytes())));
    assert!(!resolved(&by_text(&usual, text)));
}

#[test]
fn markers_that_tests_print_do_not_move_a_supervised_verdict() {
    let usual = instance(&["a"], &["b"]);
    for marker in [script::START, script::END, ">>>>> Test Exit Code: 1", ">>>>> Tests Errored"] {
        let graded = supervised(&usual, &format!("PASSED a\n{marker}\nPASSED b\n"), 0);
        assert!(resolved(&graded), "{marker}");
        assert!(graded.notes.iter().any(|note| note.contains("marker")), "{marker}");
    }
}

#[test]
fn tests_that_did_not_end_by_themselves_are_not_judged() {
    let usual = instance(&["a"], &[]);
    let text = b"PASSED a\n";
    let at = |status| Section::Supervised { start: 0, end: 9, outcome: outcome(status) };
    let timed_out = grade(&usual, text, &at(Status::Killed(KilledBy::TimedOut))).verdict;
    assert!(matches!(timed_out, Verdict::TestsStopped { .. }));
    let killed = grade(&usual, text, &at(Status::Signal(9))).verdict;
    assert_eq!(killed, Verdict::LogUnusable { why: LogProblem::TestsNotEnded });
    let mut starved = outcome(Status::Signal(9));
    starved.limits_hit.memory = true;
    let section = Section::Supervised { start: 0, end: 9, outcome: starved };
    let starved = grade(&usual, text, &section);
    assert!(matches!(starved.verdict, Verdict::TestsStopped { .. }) && starved.notes.len() == 1);
    // Offsets beyond the log are cut, not trusted.
    let section =
        Section::Supervised { start: 5, end: u64::MAX, outcome: outcome(Status::Code(0)) };
    assert!(!resolved(&grade(&usual, text, &section)));
    let section = Section::Supervised { start: 9, end: 3, outcome: outcome(Status::Code(0)) };
    assert!(!resolved(&grade(&usual, text, &section)));
}

#[test]
fn echoed_markers_leave_no_trace_in_the_section() {
    let mut echoed = instance(&["a"], &[]);
    echoed.eval_script = SCRIPT.replace(": '", "echo '");
    // The last line has no line feed: behind it the trace of the shell would spoil the name.
    assert!(resolved(&supervised(&echoed, "PASSED a", 0)));
    assert!(!resolved(&supervised(&instance(&["a"], &[]), "PASSED a", 0)));
}

#[test]
fn text_alone_is_said_so() {
    let graded = by_text(&instance(&["a"], &[]), &log("PASSED a\n", 0));
    assert!(
        resolved(&graded) && graded.notes.iter().any(|note| note.contains("text of the log alone"))
    );
}

/// Names like those of real tests.
fn names() -> impl Strategy<Value = Vec<String>> {
    prop::collection::btree_set(
        r"tests/[a-z]{1,3}\.py::test_[a-z]{1,4}(\[[a-z0-9-]{0,4}\])?",
        1..12,
    )
    .prop_map(|names| names.into_iter().collect())
}

fn results(names: &[String], failing: Option<&str>) -> String {
    let word = |name: &String| if failing == Some(name.as_str()) { "FAILED" } else { "PASSED" };
    names.iter().map(|name| format!("{} {name}\n", word(name))).collect()
}

proptest! {
    #[test]
    fn failing_any_expected_test_takes_resolved_away(
        names in names(), split in any::<prop::sample::Index>(), pick in any::<prop::sample::Index>(), status in 0..2i32
    ) {
        let (fixed, kept) = names.split_at(split.index(names.len()));
        let mut expecting = instance(&[], &[]);
        (expecting.fail_to_pass, expecting.pass_to_pass) = (fixed.to_vec(), kept.to_vec());
        prop_assert!(resolved(&supervised(&expecting, &results(&names, None), 0)));
        let failing = &names[pick.index(names.len())];
        let failed = results(&names, Some(failing));
        prop_assert!(!resolved(&supervised(&expecting, &failed, status)));
        prop_assert!(!resolved(&by_text(&expecting, &log(&failed, status))));
        prop_assert!(!resolved(&official(&expecting, log(&failed, status).as_bytes())));
        let missing = failed.lines().filter(|line| !line.starts_with("FAILED")).map(|line| format!("{line}\n"));
        prop_assert!(!resolved(&supervised(&expecting, &missing.collect::<String>(), 0)));
    }

    #[test]
    fn lines_that_name_no_expected_test_never_change_a_verdict(
        names in names(),
        failing in any::<Option<prop::sample::Index>>(),
        noise in prop::collection::vec((r"(PASSED|FAILED|SKIPPED|ERROR|XFAIL|PASSEDX|>>>>>|\+|x)? ?other[ -~é]{0,20}", any::<prop::sample::Index>()), 0..8),
    ) {
        let mut expecting = instance(&[], &[]);
        expecting.fail_to_pass = names.clone();
        let failing = failing.map(|index| names[index.index(names.len())].clone());
        let plain = results(&names, failing.as_deref());
        let mut lines: Vec<String> = plain.lines().map(str::to_owned).collect();
        for (line, at) in noise {
            lines.insert(at.index(lines.len() + 1), line);
        }
        let noisy: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let (clean, noisy) = (supervised(&expecting, &plain, 0), supervised(&expecting, &noisy, 0));
        prop_assert_eq!(clean.verdict, noisy.verdict);
    }

    #[test]
    fn no_bytes_make_a_grader_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..400), start in 0..500u64, end in 0..500u64, parser in 0..57usize
    ) {
        let mut any = instance(&["a"], &[]);
        any.log_parser = parser_names().nth(parser).unwrap().to_owned();
        let section = Section::Supervised { start, end, outcome: outcome(Status::Code(0)) };
        let _ = (grade(&any, &bytes, &section), official(&any, &bytes));
        let _ = (script::cut(&String::from_utf8_lossy(&bytes)), infra_signature(&bytes, &bytes));
    }
}
