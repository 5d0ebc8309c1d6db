//! The command line.

use std::process::ExitCode;

/// Parses the command line and does what it says.
#[must_use]
pub fn run() -> ExitCode {
    ExitCode::SUCCESS
}
