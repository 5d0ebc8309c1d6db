//! `evalrun grade`: a run judged anew from its logs, without a sandbox.

use super::args::GradeArgs;
use super::exit::{self, Failure};
use super::{Session, runtime};
use crate::dataset::Dataset;
use crate::journal::Evaluated;
use crate::model::VerdictKind;
use crate::regrade::{self, Found, RegradeError};
use crate::report::{Denominators, RunDir, Standing, instance_report, summary_of};
use anyhow::{Context as _, anyhow};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

pub(super) fn run(args: &GradeArgs, session: &Session) -> Result<u8, Failure> {
    let settings = &session.settings;
    let dataset = runtime()?.block_on(async {
        let (mut dataset, selection) = settings.load_dataset().await?;
        selection.apply(&mut dataset)?;
        Ok::<_, Failure>(dataset)
    })?;
    let ids = dataset.instances.iter().map(|instance| instance.id.clone()).collect();
    let found = regrade::find(&args.path, &ids, args.model.as_deref())?;
    let instances: HashMap<_, _> =
        dataset.instances.iter().map(|instance| (&instance.id, instance)).collect();
    let graded = regrade::regrade(&found, &instances, settings.integrity.into());
    let validated = args.validated.as_deref().map(validated_ids).transpose()?;
    let run_id = args.run_id.clone().unwrap_or_else(|| name_of(&args.path));
    let summaries = summaries(&dataset, &graded);
    if !args.no_write {
        let place = Place { args, run_id: &run_id, reports: &settings.report_dir };
        let written = write(&place, &found, &graded, &summaries)?;
        session.terminal.say(&format!("reports: {}", written.display()));
    }
    let kinds = graded.iter().map(|one| (one.key.instance_id.as_str(), one.kind()));
    let shares = Denominators::of(kinds, validated.as_ref());
    show(session, &graded, &summaries, &shares);
    Ok(if graded.iter().any(|one| one.kind() == VerdictKind::Infra) {
        exit::INFRA_LEFT
    } else {
        exit::FINISHED
    })
}

/// The reports of the models, in the incumbent's form.
fn summaries(dataset: &Dataset, graded: &[Evaluated]) -> BTreeMap<String, crate::report::Summary> {
    let mut models: BTreeMap<&str, Vec<&Evaluated>> = BTreeMap::new();
    for one in graded.iter().filter(|one| one.key.attempt == 1) {
        models.entry(&one.key.model).or_default().push(one);
    }
    let selected: BTreeSet<&str> =
        dataset.instances.iter().map(|instance| instance.id.as_str()).collect();
    let summary = |(model, graded): (&str, Vec<&Evaluated>)| {
        let standings = graded.into_iter().map(Standing::of);
        (model.to_owned(), summary_of(selected.clone(), standings))
    };
    models.into_iter().map(summary).collect()
}

/// Where the reports go.
struct Place<'a> {
    args: &'a GradeArgs,
    run_id: &'a str,
    reports: &'a Path,
}

/// Writes the reports: beside the logs, or into a directory of their own. A report that an earlier
/// grading left where there is none now is removed, so that no old verdict survives.
fn write(
    place: &Place<'_>,
    found: &[Found],
    graded: &[Evaluated],
    summaries: &BTreeMap<String, crate::report::Summary>,
) -> Result<PathBuf, Failure> {
    let own = place.args.to.clone();
    let root = own.unwrap_or_else(|| place.reports.join(format!("{}-graded", place.run_id)));
    let parent = root.parent().unwrap_or(Path::new("")).to_owned();
    let name = root.file_name().map(|name| name.to_string_lossy().into_owned());
    let dir = RunDir::new(&parent, &name.unwrap_or_default());
    for (one, evaluated) in found.iter().zip(graded) {
        let path = match place.args.in_place && one.place.is_dir() {
            true => one.directory().join("report.json"),
            false => dir.instance_report(&evaluated.key),
        };
        let done = match instance_report(evaluated) {
            Some(text) => crate::run::write_whole(&path, &text),
            None => remove(&path),
        };
        done.with_context(|| format!("cannot write {}", path.display()))
            .map_err(Failure::broken)?;
    }
    for (model, summary) in summaries {
        let path = dir.summary(model, place.run_id);
        crate::run::write_whole(&path, &summary.to_text()).map_err(Failure::broken)?;
    }
    Ok(root)
}

fn remove(path: &Path) -> std::io::Result<()> {
    match fs_err::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn show(
    session: &Session,
    graded: &[Evaluated],
    summaries: &BTreeMap<String, crate::report::Summary>,
    shares: &Denominators,
) {
    let terminal = &session.terminal;
    if terminal.json {
        let results: Vec<Value> = graded
            .iter()
            .map(|one| {
                json!({
                    "model": one.key.model,
                    "instance_id": one.key.instance_id,
                    "attempt": one.key.attempt,
                    "verdict": one.kind(),
                    "infra_evidence": one.evidence,
                    "integrity": one.integrity,
                    "notes": one.evaluation.notes,
                })
            })
            .collect();
        terminal.print_json(&json!({
            "shares": shares,
            "models": summaries,
            "results": results,
        }));
        return;
    }
    if terminal.quiet {
        return;
    }
    let mut counts: BTreeMap<VerdictKind, usize> = BTreeMap::new();
    for one in graded {
        *counts.entry(one.kind()).or_default() += 1;
    }
    let mut text = String::new();
    for (kind, count) in counts {
        text.push_str(&format!("{:20} {count}\n", kind.name().replace('_', " ")));
    }
    text.push_str(&shares.to_text());
    terminal.print(&text);
}

/// The instances that a report names as resolved: one of a gold run, or a calibration.
fn validated_ids(path: &Path) -> Result<BTreeSet<String>, Failure> {
    let text = fs_err::read_to_string(path).map_err(Failure::input)?;
    let report: Value = serde_json::from_str(&text)
        .with_context(|| format!("{} is not JSON", path.display()))
        .map_err(Failure::input)?;
    let ids = report.get("resolved_ids").and_then(Value::as_array).ok_or_else(|| {
        Failure::input(anyhow!("{} has no list `resolved_ids`", path.display()))
            .hint("name the report of a run of gold, <report-dir>/<run>/gold.<run>.json")
    })?;
    Ok(ids.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

fn name_of(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    path.file_name().map_or_else(|| "run".to_owned(), |name| name.to_string_lossy().into_owned())
}

impl From<RegradeError> for Failure {
    fn from(error: RegradeError) -> Self {
        let hint = match &error {
            RegradeError::Nothing(_) => {
                "name the folder of a run, or one above its <model>/<instance>/test_output.txt, and \
                 the task list of that run by --dataset"
            }
            _ => "name the folder of a run",
        };
        Self::input(error).hint(hint)
    }
}
