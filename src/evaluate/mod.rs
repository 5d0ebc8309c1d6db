//! One prediction in one sandbox: the paragraph the program is about.
//!
//! [`evaluate`] never fails: how the program under test behaved is data, and trouble of our own
//! becomes [`Verdict::Infra`] here and nowhere else.

mod again;
mod canary;
mod error;
mod instance_log;
mod patch;
mod script;
mod without;

pub use error::EvaluateError;

use crate::grade::{self, Policy};
use crate::image::{offline_pip_env, online_pip_env};
use crate::layers::ImageKey;
use crate::model::{
    AssetSource, Disk, Evaluation, InfraCause, Instance, LogProblem, Outcome, Phase, Prediction,
    Probes, Section, Status, Usage, Verdict,
};
use crate::sandbox::{Backend, Content, Network, Sandbox, SandboxOptions, Upper};
use fs_err as fs;
use instance_log::InstanceLog;
use patch::WorkTree;
use std::path::{Path, PathBuf};

use std::time::{Duration, Instant};

/// What is evaluated.
#[derive(Clone, Copy)]
pub struct Task<'a> {
    /// The instance.
    pub instance: &'a Instance,
    /// The candidate for it.
    pub prediction: &'a Prediction,
}

/// How it is evaluated.
#[derive(Clone, Debug)]
pub struct EvalOptions {
    /// Limits, network and other properties of the sandbox.
    pub sandbox: SandboxOptions,
    /// Wall time of the whole evaluation script.
    pub timeout: Duration,
    /// Whose verdict is asked for.
    pub policy: Policy,
    /// Whether the runner is tried on tests whose results are known, after the official run.
    pub canary: bool,
    /// How often failing expected tests of an unresolved prediction run again.
    pub rerun_failed: u32,
    /// Downloaded `image_assets`, by URL.
    pub assets: std::collections::HashMap<String, PathBuf>,
}

/// Evaluates one prediction in a new sandbox. Writes `patch.diff`, `eval.sh`, `test_output.txt`
/// and `run_instance.log` into `dir`, which is made if it is not there.
pub async fn evaluate(
    backend: &dyn Backend,
    image: &ImageKey,
    task: Task<'_>,
    options: &EvalOptions,
    dir: &Path,
) -> Evaluation {
    let mut record = Record::default();
    let result = match task.prediction.is_empty() {
        true => Ok(Verdict::EmptyPatch),
        false => run_in_sandbox(backend, image, task, options, &mut record.at(dir)).await,
    };
    let verdict = result.unwrap_or_else(|error| Verdict::Infra { cause: cause_of(&error) });
    record.into_evaluation(verdict)
}

/// The one place where trouble of our own becomes a verdict.
fn cause_of(error: &EvaluateError) -> InfraCause {
    let mut detail = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let text = cause.to_string();
        if !detail.contains(&text) {
            detail.push_str(": ");
            detail.push_str(&text);
        }
        source = cause.source();
    }
    InfraCause { reason: error.reason().to_owned(), detail }
}

/// An evaluation for trouble that came before a sandbox was asked for.
#[must_use]
pub fn infra(reason: &str, detail: impl Into<String>) -> Evaluation {
    let cause = InfraCause { reason: reason.to_owned(), detail: detail.into() };
    Record::default().into_evaluation(Verdict::Infra { cause })
}

/// What has been learned so far; survives an error.
#[derive(Default)]
struct Record {
    section: Option<Section>,
    applied_by: Option<String>,
    phases: Vec<(Phase, Duration)>,
    usage: Usage,
    disk: Option<Disk>,
    probes: Probes,
    notes: Vec<String>,
}

/// A record together with the folder its files go to.
struct Scribe<'a> {
    record: &'a mut Record,
    dir: &'a Path,
    phase_began: Instant,
}

impl Record {
    fn at<'a>(&'a mut self, dir: &'a Path) -> Scribe<'a> {
        Scribe { record: self, dir, phase_began: Instant::now() }
    }

    fn into_evaluation(self, verdict: Verdict) -> Evaluation {
        Evaluation {
            verdict,
            section: self.section,
            applied_by: self.applied_by,
            phases: self.phases,
            usage: self.usage,
            disk: self.disk,
            probes: self.probes,
            notes: self.notes,
        }
    }
}

impl Scribe<'_> {
    fn phase_ended(&mut self, phase: Phase) {
        self.record.phases.push((phase, self.phase_began.elapsed()));
        self.phase_began = Instant::now();
    }
}

