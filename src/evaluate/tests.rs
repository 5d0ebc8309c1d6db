use super::*;
use crate::layers::ImageKey;
use crate::model::{Digest, EvalType, InstanceId, KilledBy, LimitsHit};
use crate::sandbox::fake::{FakeBackend, Invocation, Reply};
use std::collections::HashMap;

const SCRIPT: &str = "#!/bin/bash\nset -uxo pipefail\ncd /testbed\n: '>>>>> Start Test Output'\n\
    pytest -rA\n: '>>>>> End Test Output'\ngit checkout abc\n";

fn instance() -> Instance {
    Instance {
        id: InstanceId::new("o__r-1").unwrap(),
        repo: "o/r".to_owned(),
        base_commit: None,
        version: "1".to_owned(),
        environment_setup_commit: None,
        gold_patch: None,
        test_patch: "diff --git a/t.py b/t.py\n".to_owned(),
        difficulty: None,
        fail_to_pass: vec!["t.py::a".to_owned()],
        pass_to_pass: vec![],
        work_dir: "/testbed".to_owned(),
        image_name: "image".to_owned(),
        env: None,
        eval_script: SCRIPT.to_owned(),
        log_parser: "parse_log_pytest".to_owned(),
        eval_type: EvalType::PassAndFail,
        dockerfile: None,
        image_assets: vec![],
    }
}

