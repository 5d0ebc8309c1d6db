//! How the program ends: the exit codes, and errors on their way to one.

use crate::dataset::DatasetError;
use std::fmt::Write as _;
use std::process::ExitCode;

/// The work is done; unresolved instances are no failure of the tool.
pub const FINISHED: u8 = 0;
/// The run broke: its journal or the machine cannot be trusted any more.
pub const BROKEN: u8 = 1;
/// The input is wrong: a flag, a setting, a task list, a prediction. Nothing was started.
pub const BAD_INPUT: u8 = 2;
/// The run is done, and some instances have no verdict because of trouble of our own.
pub const INFRA_LEFT: u8 = 3;
/// Fewer instances are resolved than `--fail-under` asks for.
pub const BELOW_THRESHOLD: u8 = 4;
/// Instances that a baseline resolves are not resolved any more.
pub const REGRESSION: u8 = 5;
/// More ended with trouble of our own than `--max-infra` or `--fail-on-infra` allows.
pub const TOO_MUCH_INFRA: u8 = 6;
/// A part of the run is missing, or it goes on and a policy was to be met.
pub const INCOMPLETE: u8 = 7;
/// The engine that runs the job asked it to stop; the same command continues.
pub const STOPPED: u8 = 75;
/// Interrupted from the keyboard; the same command continues.
pub const INTERRUPTED: u8 = 130;

/// Why a command did not do its work.
#[derive(Debug)]
pub(super) struct Failure {
    /// What happened, causes included.
    pub(super) error: anyhow::Error,
    /// What to do about it.
    pub(super) hints: Vec<String>,
    /// What the program exits with.
    pub(super) code: u8,
}

impl Failure {
    /// The user's input is wrong.
    pub(super) fn input(error: impl Into<anyhow::Error>) -> Self {
        Self { error: error.into(), hints: Vec::new(), code: BAD_INPUT }
    }

    /// Something else went wrong.
    pub(super) fn broken(error: impl Into<anyhow::Error>) -> Self {
        Self { error: error.into(), hints: Vec::new(), code: BROKEN }
    }

    /// The same, with something to do about it.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// `error: …`, a line for each cause, then the hints.
    pub(super) fn text(&self) -> String {
        let mut text = format!("error: {}\n", self.error);
        let mut said = self.error.to_string();
        for cause in self.error.chain().skip(1) {
            let cause = cause.to_string();
            // A transparent error, and one that quotes its cause, would say the same again.
            if !said.contains(&cause) {
                let _ = writeln!(text, "  caused by: {}", cause.replace('\n', "\n    "));
            }
            said = cause;
        }
        for hint in &self.hints {
            let _ = writeln!(text, "hint: {hint}");
        }
        text
    }

    /// For `main`.
    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl From<DatasetError> for Failure {
    fn from(error: DatasetError) -> Self {
        match &error {
            DatasetError::Input(_) | DatasetError::Hub { .. } => Self::input(error),
            DatasetError::Cache(_) => Self::broken(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Failure;

    #[test]
    fn causes_are_told_once_and_hints_come_last() {
        let below = anyhow::anyhow!("no such file");
        let error = below.context("cannot read `x`: no such file").context("cannot start");
        let text = Failure::input(error).hint("make it").text();
        assert_eq!(
            text,
            "error: cannot start\n  caused by: cannot read `x`: no such file\nhint: make it\n"
        );
    }
}
