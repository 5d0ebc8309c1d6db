//! A resolved prediction again, without its changes to the runner's own files.

use super::{EvalOptions, InstanceLog, Scribe, Task, attempt, sandbox_options};
use crate::grade::without_runner_files;
use crate::layers::ImageKey;
use crate::model::{Prediction, Verdict, WithoutRunnerFiles};
use crate::sandbox::Backend;
use fs_err as fs;
use std::io;
use std::time::Instant;

/// Where the second run leaves its files, below the first's.
const FOLDER: &str = "without_runner_files";

/// Runs the rest of the patch in a fresh sandbox. Nothing follows where that says nothing of the
/// patch.
pub(super) async fn run(
    backend: &dyn Backend,
    image: &ImageKey,
    task: Task<'_>,
    options: &EvalOptions,
    (scribe, log): (&mut Scribe<'_>, &mut InstanceLog),
) -> io::Result<()> {
    let patch = task.prediction.patch.as_deref().unwrap_or("");
    let Some((rest, files)) = without_runner_files(task.instance, patch) else { return Ok(()) };
    log.info(format_args!("The same again without {}", files.join(", ")))?;
    let resolved = if rest.trim().is_empty() {
        // An unchanged program resolves nothing.
        Some(false)
    } else {
        let dir = scribe.dir.join(FOLDER);
        fs::create_dir_all(&dir)?;
        fs::write(dir.join("patch.diff"), &rest)?;
        let prediction = Prediction { patch: Some(rest), ..task.prediction.clone() };
        let task = Task { instance: task.instance, prediction: &prediction };
        let mut record = super::Record::default();
        let mut own = Scribe { record: &mut record, dir: &dir, phase_began: Instant::now() };
        let plain = EvalOptions { canary: false, policy: Default::default(), ..options.clone() };
        let sandbox = (image, sandbox_options(task, options));
        let result = attempt(backend, sandbox, task, &plain, (&mut own, log)).await;
        match result {
            Ok(Verdict::Resolved { .. }) => Some(true),
            Ok(Verdict::PatchRejected | Verdict::EmptyPatch | Verdict::Infra { .. }) | Err(_) => {
                None
            }
            Ok(_) => Some(false),
        }
    };
    match resolved {
        Some(resolved) => {
            scribe.record.probes.without_runner_files =
                Some(WithoutRunnerFiles { files, resolved });
        }
        None => scribe.record.notes.push(format!(
            "whether it is resolved without its changes to {} could not be found out",
            files.join(", ")
        )),
    }
    Ok(())
}
