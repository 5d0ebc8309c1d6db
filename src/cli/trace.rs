//! `evalrun trace`, and `--trace` of a run: its time line.

use super::Session;
use super::args::TraceArgs;
use super::exit::{self, Failure};
use crate::run::{trace, write_whole};
use anyhow::Context as _;
use std::path::Path;

pub(super) fn run(args: &TraceArgs, session: &Session) -> Result<u8, Failure> {
    let text = trace(&args.run).map_err(Failure::input)?;
    if args.to.as_os_str() == "-" {
        session.terminal.print(&(text + "\n"));
    } else {
        write(&args.to, &text)?;
    }
    Ok(exit::FINISHED)
}

/// Writes the time line of the run in this folder.
pub(super) fn write_of(run: &Path, to: &Path) -> Result<(), Failure> {
    write(to, &trace(run).map_err(Failure::broken)?)
}

fn write(to: &Path, text: &str) -> Result<(), Failure> {
    write_whole(to, text)
        .with_context(|| format!("cannot write {}", to.display()))
        .map_err(Failure::broken)
}
