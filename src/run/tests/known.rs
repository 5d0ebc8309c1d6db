//! Verdicts that earlier runs came to.

use super::*;
use crate::history::History;
use crate::model::{TestLists, TestsReport};

/// A run of this name with a history, all resolved but `bad`.
async fn go_with(
    history: &History,
    reports: &Path,
    change: impl FnOnce(&mut RunPlan),
) -> (RunState, Arc<Scripted>) {
    let jobs = Arc::new(Scripted::new(|id, _| {
        let failed = TestLists { success: Vec::new(), failure: vec!["t".to_owned()] };
        let tests = TestsReport { fail_to_pass: failed, ..TestsReport::default() };
        at_once(if id == "bad" { Verdict::Unresolved { tests } } else { resolved() })
    }));
    let mut plan = plan(reports, &["a", "b", "bad"]);
    plan.history = Some(history.clone());
    change(&mut plan);
    let state = go(plan, &jobs).await.unwrap();
    (state, jobs)
}

fn asked(jobs: &Scripted) -> [usize; 3] {
    ["a", "b", "bad"].map(|id| jobs.asked(id))
}

fn named(name: &str) -> impl FnOnce(&mut RunPlan) {
    let name = name.to_owned();
    |plan| plan.run_id = name
}

#[tokio::test]
async fn what_is_known_is_taken_over_whatever_the_run_and_the_model_are_called() {
    let dir = tempfile::tempdir().unwrap();
    let history = History::open(dir.path()).unwrap();
    let (_, jobs) = go_with(&history, dir.path(), named("first")).await;
    assert_eq!(asked(&jobs), [1, 1, 1]);

    let renamed = |plan: &mut RunPlan| {
        plan.run_id = "second".to_owned();
        plan.predictions.iter_mut().for_each(|one| one.model = "another".into());
    };
    let (state, jobs) = go_with(&history, dir.path(), renamed).await;
    // What failed once may have failed by chance: it runs again, and is known from then on.
    assert_eq!(asked(&jobs), [0, 0, 1]);
    assert_eq!(jobs.prepared.load(Ordering::SeqCst), 1, "no image is made for what is known");
    assert!(state.finished);
    let key = prediction("another", "a", "").key();
    let from = state.done(&key).unwrap().known.clone().unwrap();
    assert_eq!((from.run_id.as_str(), &*from.model, from.attempt), ("first", "m/1", 1));
    // Its files came along, so that it can be judged anew and explained.
    let place = dir.path().join("second/another/a");
    assert_eq!(fs_err::read_to_string(place.join("test_output.txt")).unwrap(), "log of a");
    assert!(place.join("report.json").is_file());
    let whole = summary(&state, "another");
    assert_eq!((whole.resolved_instances, whole.total_instances), (2, 3));

    let (state, jobs) = go_with(&history, dir.path(), named("third")).await;
    assert_eq!(asked(&jobs), [0, 0, 0]);
    assert!(state.predictions().all(|(_, status)| status.done().unwrap().known.is_some()));
    assert!(dir.path().join("third/m__1.third.json").is_file());
}

#[tokio::test]
async fn changing_one_byte_runs_that_one_again() {
    let dir = tempfile::tempdir().unwrap();
    let history = History::open(dir.path()).unwrap();
    go_with(&history, dir.path(), named("first")).await;
    type Change = fn(&mut RunPlan);
    let changes: [(&str, Change, [usize; 2]); 5] = [
        ("patch", |plan| plan.predictions[0].patch = Some("a patch ".to_owned()), [1, 0]),
        ("script", |plan| plan.dataset.instances[0].eval_script.push(' '), [1, 0]),
        ("image", |plan| plan.dataset.instances[0].image_name.push('2'), [1, 0]),
        ("tests", |plan| plan.dataset.instances[0].pass_to_pass.push("u".to_owned()), [1, 0]),
        ("limit", |plan| plan.options.sandbox.limits.pids = Some(99), [1, 1]),
    ];
    for (name, change, expected) in changes {
        let changed = |plan: &mut RunPlan| {
            plan.run_id = format!("with another {name}");
            change(plan);
        };
        let (_, jobs) = go_with(&history, dir.path(), changed).await;
        assert_eq!(asked(&jobs)[..2], expected, "{name}");
    }
}

