//! Whole runs with a scripted machine and scripted work.

mod continued;
mod gates;
mod known;
mod shards;
mod verdicts;

use super::machine::{Machine, OwnTasks, Sample, Slices};
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
    prepared: AtomicUsize,
    /// Whether keys of images can be told without making them.
    keys_are_known: bool,
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
            prepared: AtomicUsize::new(0),
            keys_are_known: true,
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

    fn image_key(&self, instance: &Instance) -> Option<ImageKey> {
        self.keys_are_known.then(|| ImageKey(Digest::of(&instance.image_name)))
    }

    async fn prepare(&self, instance: &Instance) -> Result<Prepared, InfraCause> {
        self.prepared.fetch_add(1, Ordering::SeqCst);
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
        Some(Sample { available: self.memory, slices: self.slices, runnable, stalled: false })
    }
    fn own_tasks(&mut self, _: usize) -> Option<OwnTasks> {
        None
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

pub(super) fn instance(id: &str) -> Instance {
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
        work_dir: "/testbed".to_owned(),
        image_name: format!("image-of-{id}"),
        env: None,
        eval_script: "true".to_owned(),
        log_parser: "parse_log_pytest".to_owned(),
        eval_type: EvalType::PassAndFail,
        dockerfile: None,
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
            policy: Default::default(),
            canary: false,
            rerun_failed: 0,
            assets: HashMap::new(),
        },
        parallel: 4,
        image_jobs: 4,
        warm: false,
        retries: Retries {
            rounds: 3,
            pause: Duration::from_millis(1),
            longest: Duration::from_millis(5),
        },
        calibration: Default::default(),
        rerun_changed: false,
        shard: None,
        order: Default::default(),
        expectations: Default::default(),
        history: None,
        known: Default::default(),
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
