//! One prediction from its start to the files it leaves, in a task of its own.

use super::RunPlan;
use super::admission::{Waiting, starved};
use super::jobs::Jobs;
use super::queue::Job;
use crate::evaluate::{Task, infra};
use crate::journal::Evaluated;
use crate::layers::ImageKey;
use crate::model::{Digest, Evaluation, KilledBy, Outcome, Status, Verdict};
use crate::regrade;
use crate::report::{RunDir, instance_report};
use fs_err as fs;
use futures_util::FutureExt as _;
use std::any::Any;
use std::io;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::sync::Semaphore;

/// What an evaluation leaves in its directory, beside the report.
const FILES: [&str; 4] = ["patch.diff", "eval.sh", "test_output.txt", "run_instance.log"];
const REPORT: &str = "report.json";
/// Logs may be large, and are read whole to look for signs: only so many at a time.
const READERS: usize = 2;

/// What all tasks of a run share.
pub(crate) struct Shared {
    pub(crate) plan: RunPlan,
    pub(crate) dir: RunDir,
    pub(crate) jobs: Arc<dyn Jobs>,
    pub(crate) waiting: Mutex<Waiting>,
    readers: Arc<Semaphore>,
}

/// A task's end.
pub(crate) struct Ended {
    pub(crate) job: Job,
    pub(crate) evaluated: Evaluated,
    /// Whether the tests timed out for want of a CPU.
    pub(crate) starved: bool,
}

impl Shared {
    pub(crate) fn new(plan: RunPlan, dir: RunDir, jobs: Arc<dyn Jobs>) -> Self {
        let readers = Arc::new(Semaphore::new(READERS));
        Self { plan, dir, jobs, waiting: Mutex::default(), readers }
    }

    fn waiting(&self) -> Waiting {
        *self.waiting.lock().expect("no holder panics")
    }
}

/// Runs a job. Whatever goes wrong is in the verdict: a panic too is trouble of our own.
pub(crate) async fn work(shared: Arc<Shared>, job: Job, image: ImageKey) -> Ended {
    let prediction = &shared.plan.predictions[job.prediction];
    let dir = shared.dir.prediction(&prediction.key());
    let before = shared.waiting();
    let (evaluation, starved) =
        match AssertUnwindSafe(evaluate(&shared, job, &image, &dir)).catch_unwind().await {
            Ok(evaluation) => own_fault(evaluation, shared.waiting().share_since(before)),
            Err(panic) => (infra("harness_bug", panic_text(panic.as_ref())), false),
        };
    let mut evaluated = Evaluated::new(prediction.key(), job.round, evaluation);
    evaluated.waited = thousandths(shared.waiting().share_since(before));
    Ended { job, evaluated: finish(&shared, job, evaluated, &dir).await, starved }
}

async fn evaluate(shared: &Shared, job: Job, image: &ImageKey, dir: &Path) -> Evaluation {
    if let Err(error) = clear(dir) {
        return infra("report_write_failed", error.to_string());
    }
    let task = Task {
        instance: &shared.plan.dataset.instances[job.instance],
        prediction: &shared.plan.predictions[job.prediction],
    };
    shared.jobs.evaluate(image, task, &shared.plan.options, dir).await
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share, from 0 to 1")]
fn thousandths(share: f64) -> u32 {
    (share.clamp(0.0, 1.0) * 1000.0).round() as u32
}

/// Tests that timed out because we ran too many at once say nothing of the patch.
fn own_fault(evaluation: Evaluation, waited: f64) -> (Evaluation, bool) {
    let Verdict::TestsStopped {
        outcome: Outcome { status: Status::Killed(KilledBy::TimedOut), .. },
    } = evaluation.verdict
    else {
        return (evaluation, false);
    };
    let usage = &evaluation.usage;
    if !starved(waited, usage.wall, usage.user + usage.system) {
        return (evaluation, false);
    }
    let detail = format!(
        "the tests timed out while tasks of this machine waited for a CPU {:.0} % of the time",
        waited * 100.0
    );
    let ours = infra("timeout_while_starved", detail);
    (Evaluation { verdict: ours.verdict, ..evaluation }, true)
}

/// Looks at what was left, and writes the report. The report is there before the verdict is
/// journaled, so a verdict that counts always has it.
async fn finish(shared: &Arc<Shared>, job: Job, evaluated: Evaluated, dir: &Path) -> Evaluated {
    let permit = shared.readers.clone().acquire_owned().await;
    let (dir, plan) = (dir.to_owned(), shared.clone());
    let kept = (evaluated.key.clone(), evaluated.round);
    let done = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let mut evaluated = evaluated;
        match look(&plan.plan, job, &mut evaluated, &dir)
            .and_then(|()| write_report(&evaluated, &dir))
        {
            Ok(()) => evaluated,
            Err(error) => Evaluated {
                evaluation: infra("report_write_failed", error.to_string()),
                ..evaluated
            },
        }
    });
    done.await.unwrap_or_else(|error| {
        Evaluated::new(kept.0, kept.1, infra("harness_bug", error.to_string()))
    })
}

fn look(plan: &RunPlan, job: Job, evaluated: &mut Evaluated, dir: &Path) -> io::Result<()> {
    for name in FILES {
        if let Some(mut file) = open(&dir.join(name))? {
            evaluated.files.insert(name.to_owned(), Digest::of_reader(&mut file)?);
        }
    }
    let log = read(&dir.join("test_output.txt"))?;
    let instance = &plan.dataset.instances[job.instance];
    let patch = plan.predictions[job.prediction].patch.as_deref().unwrap_or_default();
    if !matches!(evaluated.evaluation.verdict, Verdict::Resolved { .. } | Verdict::EmptyPatch) {
        let tests = evaluated.evaluation.verdict.tests();
        let remarks = plan.calibration.remarks(&instance.id, tests);
        evaluated.evaluation.notes.extend(remarks);
    }
    regrade::trust(evaluated, (instance, patch, plan.options.policy), &log);
    let verdict = &evaluated.evaluation.verdict;
    if matches!(verdict, Verdict::Resolved { .. } | Verdict::EmptyPatch) {
        return Ok(());
    }
    regrade::look(evaluated, &log, &read(&dir.join("run_instance.log"))?);
    Ok(())
}

/// Writes the `report.json` of a verdict that has one.
pub(crate) fn write_report(evaluated: &Evaluated, dir: &Path) -> io::Result<()> {
    match instance_report(evaluated) {
        Some(text) => write_whole(&dir.join(REPORT), &text),
        None => Ok(()),
    }
}

/// Removes what an earlier evaluation left, so that nothing of it can be taken for this one's.
pub(crate) fn clear(dir: &Path) -> io::Result<()> {
    for name in FILES.into_iter().chain([REPORT]) {
        match fs::remove_file(dir.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Writes a file so that readers see the old text or the new one, never a part.
pub(crate) fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let aside = path.with_file_name(name);
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    fs::write(&aside, text)?;
    fs::rename(&aside, path)
}

fn open(path: &Path) -> io::Result<Option<fs::File>> {
    match fs::File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut file) = open(path)? {
        io::Read::read_to_end(&mut file, &mut bytes)?;
    }
    Ok(bytes)
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    format!("evalrun itself panicked: {}", text.unwrap_or_else(|| "no message".to_owned()))
}
