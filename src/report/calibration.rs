//! What this machine makes of the reference solutions, and of no change at all: which instances and
//! tests cannot be relied on here.

use crate::model::{Evaluation, InstanceId, TestsReport, Verdict};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What was learned of instances on this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calibration {
    /// The version of this form.
    pub format: u32,
    /// By instance.
    pub instances: BTreeMap<InstanceId, Calibrated>,
}

/// [`Calibration::format`] of what this program writes.
pub const CALIBRATION: u32 = 1;

/// What was learned of an instance. Runs that say nothing of the program (trouble of our own) do not
/// count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calibrated {
    /// How often the reference solution ran.
    pub gold_runs: usize,
    /// How often it was resolved.
    pub gold_resolved: usize,
    /// How often it ran without any change.
    pub unchanged_runs: usize,
    /// How often that was resolved.
    pub unchanged_resolved: usize,
    /// Expected tests that failed with the reference solution, and how often.
    pub failed_with_gold: BTreeMap<String, usize>,
    /// Tests to be mended that passed without any change, and how often.
    pub passed_unchanged: BTreeMap<String, usize>,
}

impl Calibration {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let read: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        match read.format {
            CALIBRATION => Ok(read),
            other => Err(format!("it has format {other}, this evalrun reads format {CALIBRATION}")),
        }
    }

    /// The text of the file.
    #[must_use]
    pub fn to_text(&self) -> String {
        let text =
            serde_json::to_string_pretty(self).expect("plain values always have a JSON form");
        text + "\n"
    }

    /// Takes in what another one knows; of an instance that both know the newer counts alone.
    pub fn update(&mut self, newer: Self) {
        self.format = CALIBRATION;
        self.instances.extend(newer.instances);
    }

    /// Takes in an evaluation of the reference solution, or of the unchanged program.
    pub fn add(&mut self, id: &InstanceId, is_gold: bool, evaluation: &Evaluation) {
        self.format = CALIBRATION;
        let entry = self.instances.entry(id.clone()).or_default();
        if matches!(evaluation.verdict, Verdict::Infra { .. } | Verdict::EmptyPatch) {
            return;
        }
        let resolved = usize::from(matches!(evaluation.verdict, Verdict::Resolved { .. }));
        let nothing = TestsReport::default();
        let tests = evaluation.verdict.tests().unwrap_or(&nothing);
        let (runs, resolutions, odd): (_, _, Vec<&String>) = match is_gold {
            true => (
                &mut entry.gold_runs,
                &mut entry.gold_resolved,
                tests.fail_to_pass.failure.iter().chain(&tests.pass_to_pass.failure).collect(),
            ),
            false => (
                &mut entry.unchanged_runs,
                &mut entry.unchanged_resolved,
                tests.fail_to_pass.success.iter().collect(),
            ),
        };
        *runs += 1;
        *resolutions += resolved;
        let counts = match is_gold {
            true => &mut entry.failed_with_gold,
            false => &mut entry.passed_unchanged,
        };
        for test in odd {
            *counts.entry(test.clone()).or_default() += 1;
        }
    }

    /// Instances that their reference solution resolves here, each time.
    #[must_use]
    pub fn validated(&self) -> BTreeSet<String> {
        let resolved = self
            .instances
            .iter()
            .filter(|(_, one)| one.gold_runs > 0 && one.gold_resolved == one.gold_runs);
        resolved.map(|(id, _)| id.to_string()).collect()
    }

    /// What a reader of a verdict on this instance should know of it.
    #[must_use]
    pub fn remarks(&self, id: &InstanceId, tests: Option<&TestsReport>) -> Vec<String> {
        let Some(one) = self.instances.get(id) else { return Vec::new() };
        let mut remarks = Vec::new();
        if one.gold_resolved < one.gold_runs {
            remarks.push(format!(
                "unreliable on this machine: its reference solution was resolved {} of {} times",
                one.gold_resolved, one.gold_runs
            ));
        }
        if one.unchanged_resolved > 0 {
            remarks.push(format!(
                "unreliable on this machine: without any change it was resolved {} of {} times",
                one.unchanged_resolved, one.unchanged_runs
            ));
        }
        let failed = tests.map(|tests| {
            tests.fail_to_pass.failure.iter().chain(&tests.pass_to_pass.failure).collect::<Vec<_>>()
        });
        for test in failed.unwrap_or_default() {
            if let Some(times) = one.failed_with_gold.get(test) {
                remarks.push(format!(
                    "{test} failed with the reference solution, too, {times} of {} times",
                    one.gold_runs
                ));
            }
        }
        remarks.truncate(5);
        remarks
    }
}

impl Calibrated {
    /// Whether the reference solution was resolved each time, and the unchanged program never.
    #[must_use]
    pub fn is_reliable(&self) -> bool {
        self.gold_runs > 0 && self.gold_resolved == self.gold_runs && self.unchanged_resolved == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{TestLists, Usage};

    fn evaluation(failed: &[&str], passed: &[&str]) -> Evaluation {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let fail_to_pass = TestLists { success: list(passed), failure: list(failed) };
        let tests = TestsReport { fail_to_pass, ..TestsReport::default() };
        Evaluation {
            verdict: match failed {
                [] => Verdict::Resolved { tests },
                _ => Verdict::Unresolved { tests },
            },
            section: None,
            applied_by: None,
            phases: Vec::new(),
            usage: Usage::default(),
            disk: None,
            probes: Default::default(),
            notes: Vec::new(),
        }
    }

    #[test]
    fn what_varies_with_the_reference_solution_is_told() {
        let id = |text: &str| InstanceId::new(text).unwrap();
        let mut known = Calibration::default();
        known.add(&id("a"), true, &evaluation(&[], &["t"]));
        known.add(&id("a"), true, &evaluation(&["t"], &[]));
        known.add(&id("a"), false, &evaluation(&["t"], &[]));
        known.add(&id("b"), true, &evaluation(&[], &["t"]));
        known.add(&id("b"), false, &evaluation(&["u"], &["t"]));
        assert_eq!(known.validated(), BTreeSet::from(["b".to_owned()]));
        assert!(
            !known.instances[&id("a")].is_reliable() && known.instances[&id("b")].is_reliable()
        );
        assert_eq!(known.instances[&id("b")].passed_unchanged["t"], 1);
        let failed = evaluation(&["t"], &[]);
        let remarks = known.remarks(&id("a"), failed.verdict.tests());
        assert_eq!(remarks.len(), 2, "{remarks:?}");
        assert!(remarks[1].contains("t failed with the reference solution, too, 1 of 2 times"));
        assert!(known.remarks(&id("b"), failed.verdict.tests()).is_empty());
        let again = Calibration::parse(&known.to_text()).unwrap();
        assert_eq!(again, known);
        assert!(Calibration::parse(r#"{"format": 9, "instances": {}}"#).is_err());
    }
}
