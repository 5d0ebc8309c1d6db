//! Logs of harnesses before the markers: what follows the model's patch is the test section.

use super::{Graded, Policy, Reading, conclude, decode, reading};
use crate::model::{Instance, LogProblem, Verdict};

const APPLIED: &str = ">>>>> Applied Patch (pred)";

/// Also makes a log of those harnesses no log of tests.
const NOT_RESET: &str = "Failed to reset task environment";

/// Whether a log is of such a harness: it has no start of tests, and tells that a patch went in or
/// did not.
#[must_use]
pub fn is_older(log: &[u8]) -> bool {
    let has = |needle: &str| memchr::memmem::find(log, needle.as_bytes()).is_some();
    let told = [APPLIED, ">>>>> Patch Apply Failed", ">>>>> Tests Timed Out", NOT_RESET];
    !has(super::script::START) && told.into_iter().any(has)
}

/// The incumbent's verdict on such a log, as swebench 1.x and 2.x gave it: no marker but those, no
/// exit status, and what follows the last application of the model's patch is parsed.
#[must_use]
pub fn older(policy: Policy, instance: &Instance, log: &[u8]) -> Graded {
    let mut notes = vec![
        "a log of a harness before the markers: the verdict rests on its text alone".to_owned(),
    ];
    let reading = match policy {
        Policy::Official => Reading::Official,
        Policy::Report | Policy::Strict => Reading::Strict,
    };
    let text = decode(log);
    let verdict = match results(instance, &text) {
        Ok(seen) => conclude(instance, &seen, reading, &mut notes),
        Err(why) => Verdict::LogUnusable { why },
    };
    Graded { verdict, notes }
}

fn results(instance: &Instance, text: &str) -> Result<super::StatusMap, LogProblem> {
    if let Some(marker) = reading::bad_marker(text) {
        return Err(LogProblem::BadMarker { marker: marker.to_owned() });
    }
    if text.contains(NOT_RESET) {
        return Err(LogProblem::BadMarker { marker: NOT_RESET.to_owned() });
    }
    // What follows the line, or the whole where there is none.
    let behind = memchr::memmem::rfind(text.as_bytes(), APPLIED.as_bytes()).map(|at| {
        let line_end = memchr::memchr(b'\n', &text.as_bytes()[at..]);
        &text[line_end.map_or(text.len(), |end| at + end + 1)..]
    });
    reading::read(instance, behind.unwrap_or(text))
}
