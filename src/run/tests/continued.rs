//! Runs that are interrupted, continued, changed.

use super::*;

/// Cancels a run after some verdicts.
struct CancelAfter(usize, CancellationToken);

impl ProgressSink for CancelAfter {
    fn progress(&mut self, _: &Progress<'_>, tally: &Tally) {
        if tally.finished() >= self.0 {
            self.1.cancel();
        }
    }
}

#[tokio::test]
async fn an_interrupted_run_goes_on_and_reports_the_same() {
    let ids: Vec<String> = (0..40).map(|n| format!("i-{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let script = |id: &str, _| {
        let verdict = if id.ends_with('3') { Verdict::PatchRejected } else { resolved() };
        takes(5, verdict)
    };
    let undisturbed = tempfile::tempdir().unwrap();
    let jobs = Arc::new(Scripted::new(script));
    let whole = go(plan(undisturbed.path(), &ids), &jobs).await.unwrap();

    let dir = tempfile::tempdir().unwrap();
    let jobs = Arc::new(Scripted::new(script));
    for stop in [5, 12, 30] {
        let cancel = CancellationToken::new();
        let mut sink = CancelAfter(stop, cancel.clone());
        let work = (plan(dir.path(), &ids), jobs.clone() as Arc<dyn Jobs>);
        let state = run_on(idle(&jobs), work, &mut sink, cancel).await.unwrap();
        assert!(state.interrupted && !state.finished);
        assert!(!dir.path().join("run/m__1.run.json").exists(), "no report of half a run");
        assert_eq!(jobs.alive.load(Ordering::SeqCst), 0);
    }
    let state = go(plan(dir.path(), &ids), &jobs).await.unwrap();
    assert!(state.finished && !state.interrupted);
    assert_eq!(state.sessions, 4);
    assert_eq!(summary(&state, "m/1"), summary(&whole, "m/1"));
    assert_eq!(kinds(&state), kinds(&whole));
    let asked: usize = ids.iter().map(|id| jobs.asked(id)).sum();
    assert!((40..=40 + 3 * 4).contains(&asked), "{asked}: only what was in flight runs twice");
}

#[tokio::test]
async fn what_changed_is_refused_or_run_again_and_nothing_stale_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let jobs = Arc::new(Scripted::new(|_, _| at_once(resolved())));
    go(plan(dir.path(), &["a", "b", "c"]), &jobs).await.unwrap();

    let mut changed = plan(dir.path(), &["a", "b", "c"]);
    changed.predictions[1].patch = Some("another patch".to_owned());
    let error = go(changed.clone(), &jobs).await.unwrap_err();
    assert!(matches!(&error, RunError::Changed { changes, .. } if changes.len() == 1));
    assert!(error.to_string().contains("b by m/1: the patch changed"), "{error}");

    changed.rerun_changed = true;
    let worse = Arc::new(Scripted::new(|_, _| at_once(Verdict::PatchRejected)));
    let state = go(changed.clone(), &worse).await.unwrap();
    assert_eq!((worse.asked("a"), worse.asked("b"), worse.asked("c")), (0, 1, 0));
    assert_eq!(kinds(&state)[1].1, Some(VerdictKind::PatchRejected));
    assert!(!dir.path().join("run/m__1/b/report.json").exists(), "the old report is gone");

    let mut limits = changed.clone();
    limits.rerun_changed = false;
    limits.options.sandbox.limits.pids = Some(7);
    let error = go(limits.clone(), &worse).await.unwrap_err();
    assert!(error.to_string().contains("limit of processes was 1024, now 7"), "{error}");
    limits.rerun_changed = true;
    let state = go(limits, &worse).await.unwrap();
    assert_eq!(worse.asked("a"), 1);
    assert!(kinds(&state).iter().all(|(_, kind)| *kind == Some(VerdictKind::PatchRejected)));
}

#[tokio::test]
async fn more_predictions_may_join_a_run() {
    let dir = tempfile::tempdir().unwrap();
    let jobs = Arc::new(Scripted::new(|_, _| at_once(resolved())));
    go(plan(dir.path(), &["a"]), &jobs).await.unwrap();
    let mut more = plan(dir.path(), &["b", "a"]);
    more.predictions.push(Prediction { attempt: 2, ..prediction("m/1", "a", "second") });
    let state = go(more, &jobs).await.unwrap();
    assert_eq!((jobs.asked("a"), jobs.asked("b")), (2, 1));
    assert!(dir.path().join("run/m__1/attempt-2/a/report.json").exists());
    let sums = summary(&state, "m/1");
    assert_eq!(
        (sums.total_instances, sums.submitted_instances, sums.resolved_instances),
        (2, 2, 2)
    );
    assert_eq!(Report::of(&state).counts.total, 3);
}

#[tokio::test]
async fn a_report_lost_in_a_power_cut_is_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let jobs = Arc::new(Scripted::new(|_, _| at_once(resolved())));
    go(plan(dir.path(), &["a"]), &jobs).await.unwrap();
    let report = dir.path().join("run/m__1/a/report.json");
    let text = fs_err::read_to_string(&report).unwrap();
    fs_err::write(&report, "").unwrap();
    go(plan(dir.path(), &["a"]), &jobs).await.unwrap();
    assert_eq!(fs_err::read_to_string(&report).unwrap(), text);
    assert_eq!(jobs.asked("a"), 1);
}
