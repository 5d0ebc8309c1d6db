//! `run_instance.log`: what was done for one instance, in the form the incumbent gives it.

use fs_err::File;
use std::fmt::Arguments;
use std::io::{self, Write as _};
use std::path::Path;

/// The log of one instance. Every line is written through at once: it must be there after a crash.
pub(super) struct InstanceLog(File);

impl InstanceLog {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        File::create(path).map(Self)
    }

    pub(super) fn info(&mut self, message: Arguments<'_>) -> io::Result<()> {
        self.line("INFO", message)
    }

    pub(super) fn error(&mut self, message: Arguments<'_>) -> io::Result<()> {
        self.line("ERROR", message)
    }

    fn line(&mut self, level: &str, message: Arguments<'_>) -> io::Result<()> {
        let now = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S,%3f");
        self.0.write_all(format!("{now} - {level} - {message}\n").as_bytes())
    }
}
