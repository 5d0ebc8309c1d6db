//! Signs that a run's results are not what they seem: what a patch does to the way tests are run
//! and reported, and where a log contradicts itself or the facts.
//!
//! The patch's own code runs inside the tests, so tampering can be detected, not prevented, and a
//! careful forger leaves no sign. Which sign means what, and why, is in `docs/grading.md`.

mod log;
mod patch;

#[cfg(test)]
mod tests;

use crate::model::{Instance, Section};
use serde::{Deserialize, Serialize};

/// How far results can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// No sign was found.
    Clean,
    /// The patch could have changed how its tests are run or reported, or the log is odd.
    Suspicious,
    /// The log holds what no honest run prints.
    Forged,
}

/// One sign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sign {
    /// A short stable word.
    pub reason: String,
    /// What it makes of the results by itself.
    pub trust: Trust,
    /// The file, or the line of the log, that shows it.
    pub evidence: String,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Integrity {
    /// The worst of the signs.
    pub trust: Trust,
    /// At most [`MAX_SIGNS`] of each reason, in the order in which they were found.
    pub signs: Vec<Sign>,
}

/// Signs of one reason beyond these are left out.
pub const MAX_SIGNS: usize = 3;

/// Looks for signs in a patch and in the log of its tests. It never changes a verdict by itself.
#[must_use]
pub fn integrity(
    instance: &Instance,
    prediction_patch: &str,
    log: &[u8],
    section: &Section,
) -> Integrity {
    let mut found = Findings::default();
    patch::examine(instance, prediction_patch, &mut found);
    log::examine(instance, log, section, &mut found);
    let trust = found.0.iter().map(|sign| sign.trust).max().unwrap_or(Trust::Clean);
    Integrity { trust, signs: found.0 }
}

/// Signs so far.
#[derive(Default)]
struct Findings(Vec<Sign>);

impl Findings {
    fn add(&mut self, trust: Trust, reason: &str, evidence: &str) {
        if self.0.iter().filter(|sign| sign.reason == reason).count() < MAX_SIGNS {
            let evidence = evidence.chars().take(300).collect();
            self.0.push(Sign { reason: reason.to_owned(), trust, evidence });
        }
    }

    fn suspicious(&mut self, reason: &str, evidence: &str) {
        self.add(Trust::Suspicious, reason, evidence);
    }

    fn forged(&mut self, reason: &str, evidence: &str) {
        self.add(Trust::Forged, reason, evidence);
    }
}