async fn run_in_sandbox(
    backend: &dyn Backend,
    image: &ImageKey,
    task: Task<'_>,
    options: &EvalOptions,
    scribe: &mut Scribe<'_>,
) -> Result<Verdict, EvaluateError> {
    let patch = task.prediction.patch.as_deref().unwrap_or("");
    fs::create_dir_all(scribe.dir)?;
    fs::write(scribe.dir.join("patch.diff"), patch)?;
    let mut log = InstanceLog::create(&scribe.dir.join("run_instance.log"))?;
    let sandbox = (image, sandbox_options(task, options));
    let mut result = attempt(backend, sandbox, task, options, (&mut *scribe, &mut log)).await;
    if memory_ran_short(options.sandbox.upper, &result, scribe.record.disk) {
        // That was our choice failing, not the program.
        log.info(format_args!("What it wrote did not fit in memory: the same again, on disk"))?;
        *scribe.record = Record { notes: vec![AGAIN.to_owned()], ..Record::default() };
        scribe.phase_began = Instant::now();
        let on_disk = SandboxOptions { upper: Upper::Disk, ..sandbox_options(task, options) };
        result = attempt(backend, (image, on_disk), task, options, (&mut *scribe, &mut log)).await;
    }
    if options.policy == Policy::Strict && matches!(result, Ok(Verdict::Resolved { .. })) {
        without::run(backend, image, task, options, (scribe, &mut log)).await?;
    } else if let Ok(Verdict::Unresolved { tests }) = &result
        && options.rerun_failed > 0
    {
        again::run(backend, image, (task, tests), options, (scribe, &mut log)).await?;
    }
    result
}

/// Told of an evaluation that was begun again.
const AGAIN: &str = "what it wrote did not fit in memory; this is from a second run, on disk";

/// Whether a sandbox's files were in memory because we chose so, that was too little, and something
/// else than success came of it.
fn memory_ran_short(
    upper: Upper,
    result: &Result<Verdict, EvaluateError>,
    disk: Option<Disk>,
) -> bool {
    upper == Upper::Auto
        && !matches!(result, Ok(Verdict::Resolved { .. }))
        && disk.is_some_and(|disk| disk.in_memory && disk.ran_short)
}

