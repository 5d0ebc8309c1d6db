//! What becomes of predictions: verdicts, tries again, trouble of our own.

use super::*;

#[tokio::test]
async fn every_verdict_gets_its_files_and_its_place_in_the_report() {
    let dir = tempfile::tempdir().unwrap();
    let jobs = Arc::new(Scripted::new(|id, _| {
        at_once(match id {
            "resolved" => resolved(),
            "unresolved" => Verdict::Unresolved { tests: TestsReport::default() },
            "rejected" => Verdict::PatchRejected,
            "infra" => trouble("sandbox_start_failed"),
            other => panic!("{other} has nothing to run"),
        })
    }));
    let ids = ["unresolved", "resolved", "rejected", "infra", "empty", "unasked"];
    let mut plan = plan(dir.path(), &ids);
    plan.predictions.pop();
    plan.predictions[4].patch = None;
    plan.predictions.push(prediction("m/1", "foreign", "x"));
    let state = go(plan, &jobs).await.unwrap();

    let sums = summary(&state, "m/1");
    let set = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!((sums.total_instances, sums.submitted_instances), (6, 6));
    assert_eq!(sums.completed_ids, set(&["resolved", "unresolved"]));
    assert_eq!(sums.error_ids, set(&["infra", "rejected"]));
    assert_eq!(sums.incomplete_ids, set(&["unasked"]));
    assert_eq!(sums.empty_patch_ids, set(&["empty"]));
    assert_eq!(sums.infra_failure_ids, set(&["infra"]));
    assert_eq!(sums.failure_reasons["infra"], "sandbox_start_failed");
    let written = fs_err::read_to_string(dir.path().join("run/m__1.run.json")).unwrap();
    assert_eq!(written, sums.to_text());
    let report = |id: &str| dir.path().join("run/m__1").join(id).join("report.json").exists();
    assert!(report("resolved") && report("unresolved") && !report("rejected") && !report("infra"));
    assert!(!dir.path().join("run/m__1/empty").exists());
    assert!(dir.path().join("run/manifest.json").exists());
    let report = Report::of(&state);
    assert!(report.complete && state.finished);
    assert_eq!((report.counts.total, report.unselected), (5, 1));
    assert_eq!(report.counts.of(VerdictKind::EmptyPatch), 1);
}

#[tokio::test]
async fn trouble_of_our_own_goes_round_again_and_nothing_else_does() {
    let dir = tempfile::tempdir().unwrap();
    let jobs = Arc::new(Scripted::new(|id, before| {
        at_once(match (id, before) {
            ("shaky", 0 | 1) | ("broken", _) => trouble("sandbox_start_failed"),
            ("wrong", _) => Verdict::PatchRejected,
            _ => resolved(),
        })
    }));
    let state = go(plan(dir.path(), &["shaky", "broken", "wrong"]), &jobs).await.unwrap();
    let expected = [
        ("shaky".to_owned(), Some(VerdictKind::Resolved)),
        ("broken".to_owned(), Some(VerdictKind::Infra)),
        ("wrong".to_owned(), Some(VerdictKind::PatchRejected)),
    ];
    assert_eq!(kinds(&state), expected);
    assert_eq!((jobs.asked("shaky"), jobs.asked("broken"), jobs.asked("wrong")), (3, 3, 1));
    let events = events(&dir.path().join("run"));
    let retries = events.iter().filter(|event| matches!(event, Event::Retrying { .. })).count();
    assert_eq!(retries, 4);

    // A new session tries what failed by our own fault again, and that alone.
    let well = Arc::new(Scripted::new(|_, _| at_once(resolved())));
    let state = go(plan(dir.path(), &["shaky", "broken", "wrong"]), &well).await.unwrap();
    assert_eq!(kinds(&state)[1].1, Some(VerdictKind::Resolved));
    assert_eq!((well.asked("shaky"), well.asked("broken"), well.asked("wrong")), (0, 1, 0));
    assert_eq!(
        (state.sessions, state.done(&state.header.predictions[1].key).unwrap().round),
        (2, 4)
    );
}

#[tokio::test]
async fn a_panic_of_our_own_is_trouble_of_our_own() {
    let dir = tempfile::tempdir().unwrap();
    let jobs = Arc::new(Scripted::new(|id, _| {
        assert!(id != "bug", "a bug in evalrun");
        at_once(resolved())
    }));
    let state = go(plan(dir.path(), &["bug", "fine"]), &jobs).await.unwrap();
    let bug = state.done(&state.header.predictions[0].key).unwrap();
    assert_eq!(bug.cause.as_ref().unwrap().reason, "harness_bug");
    assert!(bug.cause.as_ref().unwrap().detail.contains("a bug in evalrun"));
    assert_eq!(kinds(&state)[1].1, Some(VerdictKind::Resolved));
}

#[tokio::test]
async fn without_its_image_nothing_of_an_instance_runs() {
    let dir = tempfile::tempdir().unwrap();
    let mut jobs = Scripted::new(|_, _| at_once(resolved()));
    jobs.bad_images.insert("bad".to_owned());
    let jobs = Arc::new(jobs);
    let mut plan = plan(dir.path(), &["bad", "good"]);
    plan.predictions.push(prediction("other", "bad", "x"));
    let state = go(plan, &jobs).await.unwrap();
    assert_eq!((jobs.asked("bad"), jobs.asked("good")), (0, 1));
    for (facts, status) in state.predictions().filter(|(p, _)| p.key.instance_id.as_str() == "bad")
    {
        let cause = status.done().unwrap().cause.clone().unwrap();
        assert_eq!(cause.reason, "image_build_failed", "{}", facts.key);
    }
}

#[tokio::test]
async fn a_run_ends_when_its_journal_cannot_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let jobs = Arc::new(Scripted::new(|_, _| takes(60_000, resolved())));
    let mut opened = open::open(plan(dir.path(), &["a", "b"]), jobs.clone()).unwrap();
    opened.journal = Journal::on(fs_err::OpenOptions::new().write(true).open("/dev/full").unwrap());
    let error =
        conductor::conduct(opened, idle(&jobs), &mut Silent, CancellationToken::new()).await;
    assert!(matches!(error, Err(JournalError::Io(_))));
    assert_eq!(jobs.alive.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn names_that_would_collide_are_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let jobs = Arc::new(Scripted::new(|_, _| at_once(resolved())));
    for (model, run_id) in [("..", "run"), ("m__1", "run"), ("m", "../run"), ("journal.jsonl", "r")]
    {
        let mut bad = plan(dir.path(), &["a", "b"]);
        bad.predictions[1].model = model.into();
        bad.run_id = run_id.to_owned();
        assert!(matches!(go(bad, &jobs).await, Err(RunError::Name(_))), "{model} {run_id}");
    }
    let mut twice = plan(dir.path(), &["a"]);
    twice.predictions.push(twice.predictions[0].clone());
    assert!(matches!(go(twice, &jobs).await, Err(RunError::Twice(_))));
    assert_eq!(fs_err::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn the_run_directory_is_where_the_layout_says() {
    let dir = RunDir::new(Path::new("/r"), "x");
    assert_eq!(dir.summary("a/b", "x"), Path::new("/r/x/a__b.x.json"));
}
