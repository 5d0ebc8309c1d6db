//! The policies, the holes by name, files of results, logs of older harnesses.

use super::super::*;
use super::{fail_only, instance, log, outcome, resolved};
use crate::model::KilledBy;

fn holes(instance: &Instance, text: &str) -> Vec<String> {
    let section = Section::TextOnly { outcome: outcome(Status::Code(0)) };
    let graded = grade_by(Policy::Official, instance, text.as_bytes(), &section);
    assert!(resolved(&graded), "{text}: {graded:?}");
    let ours = grade_by(Policy::Report, instance, text.as_bytes(), &section);
    assert_eq!(ours, grade_by(Policy::Strict, instance, text.as_bytes(), &section));
    graded.notes
}

#[test]
fn every_hole_of_the_official_rules_is_named() {
    let usual = instance(&["a"], &[]);
    let honest = log("PASSED a\n", 0);
    assert_eq!(holes(&usual, &honest), [""; 0]);
    let start = script::START;
    let end = script::END;
    let cases = [
        (usual.clone(), format!("{end}\n{start}\nPASSED a\n"), "before their start"),
        (usual.clone(), log(&format!("PASSED a\n{start}\nFAILED a\n"), 0), "start more than once"),
        (usual.clone(), log(&format!("PASSED a\n{end}\nFAILED a\n"), 0), "end more than once"),
        (usual.clone(), format!("PASSED a\n{}", log("x\n", 0)), "outside of the test section"),
        (usual.clone(), log(&format!("PASSED a\n{}: 0\n", script::EXIT_CODE), 1), "several exit"),
        (usual.clone(), format!("{start}\nPASSED a\n{end}\n"), "no exit status is recorded"),
        (usual, log("PASSEDX a\nFAILED b\n", 1), "left out of both lists"),
        (instance(&[], &[]), log("PASSED x\n", 0), "expects no test"),
        (fail_only(), log("12 passing\n", 1), "tells of a failure"),
    ];
    for (instance, text, named) in cases {
        let notes = holes(&instance, &text);
        assert!(notes.iter().any(|note| note.contains(named)), "{named}: {notes:?}");
    }
}

#[test]
fn tests_that_were_ended_have_no_official_verdict_either() {
    let usual = instance(&["a"], &[]);
    let text = log("PASSED a\n", 0);
    let section = Section::TextOnly { outcome: outcome(Status::Killed(KilledBy::TimedOut)) };
    let graded = grade_by(Policy::Official, &usual, text.as_bytes(), &section);
    assert!(matches!(graded.verdict, Verdict::TestsStopped { .. }));
}

#[test]
fn results_of_a_file_are_those_that_were_taken_last() {
    let path = "/testbed/r.xml";
    let reading = Instance { log_parser: format!("junit-xml:{path}"), ..instance(&["a"], &[]) };
    let case =
        |inner: &str| format!("<testsuite><testcase name=\"a\">{inner}</testcase></testsuite>");
    let heading = format!("{}: {path}\n", script::RESULT_FILE);
    let graded = |tests: &str| {
        let end = tests.len() as u64;
        let section = Section::Supervised { start: 0, end, outcome: outcome(Status::Code(0)) };
        grade(&reading, tests.as_bytes(), &section)
    };
    let passed = format!("output\n\n{heading}{}\n", case(""));
    assert!(resolved(&graded(&passed)));
    // Printed by the tests: the file's own results come behind.
    let forged = format!("{heading}{}\n\n{heading}{}\n", case(""), case("<failure/>"));
    assert!(!resolved(&graded(&forged)));
    // No file, no results.
    assert_eq!(graded(&case("")).verdict, Verdict::LogUnusable { why: LogProblem::NoResults });
}

#[test]
fn logs_before_the_markers_are_read_behind_the_patch() {
    let usual = instance(&["a"], &[]);
    let applied = "PASSED a\n>>>>> Applied Patch (pred)\n";
    let given = |log: &str| older(Policy::Official, &usual, log.as_bytes());
    assert!(is_older(applied.as_bytes()) && !is_older(log("PASSED a\n", 0).as_bytes()));
    assert!(resolved(&given(&format!("{applied}PASSED a\n"))));
    assert!(!resolved(&given(&format!("{applied}FAILED a\n"))));
    assert!(!resolved(&given(applied)));
    let problem = given(&format!("{applied}PASSED a\n>>>>> Tests Timed Out\n")).verdict;
    assert!(matches!(problem, Verdict::LogUnusable { why: LogProblem::BadMarker { .. } }));
}