/// Evaluates in one sandbox, from its beginning to its end.
async fn attempt(
    backend: &dyn Backend,
    (image, sandbox): (&ImageKey, SandboxOptions),
    task: Task<'_>,
    options: &EvalOptions,
    (scribe, log): (&mut Scribe<'_>, &mut InstanceLog),
) -> Result<Verdict, EvaluateError> {
    let sandbox = backend.create(image, &sandbox).await?;
    // A verdict is read by itself, far from the run that says so.
    let caveats = backend.caveats();
    for caveat in &caveats {
        log.info(format_args!("Not enforced on this machine: {caveat}"))?;
    }
    scribe.record.notes.extend(caveats);
    log.info(format_args!(
        "Sandbox for {} started on {} back-end",
        task.instance.id,
        backend.name()
    ))?;

    let result = judge(sandbox.as_ref(), task, options, scribe, log).await;

    scribe.record.disk = Some(sandbox.disk());
    // The processes are ended before the verdict counts; files go in the background.
    let ended = sandbox.terminate().await;
    scribe.phase_ended(Phase::Finish);
    if let Ok(usage) = ended {
        scribe.record.usage = usage;
    }
    match &result {
        Ok(verdict) => log.info(format_args!("{}: {}", task.instance.id, verdict.name()))?,
        Err(error) => log.error(format_args!("{error}"))?,
    }
    result
}

async fn judge(
    sandbox: &dyn Sandbox,
    task: Task<'_>,
    options: &EvalOptions,
    scribe: &mut Scribe<'_>,
    log: &mut InstanceLog,
) -> Result<Verdict, EvaluateError> {
    let patch = task.prediction.patch.as_deref().unwrap_or("");
    let tree = WorkTree { sandbox, path: &task.instance.work_dir };
    let applied = tree.apply(patch, log).await?;
    scribe.phase_ended(Phase::Setup);
    let Some(applied_by) = applied else { return Ok(Verdict::PatchRejected) };
    scribe.record.applied_by = Some(applied_by);

    stage_assets(sandbox, task.instance, options).await?;
    tree.log_diff("before", log).await?;
    let wants_canary = options.canary || options.policy == Policy::Strict;
    let keeps_tests = wants_canary || options.policy != Policy::Official;
    let ran = script::run(sandbox, task.instance, (options.timeout, keeps_tests), scribe).await?;
    scribe.record.probes.changed_tests = ran.changed_tests;
    log.info(format_args!("Test runtime: {:.2} seconds", ran.wall.as_secs_f64()))?;
    if let script::End::Stopped(outcome) = ran.end {
        log.error(format_args!("The script was ended: {outcome:?}"))?;
        return Ok(Verdict::TestsStopped { outcome });
    }
    tree.log_diff("after", log).await?;
    if ran.test_patch_missing {
        return Ok(Verdict::TestPatchRejected);
    }
    let verdict = grade_log(task.instance, options.policy, scribe, ran.end)?;
    if let (Verdict::Resolved { tests }, Some(files), true) = (&verdict, &ran.tests, wants_canary) {
        let canary = canary::run(sandbox, task.instance, (files, tests), options, scribe).await?;
        log.info(format_args!("Canary: {canary:?}"))?;
        scribe.record.probes.canary = Some(canary);
    }
    Ok(verdict)
}

/// Grades what the script left in `test_output.txt`.
fn grade_log(
    instance: &Instance,
    policy: Policy,
    scribe: &mut Scribe<'_>,
    end: script::End,
) -> Result<Verdict, EvaluateError> {
    let (verdict, outcome) = match end {
        script::End::NotStarted(outcome) => {
            (Verdict::LogUnusable { why: LogProblem::TestsNotStarted }, outcome)
        }
        script::End::NotEnded(section) => {
            let outcome = outcome_of(&section);
            scribe.record.section = Some(section);
            (Verdict::LogUnusable { why: LogProblem::TestsNotEnded }, outcome)
        }
        script::End::Section(section) => {
            let bytes = fs::read(scribe.dir.join("test_output.txt"))?;
            let graded = grade::grade_by(policy, instance, &bytes, &section);
            let outcome = outcome_of(&section);
            scribe.record.section = Some(section);
            scribe.record.notes.extend(graded.notes);
            (graded.verdict, outcome)
        }
        script::End::Stopped(outcome) => (Verdict::TestsStopped { outcome }, outcome),
    };
    Ok(grade::stopped_by_a_limit(verdict, outcome, &mut scribe.record.notes))
}

fn outcome_of(section: &Section) -> Outcome {
    match section {
        Section::Supervised { outcome, .. } | Section::TextOnly { outcome } => *outcome,
    }
}

/// What the sandbox of a prediction is made with.
pub(crate) fn sandbox_options(task: Task<'_>, options: &EvalOptions) -> SandboxOptions {
    let mut sandbox = options.sandbox.clone();
    let key = task.prediction.key();
    for (name, value) in [
        ("instance", key.instance_id.to_string()),
        ("model", key.model.to_string()),
        ("attempt", key.attempt.to_string()),
    ] {
        sandbox.labels.insert(name.to_owned(), value);
    }
    // Without a network, a reinstall that finds nothing in the image must fail at once; with one, it
    // asks the index, whatever the image's own settings say.
    let pip = match sandbox.network {
        Network::None => offline_pip_env(),
        Network::Host => online_pip_env(),
    };
    for (name, value) in pip {
        sandbox.env.entry(name).or_insert(value);
    }
    sandbox
}

async fn stage_assets(
    sandbox: &dyn Sandbox,
    instance: &Instance,
    options: &EvalOptions,
) -> Result<(), EvaluateError> {
    for asset in &instance.image_assets {
        let file = match &asset.source {
            AssetSource::File(path) => path,
            AssetSource::Url(url) => {
                options.assets.get(url).ok_or_else(|| EvaluateError::AssetMissing(url.clone()))?
            }
        };
        let bytes = fs::read(file)?.into();
        let content = Content::File { bytes, mode: 0o644 };
        sandbox.copy_in(&format!("{}/{}", instance.work_dir, asset.path), content).await?;
    }
    Ok(())
}

/// Ended by us, or killed because the sandbox was out of memory or disk: then the sandbox itself may
/// be gone, and nothing more is asked of it.
fn was_stopped(outcome: &Outcome) -> bool {
    let out_of_room = outcome.limits_hit.memory || outcome.limits_hit.disk;
    match outcome.status {
        Status::Killed(_) => true,
        Status::Signal(_) => out_of_room,
        Status::Code(_) => false,
    }
}

#[cfg(test)]
mod tests;