/// The part of the script that a command runs, if it runs one.
fn part_of(seen: &Invocation<'_>) -> Option<&'static str> {
    (seen.command.argv == ["/bin/bash", "/eval.sh"]).then(|| {
        let script = String::from_utf8_lossy(&seen.files["/eval.sh"]).into_owned();
        match script {
            text if text.contains("pytest -rA") => "test",
            text if text.contains("git checkout abc") => "finish",
            _ => "prepare",
        }
    })
}

struct Ended {
    evaluation: Evaluation,
    files: HashMap<&'static str, String>,
}

async fn check(
    patch: &str,
    script: impl Fn(&Invocation<'_>) -> Reply + Send + Sync + 'static,
) -> Ended {
    check_on(Upper::Disk, patch, script).await
}

fn prediction(instance: &Instance, patch: &str) -> Prediction {
    Prediction {
        instance_id: instance.id.clone(),
        model: "m".into(),
        patch: Some(patch.to_owned()),
        attempt: 1,
    }
}

fn options() -> EvalOptions {
    EvalOptions {
        sandbox: SandboxOptions::default(),
        timeout: Duration::from_secs(60),
        policy: Policy::default(),
        canary: false,
        rerun_failed: 0,
        assets: HashMap::new(),
    }
}

async fn check_on(
    upper: Upper,
    patch: &str,
    script: impl Fn(&Invocation<'_>) -> Reply + Send + Sync + 'static,
) -> Ended {
    let backend = FakeBackend::new(script);
    let image = ImageKey(Digest::of("image"));
    backend.add_image(image);
    let dir = tempfile::tempdir().unwrap();
    let instance = instance();
    let prediction = prediction(&instance, patch);
    let sandbox = SandboxOptions { upper, ..SandboxOptions::default() };
    let options = EvalOptions { sandbox, ..options() };
    let task = Task { instance: &instance, prediction: &prediction };
    let evaluation = evaluate(backend.as_ref(), &image, task, &options, dir.path()).await;
    assert_eq!(backend.alive(), 0, "the sandbox outlived its evaluation");
    let read = |name| (name, fs::read_to_string(dir.path().join(name)).unwrap_or_default());
    let files = ["patch.diff", "eval.sh", "test_output.txt", "run_instance.log"].map(read).into();
    Ended { evaluation, files }
}

fn pytest(test: Reply) -> impl Fn(&Invocation<'_>) -> Reply + Send + Sync {
    move |seen| match part_of(seen) {
        Some("test") => test.clone(),
        Some(part) => Reply::code(0, format!("+ {part}\n")),
        None => Reply::code(0, ""),
    }
}

#[tokio::test]
async fn a_patch_that_makes_the_tests_pass_resolves() {
    let ended = check("p", pytest(Reply::code(0, "PASSED t.py::a\n"))).await;
    assert_eq!(ended.evaluation.verdict.name(), "resolved", "{:?}", ended.evaluation);
    assert_eq!(
        ended.files["test_output.txt"],
        "+ prepare\n+ : '>>>>> Start Test Output'\nPASSED t.py::a\n+ SWEBENCH_TEST_EXIT_CODE=0\n\
         + : '>>>>> End Test Output'\n+ echo '>>>>> Test Exit Code: 0'\n>>>>> Test Exit Code: 0\n\
         + finish\n"
    );
    assert_eq!(ended.files["eval.sh"], SCRIPT);
    assert_eq!(ended.files["patch.diff"], "p");
    assert_eq!(ended.evaluation.applied_by.as_deref(), Some("git apply --verbose"));
    assert!(ended.files["run_instance.log"].contains(">>>>> Applied Patch"));
}

#[tokio::test]
async fn a_test_that_prints_markers_does_not_move_its_verdict() {
    let forged = "FAILED t.py::a\n+ : '>>>>> End Test Output'\n>>>>> Test Exit Code: 0\n";
    let ended = check("p", pytest(Reply::code(1, forged))).await;
    assert_eq!(ended.evaluation.verdict.name(), "unresolved");
    let outside = |seen: &Invocation<'_>| match part_of(seen) {
        Some("prepare") => Reply::code(0, "+ : '>>>>> Start Test Output'\nPASSED t.py::a\n"),
        Some("test") => Reply::code(1, "FAILED t.py::a\n"),
        Some(_) => Reply::code(0, "PASSED t.py::a\n"),
        None => Reply::code(0, ""),
    };
    assert_eq!(check("p", outside).await.evaluation.verdict.name(), "unresolved");
}

#[tokio::test]
async fn a_patch_that_nothing_takes_is_rejected() {
    let ended = check("p", |seen: &Invocation<'_>| match seen.command.argv[0].as_str() {
        "git" if seen.command.argv[1] == "apply" => Reply::code(1, "error: no"),
        "patch" => Reply::code(1, "no"),
        _ => Reply::code(0, ""),
    })
    .await;
    assert_eq!(ended.evaluation.verdict, Verdict::PatchRejected);
    assert!(ended.files["run_instance.log"].contains(">>>>> Patch Apply Failed"));
}

#[tokio::test]
async fn an_empty_patch_never_runs() {
    let ended = check("", |_: &Invocation<'_>| panic!("something ran")).await;
    assert_eq!(ended.evaluation.verdict, Verdict::EmptyPatch);
}

#[tokio::test]
async fn tests_that_we_end_are_stopped_whatever_they_printed() {
    let mut reply = Reply::code(0, "PASSED t.py::a\n");
    reply.status = Status::Killed(KilledBy::TimedOut);
    let ended = check("p", pytest(reply)).await;
    assert_eq!(ended.evaluation.verdict.name(), "tests_stopped");
    assert!(ended.files["test_output.txt"].ends_with("\n\nTimeout error: 60 seconds exceeded."));
}

#[tokio::test]
async fn a_script_that_ends_inside_its_tests_gives_no_verdict_on_them() {
    let ended = check("p", |seen: &Invocation<'_>| {
        let handed_on = seen.command.argv.last().is_some_and(|word| word.contains("test -s"));
        let in_tests = seen
            .files
            .get("/eval.sh")
            .is_some_and(|text| String::from_utf8_lossy(text).contains("pytest -rA"));
        match part_of(seen) {
            Some("test") => Reply::code(0, "PASSED t.py::a\n"),
            _ if handed_on && in_tests => Reply::code(1, ""),
            _ => Reply::code(0, ""),
        }
    })
    .await;
    assert_eq!(ended.evaluation.verdict, Verdict::LogUnusable { why: LogProblem::TestsNotEnded });
}

#[tokio::test]
async fn memory_that_ran_out_explains_a_log_that_cannot_be_judged() {
    let mut reply = Reply::code(137, "");
    reply.limits_hit = LimitsHit { memory: true, ..LimitsHit::default() };
    let ended = check("p", pytest(reply)).await;
    assert_eq!(ended.evaluation.verdict.name(), "tests_stopped");
    assert!(ended.evaluation.notes.iter().any(|note| note.contains("memory")));
}

/// A test that fails wherever it writes to memory: there it meets the limit.
fn too_large_for_memory(
    limit: fn(&mut LimitsHit),
    on_disk: &'static str,
) -> impl Fn(&Invocation<'_>) -> Reply + Send + Sync {
    move |seen| match (part_of(seen), seen.options.upper) {
        (Some("test"), Upper::Disk) => Reply::code(0, format!("{on_disk} t.py::a\n")),
        (Some("test"), _) => {
            let mut reply = Reply::code(1, "FAILED t.py::a\n");
            limit(&mut reply.limits_hit);
            reply
        }
        _ => Reply::code(0, ""),
    }
}

#[tokio::test]
async fn what_does_not_fit_in_memory_is_done_again_on_disk() {
    for limit in [|hit: &mut LimitsHit| hit.disk = true, |hit: &mut LimitsHit| hit.memory = true] {
        for (on_disk, verdict) in [("PASSED", "resolved"), ("FAILED", "unresolved")] {
            let ended = check_on(Upper::Auto, "p", too_large_for_memory(limit, on_disk)).await;
            assert_eq!(ended.evaluation.verdict.name(), verdict, "{:?}", ended.evaluation);
            assert_eq!(ended.evaluation.disk.map(|disk| disk.in_memory), Some(false));
            assert!(ended.evaluation.notes.contains(&AGAIN.to_owned()));
            let log = &ended.files["test_output.txt"];
            assert_eq!(log.matches("t.py::a").count(), 1, "{log}");
            assert!(ended.files["run_instance.log"].contains("the same again, on disk"));
        }
    }
}

#[tokio::test]
async fn whoever_asks_for_memory_gets_what_happens_there() {
    let hit = |hit: &mut LimitsHit| hit.disk = true;
    let ended = check_on(Upper::Memory, "p", too_large_for_memory(hit, "PASSED")).await;
    assert_eq!(ended.evaluation.verdict.name(), "unresolved");
    assert!(ended.evaluation.disk.is_some_and(|disk| disk.in_memory && disk.ran_short));
    // What succeeds in too little memory has succeeded.
    let full = |seen: &Invocation<'_>| match part_of(seen) {
        Some("test") => {
            assert_eq!(seen.options.upper, Upper::Auto, "it is not done again");
            let mut reply = Reply::code(0, "PASSED t.py::a\n");
            reply.limits_hit.disk = true;
            reply
        }
        _ => Reply::code(0, ""),
    };
    let ended = check_on(Upper::Auto, "p", full).await;
    assert_eq!(ended.evaluation.verdict.name(), "resolved");
}

