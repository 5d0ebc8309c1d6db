//! How many run at a time, and what follows where it was too many.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sleepers_run_by_the_hundred() {
    let dir = tempfile::tempdir().unwrap();
    let jobs = Arc::new(Scripted::new(|_, _| takes(3000, resolved())));
    let ids: Vec<String> = (0..2000).map(|n| format!("i-{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut plan = plan(dir.path(), &ids);
    plan.parallel = 500;
    let state = go(plan, &jobs).await.unwrap();
    assert!(kinds(&state).iter().all(|(_, kind)| *kind == Some(VerdictKind::Resolved)));
    let most = jobs.peak.load(Ordering::SeqCst);
    assert!((400..=500).contains(&most), "{most} at a time");
    assert!((400..=500).contains(&state.peak_in_flight), "{} by the journal", state.peak_in_flight);
}

#[tokio::test]
async fn workers_run_by_the_core() {
    let dir = tempfile::tempdir().unwrap();
    let jobs = Arc::new(Scripted::new(|_, _| takes(300, resolved())));
    let ids: Vec<String> = (0..120).map(|n| format!("i-{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut plan = plan(dir.path(), &ids);
    plan.parallel = 500;
    let work = (plan, jobs.clone() as Arc<dyn Jobs>);
    run_on(machine(&jobs, 1.0), work, &mut Silent, CancellationToken::new()).await.unwrap();
    let most = jobs.peak.load(Ordering::SeqCst);
    assert!((4..=32).contains(&most), "{most} busy ones on 4 cores");
}

#[tokio::test]
async fn memory_is_a_hard_gate() {
    let dir = tempfile::tempdir().unwrap();
    let jobs = Arc::new(Scripted::new(|_, _| Act { peak: 3 << 30, ..takes(10, resolved()) }));
    let ids: Vec<String> = (0..60).map(|n| format!("i-{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut plan = plan(dir.path(), &ids);
    plan.parallel = 500;
    plan.options.sandbox.limits.memory = Some(4 << 30);
    let small = Box::new(MadeUp {
        cpus: 64,
        memory: 10 << 30,
        alive: jobs.alive.clone(),
        runnable_each: 0.0,
        slices: Slices::default(),
    });
    let seen = Arc::new(Mutex::new(Vec::new()));
    struct Watch(Arc<Mutex<Vec<(usize, usize)>>>);
    impl ProgressSink for Watch {
        fn progress(&mut self, _: &Progress<'_>, tally: &Tally) {
            self.0.lock().unwrap().push((tally.finished(), tally.running));
        }
    }
    let work = (plan, jobs.clone() as Arc<dyn Jobs>);
    run_on(small, work, &mut Watch(seen.clone()), CancellationToken::new()).await.unwrap();
    // Until something is known half a gibibyte is expected of each, then what was seen.
    let later: Vec<_> = seen.lock().unwrap().iter().filter(|seen| seen.0 > 40).copied().collect();
    assert!(later.iter().all(|seen| seen.1 <= 3), "{later:?}");
    assert!(jobs.peak.load(Ordering::SeqCst) <= 19);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_out_for_want_of_a_cpu_is_our_own_trouble() {
    let stopped = |cpu: u64| Act {
        cpu: Duration::from_millis(cpu),
        ..takes(
            900,
            Verdict::TestsStopped {
                outcome: Outcome {
                    status: End::Killed(KilledBy::TimedOut),
                    limits_hit: LimitsHit::default(),
                    usage: Usage::default(),
                },
            },
        )
    };
    let jobs = Arc::new(Scripted::new(move |id, _| match id {
        // It used what little it could get; the other one slept.
        "starved" => stopped(200),
        _ => stopped(0),
    }));
    let dir = tempfile::tempdir().unwrap();
    let mut plan = plan(dir.path(), &["starved", "hangs"]);
    plan.retries.rounds = 1;
    let work = (plan, jobs.clone() as Arc<dyn Jobs>);
    let state =
        run_on(machine(&jobs, 8.0), work, &mut Silent, CancellationToken::new()).await.unwrap();
    let done = |at: usize| state.done(&state.header.predictions[at].key).unwrap();
    assert_eq!(done(0).cause.as_ref().unwrap().reason, "timeout_while_starved");
    assert_eq!(
        (done(1).kind, done(1).why.as_deref()),
        (VerdictKind::TestsStopped, Some("timed out"))
    );
}
