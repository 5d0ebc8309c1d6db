use super::machine::{Machine, Sample, Slices};
use super::*;
use crate::evaluate::{Task, infra};
use crate::journal::{Event, Journal, Status, read};
use crate::layers::ImageKey;
use crate::model::{
    Digest, EvalType, Evaluation, InfraCause, Instance, InstanceId, KilledBy, LimitsHit, Outcome,
    Status as End, TestsReport, Usage, Verdict, VerdictKind,
};
use crate::report::{Report, RunDir, summary};
use crate::sandbox::SandboxOptions;
use async_trait::async_trait;
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a scripted evaluation does: how long it takes, what it needs, how it ends.
struct Act {
    takes: Duration,
    peak: u64,
    cpu: Duration,
    verdict: Verdict,
}

type Script = dyn Fn(&str, usize) -> Act + Send + Sync;

/// Does a run's work by a script: `(instance id, how often it was asked before)` → act.
struct Scripted {
    script: Box<Script>,
    asked: Mutex<HashMap<String, usize>>,
    alive: Arc<AtomicUsize>,
    peak: AtomicUsize,
    bad_images: BTreeSet<String>,
}

/// Counts down when it is dropped, whatever the reason.
struct Alive(Arc<AtomicUsize>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Scripted {
    fn new(script: impl Fn(&str, usize) -> Act + Send + Sync + 'static) -> Self {
        Self {
            script: Box::new(script),
            asked: Mutex::default(),
            alive: Arc::default(),
            peak: AtomicUsize::new(0),
            bad_images: BTreeSet::new(),
        }
    }

    fn asked(&self, id: &str) -> usize {
        self.asked.lock().unwrap().get(id).copied().unwrap_or_default()
    }
}

#[async_trait]
impl Jobs for Scripted {
    fn backend(&self) -> (&'static str, Vec<String>) {
        ("scripted", Vec::new())
    }

    async fn prepare(&self, instance: &Instance) -> Result<Prepared, InfraCause> {
        if self.bad_images.contains(instance.id.as_str()) {
            let detail = "the layer `env` could not be built".to_owned();
            return Err(InfraCause { reason: "image_build_failed".to_owned(), detail });
        }
        let key = ImageKey(Digest::of(&instance.image_name));
        let name = instance.image_name.clone();
        Ok(Prepared { key, name, digest: "sha256:0".to_owned(), built: 1 })
    }

    async fn evaluate(
        &self,
        _: &ImageKey,
        task: Task<'_>,
        _: &EvalOptions,
        dir: &Path,
    ) -> Evaluation {
        assert!(!dir.join("report.json").exists(), "an old report is there while it runs");
        let now = self.alive.fetch_add(1, Ordering::SeqCst) + 1;
        let _alive = Alive(self.alive.clone());
        self.peak.fetch_max(now, Ordering::SeqCst);
        let id = task.instance.id.as_str();
        let before = {
            let mut asked = self.asked.lock().unwrap();
            let count = asked.entry(id.to_owned()).or_default();
            *count += 1;
            *count - 1
        };
        fs_err::create_dir_all(dir).unwrap();
        fs_err::write(dir.join("test_output.txt"), format!("log of {id}")).unwrap();
        let act = (self.script)(id, before);
        tokio::time::sleep(act.takes).await;
        let mut evaluation = infra("", "");
        evaluation.verdict = act.verdict;
        evaluation.usage.wall = act.takes;
        evaluation.usage.user = act.cpu;
        evaluation.usage.peak_memory = act.peak;
        evaluation
    }

    async fn close(&self) {
        assert_eq!(self.alive.load(Ordering::SeqCst), 0, "closed while something runs");
    }
}

/// A machine whose figures are made up: `cpus`, and how many runnable tasks a sandbox is.
struct MadeUp {
    cpus: usize,
    memory: u64,
    alive: Arc<AtomicUsize>,
    runnable_each: f64,
    slices: Slices,
}

impl Machine for MadeUp {
    fn cpus(&self) -> usize {
        self.cpus
    }
    fn memory(&self) -> u64 {
        self.memory
    }
    fn sample(&mut self) -> Option<Sample> {
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let wanted = self.alive.load(Ordering::SeqCst) as f64 * self.runnable_each;
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let idle = (1.0 - wanted / self.cpus as f64).max(0.0) * 1000.0;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "small and positive"
        )]
        let (idle, runnable) = (idle as u64, wanted as u64 + 1);
        self.slices.all += 1000;
        self.slices.idle += idle;
        Some(Sample { available: self.memory, slices: self.slices, runnable })
    }
}

fn idle(jobs: &Scripted) -> Box<dyn Machine> {
    machine(jobs, 0.0)
}

