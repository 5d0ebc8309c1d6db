//! The failing expected tests of an unresolved prediction, run again in fresh sandboxes.

use super::{EvalOptions, InstanceLog, Scribe, Task, attempt, sandbox_options};
use crate::grade::select_tests;
use crate::layers::ImageKey;
use crate::model::{Instance, Reruns, TestsReport, Verdict};
use crate::sandbox::Backend;
use fs_err as fs;
use std::collections::BTreeSet;
use std::io;
use std::time::Instant;

/// Runs what failed again, up to `options.rerun_failed` times, until each test has passed once.
pub(super) async fn run(
    backend: &dyn Backend,
    image: &ImageKey,
    (task, tests): (Task<'_>, &TestsReport),
    options: &EvalOptions,
    (scribe, log): (&mut Scribe<'_>, &mut InstanceLog),
) -> io::Result<()> {
    let failing: BTreeSet<&str> = failures(tests).collect();
    let mut open = failing.clone();
    let mut reruns = Reruns::default();
    while reruns.runs < options.rerun_failed && !open.is_empty() {
        reruns.runs += 1;
        let names: Vec<&str> = open.iter().copied().collect();
        let script = select_tests(task.instance, &names);
        reruns.selected = script.is_some();
        log.info(format_args!(
            "Again, {} of {}: {}",
            reruns.runs,
            options.rerun_failed,
            names.join(", ")
        ))?;
        let keep = |list: &[String]| {
            list.iter().filter(|name| open.contains(name.as_str())).cloned().collect()
        };
        let instance = Instance {
            eval_script: script.unwrap_or_else(|| task.instance.eval_script.clone()),
            fail_to_pass: keep(&task.instance.fail_to_pass),
            pass_to_pass: keep(&task.instance.pass_to_pass),
            ..task.instance.clone()
        };
        let dir = scribe.dir.join(format!("again-{}", reruns.runs));
        fs::create_dir_all(&dir)?;
        let mut record = super::Record::default();
        let mut own = Scribe { record: &mut record, dir: &dir, phase_began: Instant::now() };
        let plain = EvalOptions { canary: false, policy: Default::default(), ..options.clone() };
        let task = Task { instance: &instance, prediction: task.prediction };
        let sandbox = (image, sandbox_options(task, options));
        let result = attempt(backend, sandbox, task, &plain, (&mut own, log)).await;
        if let Ok(Verdict::Resolved { tests } | Verdict::Unresolved { tests }) = result {
            let passed = tests.fail_to_pass.success.iter().chain(&tests.pass_to_pass.success);
            for name in passed {
                open.remove(name.as_str());
            }
        }
    }
    let passed = failing.difference(&open);
    reruns.passed = passed.map(|name| (*name).to_owned()).collect();
    reruns.resolved = open.is_empty();
    scribe.record.probes.reruns = Some(reruns);
    Ok(())
}

fn failures(tests: &TestsReport) -> impl Iterator<Item = &str> {
    tests.fail_to_pass.failure.iter().chain(&tests.pass_to_pass.failure).map(String::as_str)
}
