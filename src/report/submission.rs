//! The folder that is handed in for SWE-bench's leaderboard: predictions, results, logs, metadata.
//!
//! `all_preds.jsonl`, `metadata.yaml`, `README.md`, `results/`, and for each instance `logs/<instance>/`
//! with the files of its evaluation, as <https://www.swebench.com/submit.html> asks for them. Reasoning
//! traces (`trajs/`) are the agent's own, and what only people know stands as `TODO`.

use super::analysis::{Analysis, Group};
use super::layout::RunDir;
use super::plain::printable;
use super::python_json;
use super::record::{Entry, Record};
use super::statistics::share;
use crate::model::VerdictKind;
use fs_err as fs;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

/// What an evaluation leaves and a submission shows.
const LOGS: [&str; 5] =
    ["eval.sh", "patch.diff", "report.json", "run_instance.log", "test_output.txt"];

/// Writes the submission of a model's first attempts into a folder, which is made.
///
/// # Errors
/// Of the file system.
pub fn write_submission(record: &Record, dir: &RunDir, model: &str, to: &Path) -> io::Result<()> {
    let entries = record.entries();
    let own = |entry: &&Entry<'_>| &*entry.key.model == model && entry.key.attempt == 1;
    let own: Vec<Entry<'_>> = entries.iter().filter(own).copied().collect();
    fs::create_dir_all(to.join("results"))?;
    let mut predictions = String::new();
    for entry in &own {
        let from = dir.prediction(entry.key);
        let into = to.join("logs").join(entry.key.instance_id.as_str());
        copy_logs(&from, &into)?;
        let patch = fs::read(from.join("patch.diff")).unwrap_or_default();
        let line = json!({
            "instance_id": entry.key.instance_id,
            "model_name_or_path": model,
            "model_patch": String::from_utf8_lossy(&patch),
        });
        let _ = writeln!(predictions, "{line}");
    }
    fs::write(to.join("all_preds.jsonl"), predictions)?;
    let results = python_json::to_text(&Results::of(record, &own)) + "\n";
    fs::write(to.join("results/results.json"), results)?;
    let analysis = Analysis::of(record);
    let place = record.models().iter().position(|one| *one == model).unwrap_or(0);
    let repos = python_json::to_text(&by_repository(&analysis.by_repository, place)) + "\n";
    fs::write(to.join("results/resolved_by_repo.json"), repos)?;
    fs::write(to.join("metadata.yaml"), metadata(record, model))?;
    fs::write(to.join("README.md"), readme(record, model, own.len()))
}

fn copy_logs(from: &Path, into: &Path) -> io::Result<()> {
    fs::create_dir_all(into)?;
    for name in LOGS {
        match fs::copy(from.join(name), into.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// `results.json`, by the keys of the leaderboard's own script.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Results {
    no_generation: BTreeSet<String>,
    no_logs: BTreeSet<String>,
    resolved: BTreeSet<String>,
}

impl Results {
    fn of(record: &Record, own: &[Entry<'_>]) -> Self {
        let ids = |keep: &dyn Fn(&Entry<'_>) -> bool| -> BTreeSet<String> {
            let kept = own.iter().filter(|entry| keep(entry));
            kept.map(|entry| entry.key.instance_id.to_string()).collect()
        };
        let kind = |entry: &Entry<'_>| entry.done.map(|done| done.kind);
        let mut no_generation = ids(&|entry| kind(entry) == Some(VerdictKind::EmptyPatch));
        let predicted = ids(&|_| true);
        let all = record.state.header.instances.iter().map(|one| one.id.to_string());
        no_generation.extend(all.filter(|id| !predicted.contains(id)));
        let no_log = |entry: &Entry<'_>| matches!(kind(entry), None | Some(VerdictKind::Infra));
        Self { no_generation, no_logs: ids(&no_log), resolved: ids(&|entry| entry.resolved()) }
    }
}

fn by_repository(groups: &[Group], model: usize) -> Value {
    let mut groups: Vec<&Group> = groups.iter().collect();
    groups.sort_by(|a, b| a.name.cmp(&b.name));
    let one = |group: &Group| {
        let resolved = group.resolved.get(model).copied().unwrap_or_default();
        (group.name.clone(), json!({"resolved": resolved, "total": group.instances}))
    };
    Value::Object(groups.into_iter().map(one).collect::<Map<_, _>>())
}

/// A text as YAML: JSON's quotes are YAML's.
fn quoted(text: &str) -> String {
    Value::from(printable(text)).to_string()
}

fn metadata(record: &Record, model: &str) -> String {
    let attempts = record.entries().iter().map(|entry| entry.key.attempt).max().unwrap_or(1);
    format!(
        "# What evalrun cannot know stands as TODO.\n\
         info:\n  name: {name}\n  report: TODO\n  site: TODO\n  logo: TODO\n  authors: TODO\n\
         tags:\n  checked: false\n  model:\n  - {name}\n  org: TODO\n  os_model: false\n  \
         os_system: false\n  system:\n    attempts: {attempts}\n",
        name = quoted(model),
        // One submission is one attempt; how often the agent tried inside it, it alone knows.
        attempts = quoted(if attempts == 1 { "1" } else { "2+" }),
    )
}

fn readme(record: &Record, model: &str, predictions: usize) -> String {
    let header = &record.state.header;
    let resolved = Analysis::of(record)
        .models
        .into_iter()
        .find(|figures| figures.model == model)
        .map_or(0, |figures| figures.resolved);
    let total = header.instances.len();
    format!(
        "# {model}\n\n\
         Resolved {resolved} of {total} instances ({:.1} %), {predictions} predictions, of {} ({}).\n\n\
         TODO: describe the system, or link to its report.\n\n\
         - [ ] Is a pass@1 submission (does not attempt the same task instance more than once)\n\
         - [ ] Does not use SWE-bench test knowledge (`PASS_TO_PASS`, `FAIL_TO_PASS`)\n\
         - [ ] Does not use the `hints` field in SWE-bench\n\
         - [ ] Does not have web-browsing, or has taken steps to prevent lookup of solutions\n\n\
         Evaluated by evalrun {} (grader {}) in run `{}`; task list sha256 `{}`, back-end {}.\n",
        share(resolved, total) * 100.0,
        header.dataset.name,
        header.dataset.split,
        header.versions.evalrun,
        header.versions.grader,
        header.run_id,
        header.dataset.digest,
        header.host.backend,
        model = super::markdown::inline(model),
    )
}