fn machine(jobs: &Scripted, runnable_each: f64) -> Box<dyn Machine> {
    let alive = jobs.alive.clone();
    Box::new(MadeUp { cpus: 4, memory: 64 << 30, alive, runnable_each, slices: Slices::default() })
}

fn resolved() -> Verdict {
    Verdict::Resolved { tests: TestsReport::default() }
}

fn trouble(reason: &str) -> Verdict {
    infra(reason, "the machine is tired").verdict
}

fn at_once(verdict: Verdict) -> Act {
    takes(1, verdict)
}

fn takes(millis: u64, verdict: Verdict) -> Act {
    Act { takes: Duration::from_millis(millis), peak: 1 << 20, cpu: Duration::ZERO, verdict }
}

fn instance(id: &str) -> Instance {
    Instance {
        id: InstanceId::new(id).unwrap(),
        repo: "a/b".to_owned(),
        base_commit: None,
        version: "1".to_owned(),
        environment_setup_commit: None,
        gold_patch: None,
        test_patch: String::new(),
        difficulty: None,
        fail_to_pass: vec!["t".to_owned()],
        pass_to_pass: Vec::new(),
        image_name: format!("image-of-{id}"),
        env: None,
        eval_script: "true".to_owned(),
        log_parser: "parse_log_pytest".to_owned(),
        eval_type: EvalType::PassAndFail,
        image_assets: Vec::new(),
    }
}

fn prediction(model: &str, id: &str, patch: &str) -> Prediction {
    Prediction {
        instance_id: InstanceId::new(id).unwrap(),
        model: model.into(),
        patch: Some(patch.to_owned()),
        attempt: 1,
    }
}

fn plan(reports: &Path, ids: &[&str]) -> RunPlan {
    RunPlan {
        run_id: "run".to_owned(),
        reports: reports.to_owned(),
        dataset: Dataset {
            name: "set".to_owned(),
            split: "test".to_owned(),
            digest: Digest::of("set"),
            instances: ids.iter().map(|id| instance(id)).collect(),
            directory: None,
            ids: Arc::new(ids.iter().map(|id| InstanceId::new(id).unwrap()).collect()),
        },
        predictions: ids.iter().map(|id| prediction("m/1", id, "a patch")).collect(),
        options: EvalOptions {
            sandbox: SandboxOptions::default(),
            timeout: Duration::from_secs(60),
            assets: HashMap::new(),
        },
        parallel: 4,
        image_jobs: 4,
        retries: Retries {
            rounds: 3,
            pause: Duration::from_millis(1),
            longest: Duration::from_millis(5),
        },
        rerun_changed: false,
    }
}

async fn go(plan: RunPlan, jobs: &Arc<Scripted>) -> Result<RunState, RunError> {
    run_on(idle(jobs), (plan, jobs.clone()), &mut Silent, CancellationToken::new()).await
}

fn kinds(state: &RunState) -> Vec<(String, Option<VerdictKind>)> {
    let kind = |status: &Status| status.done().map(|done| done.kind);
    state.predictions().map(|(p, s)| (p.key.instance_id.to_string(), kind(s))).collect()
}

fn events(dir: &Path) -> Vec<Event> {
    let mut events = Vec::new();
    read(dir, &mut |_, _, event, _| {
        events.push(event);
        Ok(())
    })
    .unwrap();
    events
}

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

#[tokio::test]
async fn a_run_ends_when_its_journal_cannot_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let jobs = Arc::new(Scripted::new(|_, _| takes(60_000, resolved())));
    let mut opened = open::open(plan(dir.path(), &["a", "b"]), jobs.clone()).unwrap();
    opened.journal = Journal::on(fs_err::OpenOptions::new().write(true).open("/dev/full").unwrap());
    let room = room::Room::new(idle(&jobs), &opened.shared.plan.dataset, None, 4);
    let error = conductor::conduct(opened, room, &mut Silent, CancellationToken::new()).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sleepers_run_by_the_hundred() {
    let dir = tempfile::tempdir().unwrap();
    let jobs = Arc::new(Scripted::new(|_, _| takes(1000, resolved())));
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
    let jobs = Arc::new(Scripted::new(|_, _| takes(100, resolved())));
    let ids: Vec<String> = (0..200).map(|n| format!("i-{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut plan = plan(dir.path(), &ids);
    plan.parallel = 500;
    let work = (plan, jobs.clone() as Arc<dyn Jobs>);
    run_on(machine(&jobs, 1.0), work, &mut Silent, CancellationToken::new()).await.unwrap();
    let most = jobs.peak.load(Ordering::SeqCst);
    assert!((4..=24).contains(&most), "{most} busy ones on 4 cores");
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

#[test]
fn the_run_directory_is_where_the_layout_says() {
    let dir = RunDir::new(Path::new("/r"), "x");
    assert_eq!(dir.summary("a/b", "x"), Path::new("/r/x/a__b.x.json"));
}
