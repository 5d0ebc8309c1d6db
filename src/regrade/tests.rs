//! Runs found and judged anew in the layouts of several harnesses.

use super::*;
use crate::model::VerdictKind;
use std::collections::BTreeSet;
use std::path::Path;

const LOG: &str = "+ : '>>>>> Start Test Output'\nPASSED a\nFAILED b - no\n\
    +  : '>>>>> End Test Output'\n>>>>> Test Exit Code: 1\n";

fn instance(id: &str, test: &str) -> Instance {
    Instance { id: InstanceId::new(id).unwrap(), ..crate::grade::tests_instance(&[test], &[]) }
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::write(path, text).unwrap();
}

fn graded(root: &Path, policy: Policy) -> Vec<(String, VerdictKind)> {
    let instances = [instance("o__n-1", "a"), instance("o__n-2", "b"), instance("o__n-10", "a")];
    let ids: BTreeSet<InstanceId> = instances.iter().map(|one| one.id.clone()).collect();
    let found = find(root, &ids, None).unwrap();
    let by_id = instances.iter().map(|one| (&one.id, one)).collect();
    let graded = regrade(&found, &by_id, policy);
    graded.iter().map(|one| (one.key.to_string(), one.kind())).collect()
}

#[test]
fn the_incumbents_layout_of_any_model() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let at = |rest: &str| format!("logs/run_evaluation/r/{rest}");
    write(root, &at("m__x/o__n-1/test_output.txt"), LOG);
    write(root, &at("m__x/o__n-1/patch.diff"), "x");
    write(root, &at("m__x/o__n-2/test_output.txt"), LOG);
    write(root, &at("m__x/o__n-10/patch.diff"), "x");
    write(root, &at("m__x/o__n-10/run_instance.log"), ">>>>> Patch Apply Failed:\nerror: x");
    write(root, &at("y/o__n-1/patch.diff"), "");
    write(root, &at("y/o__n-2/run_instance.log"), "Error response from daemon");
    let timed_out = format!("{LOG}\n\nTimeout error: 1800 seconds exceeded.");
    write(root, &at("y/o__n-10/test_output.txt"), &timed_out);
    write(root, &at("y/other/test_output.txt"), LOG);
    let expected = [
        ("o__n-1 by m__x", VerdictKind::Resolved),
        ("o__n-10 by m__x", VerdictKind::PatchRejected),
        ("o__n-2 by m__x", VerdictKind::Unresolved),
        ("o__n-1 by y", VerdictKind::EmptyPatch),
        ("o__n-10 by y", VerdictKind::TestsStopped),
        ("o__n-2 by y", VerdictKind::Infra),
    ];
    let expected = expected.map(|(key, kind)| (key.to_owned(), kind));
    for below in ["", "logs", "logs/run_evaluation", "logs/run_evaluation/r"] {
        for policy in [Policy::Official, Policy::Report] {
            assert_eq!(graded(&root.join(below), policy), expected, "{below}");
        }
    }
    let nothing = find(&root.join("logs/run_evaluation/r/y/other"), &BTreeSet::new(), None);
    assert!(matches!(nothing, Err(RegradeError::Nothing(_))));
    assert!(matches!(find(&root.join("none"), &BTreeSet::new(), None), Err(RegradeError::Io(_))));
}

#[test]
fn logs_of_old_harnesses_by_their_names() {
    let dir = tempfile::tempdir().unwrap();
    let log = "Task\n>>>>> Applied Patch (pred)\nInstallation\nPASSED a\nFAILED b\n";
    write(dir.path(), "o__n-1.gpt-4.0613.eval.log", log);
    write(dir.path(), "o__n-10.gpt-4.0613.eval.log", ">>>>> Patch Apply Failed; (pred)\n");
    let expected = [
        ("o__n-1 by gpt-4.0613".to_owned(), VerdictKind::Resolved),
        ("o__n-10 by gpt-4.0613".to_owned(), VerdictKind::LogUnusable),
    ];
    assert_eq!(graded(dir.path(), Policy::Report), expected);
}

#[test]
fn an_account_names_the_test_the_hunk_and_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let log = "____ test_b ____\n    assert 1 == 2\nE  AssertionError\n____ test_c ____\nx\n";
    write(root, "m/o__n-1/test_output.txt", log);
    let report = serde_json::json!({"o__n-1": {"resolved": false, "patch_successfully_applied": true,
        "tests_status": {"FAIL_TO_PASS": {"success": [], "failure": ["t.py::test_b[1]"]},
            "PASS_TO_PASS": {"success": [], "failure": []}}}});
    write(root, "m/o__n-1/report.json", &report.to_string());
    let patch =
        "diff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -1,2 +1 @@\n a\n-b\n@@ -9 +8 @@\n-c\n+d\n";
    write(root, "m/o__n-2/patch.diff", patch);
    let said = "error: patch failed: f:9\nerror: f: patch does not apply\n>>>>> Patch Apply Failed";
    write(root, "m/o__n-2/run_instance.log", said);
    let one = &account(root, "o__n-1", None).unwrap()[0];
    assert_eq!(
        (one.verdict.as_str(), one.test.as_deref()),
        ("unresolved", Some("t.py::test_b[1]"))
    );
    assert_eq!(one.log, ["____ test_b ____", "    assert 1 == 2", "E  AssertionError"]);
    let two = &account(root, "o__n-2", Some("m")).unwrap()[0];
    assert_eq!(two.verdict, "patch_rejected");
    let expected =
        ["error: patch failed: f:9", "@@ -9 +8 @@", "-c", "+d", "error: f: patch does not apply"];
    assert_eq!(two.rejected, expected);
    assert!(account(root, "o__n-2", Some("other")).is_err());
}
