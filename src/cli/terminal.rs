//! Where the program speaks: data on standard output, everything else on standard error.

use super::args::Common;
use serde::Serialize;
use std::io::{IsTerminal as _, Write as _};
use std::sync::Mutex;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer};

/// What the user wants to hear, and how.
#[derive(Clone, Debug)]
pub(super) struct Terminal {
    /// JSON for programs instead of text for people.
    pub(super) json: bool,
    /// No progress, no table.
    pub(super) quiet: bool,
    /// Whether standard error is a terminal: progress may move.
    pub(super) moving: bool,
}

impl Terminal {
    /// Reads the flags and starts logging to standard error: warnings, or by `-v` more, or what
    /// `EVALRUN_LOG` says.
    pub(super) fn new(common: &Common) -> Self {
        let level = match common.verbose {
            0 => "evalrun=warn",
            1 => "evalrun=info",
            2 => "evalrun=debug",
            _ => "evalrun=trace",
        };
        let filter =
            EnvFilter::try_from_env("EVALRUN_LOG").unwrap_or_else(|_| EnvFilter::new(level));
        let said = tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_target(false)
            .with_filter(filter);
        // A second subscriber is only met in tests.
        let _ = tracing_subscriber::registry().with(said).with(log_file(common)).try_init();
        Self {
            json: common.json,
            quiet: common.quiet,
            moving: std::io::stderr().is_terminal() && !common.quiet,
        }
    }

    /// Data for standard output. That nobody reads it any more is no error of ours.
    #[expect(clippy::unused_self, reason = "whoever prints must hold the terminal")]
    pub(super) fn print(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    /// The same as JSON, indented, with a newline behind.
    pub(super) fn print_json(&self, value: &impl Serialize) {
        let text = serde_json::to_string_pretty(value).expect("values of ours can be JSON");
        self.print(&(text + "\n"));
    }

    /// Words for people, on standard error.
    #[expect(clippy::unused_self, reason = "whoever speaks must hold the terminal")]
    pub(super) fn note(&self, text: &str) {
        let newline = if text.ends_with('\n') { "" } else { "\n" };
        let _ = write!(std::io::stderr().lock(), "{text}{newline}");
    }

    /// The same, unless the user wants quiet.
    pub(super) fn say(&self, text: &str) {
        if !self.quiet {
            self.note(text);
        }
    }
}

/// A log of all that happens, whatever is said on the terminal.
fn log_file<S>(common: &Common) -> Option<impl Layer<S>>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    let path = common.log_file.as_ref()?;
    let file = match fs_err::OpenOptions::new().create(true).append(true).open(path) {
        Ok(file) => file.into_parts().0,
        Err(error) => {
            let _ = writeln!(std::io::stderr().lock(), "warning: there will be no log: {error}");
            return None;
        }
    };
    let layer = tracing_subscriber::fmt::layer().with_writer(Mutex::new(file)).with_ansi(false);
    Some(layer.with_filter(EnvFilter::new("evalrun=debug")))
}

/// Bytes for people: `1.5 GiB`.
pub(super) fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}
