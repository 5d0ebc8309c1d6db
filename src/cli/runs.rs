//! Runs that are there, as they are named on the command line.

use super::exit::Failure;
use super::settings::Settings;
use crate::journal::{FILE_NAME, JournalError};
use crate::report::{Record, RunDir};
use anyhow::anyhow;
use std::path::{Path, PathBuf};

/// The directory of a run: what was named, or the folder of that name below the report folder.
pub(super) fn run_dir(named: &Path, settings: &Settings) -> Result<RunDir, Failure> {
    let below = settings.report_dir.join(named);
    let places: [&Path; 2] = [named, &below];
    let Some(found) = places.into_iter().find(|place| place.join(FILE_NAME).is_file()) else {
        let failure = Failure::input(anyhow!(
            "there is no run in {} or {}",
            named.display(),
            below.display()
        ));
        return Err(failure.hint("name the folder of a run, or its name and --report-dir"));
    };
    Ok(at(found))
}

fn at(folder: &Path) -> RunDir {
    let whole = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    match whole.file_name() {
        // As it was named, so that messages name it so.
        Some(_) if folder.file_name().is_some() => RunDir::new(
            folder.parent().unwrap_or(Path::new("")),
            &folder.file_name().unwrap_or_default().to_string_lossy(),
        ),
        Some(name) => RunDir::new(whole.parent().unwrap_or(Path::new("")), &name.to_string_lossy()),
        None => RunDir::new(&whole, ""),
    }
}

/// A run's record.
pub(super) fn record(dir: &RunDir) -> Result<Record, Failure> {
    Record::load(dir.path()).map_err(failure)
}

pub(super) fn failure(error: JournalError) -> Failure {
    match error {
        JournalError::Io(_) => Failure::broken(error),
        _ => Failure::input(error),
    }
}

/// Where something is written: `None` is standard output.
pub(super) fn target(to: Option<&PathBuf>) -> Option<&PathBuf> {
    to.filter(|path| path.as_os_str() != "-")
}