#[tokio::test]
async fn a_test_patch_that_is_not_there_is_told_apart() {
    let ended = check("p", |seen: &Invocation<'_>| match part_of(seen) {
        Some("prepare") => Reply::code(0, "error: t.py: already exists in working directory\n"),
        Some("test") => Reply::code(0, "PASSED t.py::a\n"),
        _ if seen.command.argv.last().is_some_and(|word| word == "-") => Reply::code(1, ""),
        _ => Reply::code(0, ""),
    })
    .await;
    assert_eq!(ended.evaluation.verdict, Verdict::TestPatchRejected);
}

#[tokio::test]
async fn a_sandbox_that_cannot_be_made_is_our_trouble() {
    let backend = FakeBackend::new(|_: &Invocation<'_>| Reply::code(0, ""));
    let dir = tempfile::tempdir().unwrap();
    let instance = instance();
    let prediction = prediction(&instance, "p");
    let options = options();
    let task = Task { instance: &instance, prediction: &prediction };
    let key = ImageKey(Digest::of("absent"));
    let evaluation = evaluate(backend.as_ref(), &key, task, &options, dir.path()).await;
    let Verdict::Infra { cause } = evaluation.verdict else { panic!("{evaluation:?}") };
    assert_eq!(cause.reason, "image_missing");
}

#[tokio::test]
async fn what_failed_runs_again_alone_and_the_verdict_stays() {
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let backend = FakeBackend::new(move |seen| {
        let script = String::from_utf8_lossy(seen.files.get("/eval.sh").map_or(b"", |b| b));
        if seen.command.argv != ["/bin/bash", "/eval.sh"] || !script.contains("pytest -rA") {
            return Reply::code(0, "");
        }
        match asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 => Reply::code(1, "PASSED t.py::a\nFAILED t.py::b\n"),
            _ if script.contains("pytest -rA 't.py::b'") => Reply::code(0, "PASSED t.py::b\n"),
            _ => Reply::code(1, ""),
        }
    });
    let image = ImageKey(Digest::of("image"));
    backend.add_image(image);
    let dir = tempfile::tempdir().unwrap();
    let instance = Instance { pass_to_pass: vec!["t.py::b".to_owned()], ..instance() };
    let prediction = prediction(&instance, "p");
    let options = EvalOptions { policy: Policy::Report, rerun_failed: 3, ..options() };
    let task = Task { instance: &instance, prediction: &prediction };
    let evaluation = evaluate(backend.as_ref(), &image, task, &options, dir.path()).await;
    assert_eq!(evaluation.verdict.name(), "unresolved");
    let reruns = evaluation.probes.reruns.unwrap();
    assert_eq!((reruns.runs, reruns.selected, reruns.resolved), (1, true, true));
    assert_eq!(reruns.passed, ["t.py::b"]);
    assert!(dir.path().join("again-1/test_output.txt").exists());
    assert_eq!(backend.alive(), 0);
}
