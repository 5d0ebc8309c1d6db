//! The conductor of a run: order, admission, retries, cancellation. It alone owns the journal and
//! tells of the progress.
//!
//! There is no barrier between building and running: images are made sure of in the order in which
//! they are wanted, within a bound of their own, and a prediction runs as soon as its image is
//! there and the machine has room. Every verdict is on disk before it counts.

mod admission;
mod agenda;
mod conductor;
mod events;
mod jobs;
mod knowledge;
mod machine;
mod merge;
mod open;
mod progress;
mod queue;
mod room;
mod schedule;
mod shard;
mod simulate;
mod trace;
mod work;

pub use events::{EVENTS, event_line, first_line};
pub use jobs::{Jobs, Prepared};
pub use merge::{MergeError, merge};
pub use progress::{Progress, ProgressSink, Silent, Tally};
pub use queue::Order;
pub use shard::{Cut, cut};
pub use simulate::{Pretended, Simulated, simulate};
pub use trace::trace;

/// What this machine has for sandboxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThisMachine {
    /// CPUs that this program may use.
    pub cpus: usize,
    /// Memory in bytes that is free.
    pub free: u64,
}

/// Looks at this machine.
#[must_use]
pub fn this_machine() -> ThisMachine {
    use machine::Machine as _;
    let mut machine = machine::ThisMachine::new();
    let free = machine.sample().map_or(machine.memory() / 2, |sample| sample.available);
    ThisMachine { cpus: machine.cpus(), free }
}
pub(crate) use work::write_whole;

use crate::dataset::Dataset;
use crate::evaluate::EvalOptions;
use crate::history::{Expectations, History};
use crate::journal::{Change, JournalError, RunState, ShardFacts};
use crate::model::{Prediction, PredictionKey};
use crate::report::Calibration;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What to run, and how.
#[derive(Clone, Debug)]
pub struct RunPlan {
    /// The run's name: a directory below `reports`.
    pub run_id: String,
    /// The directory of all reports.
    pub reports: PathBuf,
    /// The tasks, selection applied.
    pub dataset: Dataset,
    /// The candidates; those for instances that were not selected are counted, not run.
    pub predictions: Vec<Prediction>,
    /// What every evaluation gets.
    pub options: EvalOptions,
    /// How many sandboxes may run at a time; memory and CPUs may allow fewer.
    pub parallel: usize,
    /// How many images may be made sure of at a time.
    pub image_jobs: usize,
    /// Whether a sandbox is made ahead for each image that is there, until its job begins.
    pub warm: bool,
    /// What to do after trouble of our own.
    pub retries: Retries,
    /// What is known of instances on this machine, to be quoted beside verdicts.
    pub calibration: Calibration,
    /// Runs again what changed since the run was begun, instead of refusing.
    pub rerun_changed: bool,
    /// Which part of a run this is, if it was cut into shards.
    pub shard: Option<ShardFacts>,
    /// Which prediction that could run does so first.
    pub order: Order,
    /// What is expected of the instances from before.
    pub expectations: Expectations,
    /// Where verdicts of earlier runs are taken from, and what is learned is written to.
    pub history: Option<History>,
    /// What to do with verdicts that are known already.
    pub known: KnownUse,
}

/// What to do with verdicts that are known from earlier runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KnownUse {
    /// They are taken over.
    #[default]
    Take,
    /// Everything runs.
    Leave,
    /// They are taken over, and what is not known gets no verdict: nothing runs.
    Only,
}

/// What to do after trouble of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// How often a prediction is run at most in one session.
    pub rounds: u32,
    /// The pause after the first failure; it doubles with each further one, and is varied by half
    /// to either side.
    pub pause: Duration,
    /// The longest pause.
    pub longest: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self { rounds: 3, pause: Duration::from_secs(1), longest: Duration::from_secs(60) }
    }
}

/// The run cannot be begun, or cannot be trusted any more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A file of the run.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A name cannot be used.
    #[error("{0}")]
    Name(String),
    /// There are two predictions that nothing tells apart.
    #[error("{0}: there are two predictions with this attempt's number")]
    Twice(PredictionKey),
    /// What was concluded so far rests on something else than what is wished now.
    #[error("{}", refusal(run_id, changes))]
    Changed {
        /// The run.
        run_id: String,
        /// What changed.
        changes: Vec<Change>,
    },
}

/// How many changes are named.
const NAMED: usize = 20;

fn refusal(run_id: &str, changes: &[Change]) -> String {
    let mut text = format!("run `{run_id}` cannot be continued, this is not as it was:");
    for change in changes.iter().take(NAMED) {
        let _ = write!(text, "\n  {change}");
    }
    if changes.len() > NAMED {
        let _ = write!(text, "\n  … and {} more", changes.len() - NAMED);
    }
    text.push_str("\nrun what changed again with --rerun-changed, or choose another --run-id");
    text
}

/// Runs what a plan says, or goes on with it where a run of this name was begun, and returns where
/// it stands at the end. After `cancel` it ends as soon as nothing of it is left, and can be
/// continued; then [`RunState::interrupted`] is set.
///
/// # Errors
/// [`RunError`]: before anything ran, or when the journal cannot be written any more. What ran is
/// ended by then.
pub async fn run(
    mut plan: RunPlan,
    backend: Arc<dyn crate::sandbox::Backend>,
    images: crate::image::Images,
    progress: &mut dyn ProgressSink,
    cancel: CancellationToken,
) -> Result<RunState, RunError> {
    plan.options.sandbox.labels.insert("run".to_owned(), plan.run_id.clone());
    let ahead = plan.warm.then(|| plan.options.sandbox.clone());
    let jobs = jobs::SandboxJobs::new(backend, images, ahead);
    run_with(plan, Arc::new(jobs), progress, cancel).await
}

/// The same as [`run`], with something else that does the work.
///
/// # Errors
/// As [`run`].
pub async fn run_with(
    plan: RunPlan,
    jobs: Arc<dyn Jobs>,
    progress: &mut dyn ProgressSink,
    cancel: CancellationToken,
) -> Result<RunState, RunError> {
    run_on(Box::new(machine::ThisMachine::new()), (plan, jobs), progress, cancel).await
}

async fn run_on(
    machine: Box<dyn machine::Machine>,
    (plan, jobs): (RunPlan, Arc<dyn Jobs>),
    progress: &mut dyn ProgressSink,
    cancel: CancellationToken,
) -> Result<RunState, RunError> {
    let opened = open::open(plan, jobs)?;
    let closing = opened.shared.clone();
    let result = conductor::conduct(opened, machine, progress, cancel).await;
    closing.jobs.close().await;
    let state = result?;
    open::write_reports(&closing.dir, &state)?;
    Ok(state)
}

#[cfg(test)]
mod tests;