#[tokio::test]
async fn further_attempts_calibration_and_no_cache_run_everything() {
    let dir = tempfile::tempdir().unwrap();
    let history = History::open(dir.path()).unwrap();
    go_with(&history, dir.path(), named("first")).await;
    let attempts = |plan: &mut RunPlan| {
        plan.run_id = "attempts".to_owned();
        plan.predictions.push(Prediction { attempt: 2, ..prediction("m/1", "a", "a patch") });
    };
    let (state, jobs) = go_with(&history, dir.path(), attempts).await;
    assert_eq!(asked(&jobs)[..2], [1, 0]);
    assert!(state.done(&state.header.predictions[3].key).unwrap().known.is_none());
    let no_cache = |plan: &mut RunPlan| {
        plan.run_id = "no-cache".to_owned();
        plan.known = KnownUse::Leave;
    };
    let (_, jobs) = go_with(&history, dir.path(), no_cache).await;
    assert_eq!(asked(&jobs), [1, 1, 1]);
    // An instance that calibration found not to be relied on.
    let unreliable = |plan: &mut RunPlan| {
        plan.run_id = "unreliable".to_owned();
        let one =
            crate::report::Calibrated { gold_runs: 2, gold_resolved: 1, ..Default::default() };
        plan.calibration.instances.insert(InstanceId::new("a").unwrap(), one);
    };
    let (_, jobs) = go_with(&history, dir.path(), unreliable).await;
    assert_eq!(asked(&jobs)[..2], [1, 0]);
}

#[tokio::test]
async fn cache_only_runs_nothing_and_can_be_continued() {
    let dir = tempfile::tempdir().unwrap();
    let history = History::open(dir.path()).unwrap();
    go_with(&history, dir.path(), named("first")).await;
    let only = |plan: &mut RunPlan| {
        plan.run_id = "only".to_owned();
        plan.known = KnownUse::Only;
    };
    let (state, jobs) = go_with(&history, dir.path(), only).await;
    assert_eq!(asked(&jobs), [0, 0, 0]);
    assert!(!state.finished && !state.interrupted);
    let done: Vec<_> = kinds(&state).into_iter().map(|(_, kind)| kind.is_some()).collect();
    assert_eq!(done, [true, true, false]);
    let (state, jobs) = go_with(&history, dir.path(), named("only")).await;
    assert_eq!(asked(&jobs), [0, 0, 1]);
    assert!(state.finished);
}

#[tokio::test]
async fn where_an_image_must_be_made_to_be_known_it_is_asked_for_then() {
    let dir = tempfile::tempdir().unwrap();
    let history = History::open(dir.path()).unwrap();
    go_with(&history, dir.path(), named("first")).await;
    let mut jobs = Scripted::new(|_, _| at_once(resolved()));
    jobs.keys_are_known = false;
    let jobs = Arc::new(jobs);
    let mut plan = plan(dir.path(), &["a", "b"]);
    plan.run_id = "second".to_owned();
    plan.history = Some(history);
    let state = go(plan, &jobs).await.unwrap();
    assert_eq!((jobs.asked("a"), jobs.asked("b")), (0, 0));
    assert_eq!(jobs.prepared.load(Ordering::SeqCst), 2);
    assert!(state.finished);
}

#[tokio::test]
async fn the_next_run_begins_with_what_took_longest() {
    let dir = tempfile::tempdir().unwrap();
    let history = History::open(dir.path()).unwrap();
    let slow = |id: &str, _| takes(if id == "c" { 80 } else { 2 }, resolved());
    let run = async |name: &str, history: &History| {
        let mut plan = plan(dir.path(), &["a", "b", "c", "d"]);
        plan.run_id = name.to_owned();
        plan.parallel = 1;
        plan.known = KnownUse::Leave;
        plan.expectations = history.expectations().unwrap();
        plan.history = Some(history.clone());
        // Of different repositories: nothing is learned of one by another.
        for instance in &mut plan.dataset.instances {
            instance.repo = format!("r/{}", instance.id);
        }
        go(plan, &Arc::new(Scripted::new(slow))).await.unwrap();
        events(&dir.path().join(name)).into_iter().find_map(|event| match event {
            Event::Started { key, .. } => Some(key.instance_id.to_string()),
            _ => None,
        })
    };
    run("first", &history).await;
    assert_eq!(run("second", &history).await.as_deref(), Some("c"));
}
