//! `evalrun merge`: the shards of a run put together.

use super::Session;
use super::args::MergeArgs;
use super::exit::{self, Failure};
use crate::report::{self, Report};
use crate::run::{MergeError, merge};

pub(super) fn run(args: &MergeArgs, session: &Session) -> Result<u8, Failure> {
    let Session { settings, terminal } = session;
    let merged = merge(&args.shards, &settings.report_dir, args.run_id.as_deref());
    let (state, dir) = merged.map_err(|error| {
        let code = match &error {
            MergeError::Missing { .. } | MergeError::Unfinished { .. } => exit::INCOMPLETE,
            MergeError::Io(_) => exit::BROKEN,
            _ => exit::BAD_INPUT,
        };
        Failure { error: error.into(), hints: Vec::new(), code }
    })?;
    let known = super::calibrate::read(&settings.calibration_file()?)?;
    let report = Report::with(&state, known.map(|known| known.validated()).as_ref());
    match terminal.json {
        true => terminal.print_json(&report),
        false => terminal.print(&report::table(&report)),
    }
    terminal.say(&format!("merged: {}", dir.path().display()));
    Ok(exit::FINISHED)
}
