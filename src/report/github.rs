//! A run for GitHub Actions: the step's summary, and annotations as workflow commands.

use super::analysis::{Analysis, ModelFigures};
use super::markdown::{markdown, percent, range};
use super::plain::printable;
use super::record::{Entry, Record};
use super::{Report, RunDir};
use crate::grade::Trust;
use crate::model::VerdictKind;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// A step may have no more annotations of one kind.
const ANNOTATIONS: usize = 10;

/// A step's summary may have no more bytes.
const SUMMARY_BYTES: usize = 1 << 20;

/// The step's summary, cut where GitHub would refuse it.
#[must_use]
pub fn github_summary(record: &Record, validated: Option<&BTreeSet<String>>) -> String {
    let mut text = markdown(record, validated);
    if text.len() > SUMMARY_BYTES {
        // Cut at the end of a line, which is no part of a longer character.
        let kept = &text.as_bytes()[..SUMMARY_BYTES - 100];
        text.truncate(memchr::memrchr(b'\n', kept).unwrap_or(0));
        text.push_str("\n\n… cut: a step's summary takes 1 MiB\n");
    }
    text
}

/// Workflow commands, one a line: a notice for each model, errors for trouble of our own and for
/// forged results, warnings for what is flaky or suspicious. Unresolved instances are no error. The
/// files are those of the run.
#[must_use]
pub fn github_annotations(record: &Record, dir: &RunDir) -> String {
    let mut text = String::new();
    for model in Analysis::of(record).models.iter().take(ANNOTATIONS) {
        let title = format!("evalrun: {}", model.model);
        let _ = writeln!(text, "::notice title={}::{}", property(&title), data(&headline(model)));
    }
    let entries = record.entries();
    let mut left = [ANNOTATIONS; 2];
    for entry in &entries {
        let Some((level, what)) = trouble(entry) else { continue };
        let (place, command) = if level { (0, "error") } else { (1, "warning") };
        if left[place] == 0 {
            continue;
        }
        left[place] -= 1;
        let file = dir.prediction(entry.key).join("run_instance.log");
        let _ = writeln!(
            text,
            "::{command} file={},title={}::{}",
            property(&file.to_string_lossy()),
            property(&entry.key.to_string()),
            data(&what)
        );
    }
    if !Report::of(&record.state).complete {
        text.push_str("::warning title=evalrun::the run is not complete\n");
    }
    text
}

fn headline(model: &ModelFigures) -> String {
    format!(
        "resolved {} of {}: {} (95 % interval {})",
        model.resolved,
        model.instances,
        percent(model.share),
        range(model.interval)
    )
}

/// Whether it is an error, and what to say of it.
fn trouble(entry: &Entry<'_>) -> Option<(bool, String)> {
    let done = entry.done?;
    if let Some(cause) = &done.cause {
        return Some((true, format!("infra: {}: {}", cause.reason, cause.detail)));
    }
    let doubts = done.doubts.join(", ");
    match done.trust {
        Some(Trust::Forged) => return Some((true, format!("forged: {doubts}"))),
        Some(Trust::Suspicious) if done.kind == VerdictKind::Resolved => {
            return Some((false, format!("resolved, and suspicious: {doubts}")));
        }
        _ => {}
    }
    done.flaky.then(|| (false, "flaky: what failed passed when it ran again".to_owned()))
}

/// The text of a command, by the rules of the runner.
fn data(text: &str) -> String {
    let lines: Vec<String> = text.trim_end().split('\n').map(printable).collect();
    lines.join("\n").replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The value of a property, likewise.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
