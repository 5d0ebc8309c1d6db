//! Signs that a run's results are not what they seem: what a patch does to the way tests are run
//! and reported, where a log contradicts itself or the facts, and how the runner answered when its
//! answer was known beforehand.
//!
//! The patch's own code runs inside the tests, so tampering can be detected, not prevented, and a
//! careful forger leaves no sign. Which sign means what, and why, is in `docs/integrity.md`.

pub(crate) mod change;
mod log;
mod patch;
mod source;
mod summary;

#[cfg(test)]
mod tests;

pub use patch::without_runner_files;

use super::{Graded, Policy};
use crate::model::{Instance, Probes, Section, Verdict};
use serde::{Deserialize, Serialize};

/// How far results can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// No sign was found, or only such as say nothing against the results.
    Clean,
    /// The patch could have changed how its tests are run or reported, or the log is odd.
    Suspicious,
    /// No honest patch does this, or no honest run prints it.
    Forged,
}

impl Trust {
    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Suspicious => "suspicious",
            Self::Forged => "forged",
        }
    }
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

/// What a run left of a prediction, as far as signs may be in it.
#[derive(Clone, Copy)]
pub struct Traces<'a> {
    /// `model_patch`.
    pub patch: &'a str,
    /// The log of the tests.
    pub log: &'a [u8],
    /// Where the tests stand in it, if they were reached.
    pub section: Option<&'a Section>,
    /// What was tried beside the official run.
    pub probes: &'a Probes,
}

/// Looks for signs in a patch, in the log of its tests, and in what the probes gave. It never
/// changes a verdict by itself.
#[must_use]
pub fn integrity(instance: &Instance, traces: Traces<'_>) -> Integrity {
    let mut found = Findings::default();
    patch::examine(instance, traces.patch, &mut found);
    if let Some(section) = traces.section {
        log::examine(instance, traces.log, section, &mut found);
    }
    probes(traces.probes, &mut found);
    let trust = found.0.iter().map(|sign| sign.trust).max().unwrap_or(Trust::Clean);
    Integrity { trust, signs: found.0 }
}

fn probes(probes: &Probes, found: &mut Findings) {
    if let Some(canary) = &probes.canary {
        for test in &canary.passed_wrongly {
            found.forged("canary_passed", &format!("{test} must fail, and is reported as passed"));
        }
    }
    for path in &probes.changed_tests {
        let (_, name) = path.rsplit_once('/').unwrap_or(("", path));
        // Recorded answers (`x.test.js.snap`) are written by the tests themselves.
        if patch::is_test_name(name) && patch::is_code(name) {
            found.forged("tests_changed_while_they_ran", path);
        }
    }
    if let Some(without) = &probes.without_runner_files
        && !without.resolved
    {
        let files = without.files.join(", ");
        found.forged("resolved_by_runner_files", &format!("not resolved without {files}"));
    }
}

/// What a policy makes of signs: under [`Policy::Strict`] what is forged is not resolved, and a
/// note says so.
pub fn enforce(policy: Policy, integrity: &Integrity, graded: &mut Graded) {
    if policy != Policy::Strict || integrity.trust != Trust::Forged {
        return;
    }
    if let Verdict::Resolved { tests } = &graded.verdict {
        let tests = tests.clone();
        graded.verdict = Verdict::Unresolved { tests };
        let signs = integrity.signs.iter().filter(|sign| sign.trust == Trust::Forged);
        let mut reasons: Vec<&str> = signs.map(|sign| sign.reason.as_str()).collect();
        reasons.dedup();
        graded.notes.push(format!(
            "forged, and so not resolved whatever the tests say: {}",
            reasons.join(", ")
        ));
    }
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

    /// Worth telling, and no ground for doubt.
    fn harmless(&mut self, reason: &str, evidence: &str) {
        self.add(Trust::Clean, reason, evidence);
    }

    fn suspicious(&mut self, reason: &str, evidence: &str) {
        self.add(Trust::Suspicious, reason, evidence);
    }

    fn forged(&mut self, reason: &str, evidence: &str) {
        self.add(Trust::Forged, reason, evidence);
    }
}
