//! `evalrun report`: a run in any form, from its journal and files.

use super::args::{Format, ReportArgs};
use super::exit::{self, Failure};
use super::{Session, calibrate, policy, runs};
use crate::report::{self, Extent, Record, RunDir};
use crate::run::write_whole;
use anyhow::{Context as _, anyhow};
use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// What JUnit shows of a failed case: servers refuse large files.
const JUNIT: Extent = Extent { patch: 0, tests: 20, logs: 1, lines: 20 };

pub(super) fn run(args: &ReportArgs, session: &Session) -> Result<u8, Failure> {
    let settings = &session.settings;
    let dir = runs::run_dir(&args.run, settings)?;
    let record = runs::record(&dir)?;
    let known = calibrate::read(&settings.calibration_file()?)?.map(|known| known.validated());
    let told = Told { record: &record, dir: &dir, validated: known.as_ref() };
    match (args.format, runs::target(args.to.as_ref())) {
        (Format::Swebench, to) => submit(args, &told, to, session)?,
        (Format::Github, None) => to_github(&told, session)?,
        (format, Some(path)) => {
            write_whole(path, &told.text(format))
                .with_context(|| format!("cannot write {}", path.display()))
                .map_err(Failure::broken)?;
            session.terminal.say(&format!("written: {}", path.display()));
        }
        (format, None) => {
            let format = if session.terminal.json { Format::Json } else { format };
            session.terminal.print(&told.text(format));
        }
    }
    let code = policy::exit_code(&record.state, settings, &session.terminal)?;
    // Whoever shows a run does not fail for what was left open in it.
    Ok(if code == exit::INFRA_LEFT { exit::FINISHED } else { code })
}

/// A run, where it is, and what is known of its instances.
struct Told<'a> {
    record: &'a Record,
    dir: &'a RunDir,
    validated: Option<&'a BTreeSet<String>>,
}

impl Told<'_> {
    fn text(&self, format: Format) -> String {
        let (record, validated) = (self.record, self.validated);
        match format {
            Format::Table | Format::Swebench => {
                report::table(&report::Report::with(&record.state, validated))
            }
            Format::Json => report::json(record, validated),
            Format::Csv => report::csv(record),
            Format::Markdown => report::markdown(record, validated),
            Format::Html => report::html(record, self.dir, validated),
            Format::Junit => report::junit(record, &report::materials(self.dir, record, JUNIT)),
            Format::Github => {
                report::github_summary(record, validated)
                    + &report::github_annotations(record, self.dir)
            }
        }
    }
}

/// The summary to the step's file, where there is one, and the annotations to the runner, which reads
/// standard output.
fn to_github(told: &Told<'_>, session: &Session) -> Result<(), Failure> {
    let summary = report::github_summary(told.record, told.validated);
    let annotations = report::github_annotations(told.record, told.dir);
    match std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()) {
        Some(path) => append(Path::new(&path), &summary)
            .context("cannot write $GITHUB_STEP_SUMMARY")
            .map_err(Failure::broken)?,
        None => session.terminal.print(&summary),
    }
    session.terminal.print(&annotations);
    Ok(())
}

fn append(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = fs_err::OpenOptions::new().append(true).create(true).open(path)?;
    file.write_all(text.as_bytes())
}

/// The folder of a submission.
fn submit(
    args: &ReportArgs,
    told: &Told<'_>,
    to: Option<&PathBuf>,
    session: &Session,
) -> Result<(), Failure> {
    let Some(to) = to else {
        return Err(Failure::input(anyhow!("a submission is a folder: name it by --to")));
    };
    let models = told.record.models();
    let model = match (&args.model, models.as_slice()) {
        (Some(model), _) if models.contains(&model.as_str()) => model.as_str(),
        (None, [model]) => model,
        (named, _) => {
            let text = match named {
                Some(model) => format!("the run has no model `{model}`"),
                None => "the run has several models: name one by --model".to_owned(),
            };
            let names = models.join("`, `");
            return Err(Failure::input(anyhow!(text)).hint(format!("there are `{names}`")));
        }
    };
    if to.exists() && to.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Failure::input(anyhow!("{} is not empty", to.display())));
    }
    report::write_submission(told.record, told.dir, model, to)
        .with_context(|| format!("cannot write {}", to.display()))
        .map_err(Failure::broken)?;
    session.terminal.say(&format!("written: {}", to.display()));
    Ok(())
}
