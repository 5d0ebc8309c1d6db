//! `--events`: progress as lines of JSON, beside what people see.

use super::exit::Failure;
use crate::run::{Progress, ProgressSink, Tally, event_line, first_line};
use anyhow::Context as _;
use jiff::Timestamp;
use std::io::Write;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

/// Several that hear of the same.
pub(super) struct Several(pub(super) Vec<Box<dyn ProgressSink>>);

impl ProgressSink for Several {
    fn progress(&mut self, event: &Progress<'_>, tally: &Tally) {
        for sink in &mut self.0 {
            sink.progress(event, tally);
        }
    }
}

/// Writes lines by a thread of its own: the run does not wait for whoever reads them.
pub(super) struct EventLines {
    lines: Option<Sender<String>>,
    thread: Option<JoinHandle<()>>,
}

impl EventLines {
    /// Lines of this run, to a file or, by `-`, to standard output.
    pub(super) fn open(to: &Path, run_id: &str) -> Result<Self, Failure> {
        let mut out: Box<dyn Write + Send> = match to.to_str() {
            Some("-") => Box::new(std::io::stdout()),
            _ => Box::new(fs_err::File::create(to).map_err(Failure::input)?),
        };
        let (lines, received) = channel::<String>();
        let write = move || {
            for line in received {
                // That nobody reads any more is no trouble of the run.
                if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("events".to_owned()).spawn(write);
        let thread = thread.context("cannot start a thread").map_err(Failure::broken)?;
        let _ = lines.send(first_line(run_id, Timestamp::now()));
        Ok(Self { lines: Some(lines), thread: Some(thread) })
    }
}

impl ProgressSink for EventLines {
    fn progress(&mut self, event: &Progress<'_>, tally: &Tally) {
        if let Some(lines) = &self.lines {
            let _ = lines.send(event_line(event, tally, Timestamp::now()));
        }
    }
}

impl Drop for EventLines {
    fn drop(&mut self) {
        self.lines = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Tells the log what happens.
pub(super) struct Logged;

impl ProgressSink for Logged {
    fn progress(&mut self, event: &Progress<'_>, tally: &Tally) {
        match event {
            Progress::Tick => {}
            Progress::Done { key, kind, why, took, known } => tracing::debug!(
                prediction = %key, verdict = kind.name(), why, seconds = took.as_secs_f64(),
                known_from = known.map(|known| known.run_id.as_str()), "done"
            ),
            Progress::Started { key, round } => {
                tracing::debug!(prediction = %key, round, running = tally.running, "started");
            }
            Progress::Retrying { key, cause, after } => tracing::debug!(
                prediction = %key, reason = cause.reason, detail = cause.detail,
                after = after.as_secs_f64(), "trouble, to be tried again"
            ),
            Progress::ImageReady { name, built, took } => {
                tracing::debug!(image = name, built, seconds = took.as_secs_f64(), "image");
            }
            other => tracing::debug!(finished = tally.finished(), total = tally.total, "{other:?}"),
        }
    }
}
