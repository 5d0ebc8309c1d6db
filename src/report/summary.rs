//! The report of one model in the incumbent's form, schema version 2: the same keys in the same
//! order, sorted lists, indent of four.
//!
//! What its words mean here: *completed* has a `report.json`; *error* has a patch and none (it did
//! not apply, its tests were stopped, trouble of our own, or it has not run yet); *incomplete* has
//! no prediction. Infra and ambiguous ids are advice and stay in unresolved or error as well.

use super::python_json;
use crate::journal::{Done, Evaluated, RunState, reported};
use crate::model::{Verdict, VerdictKind};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// The report of a model. The order of the fields is the order of the keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are the incumbent's; the module says what they mean")]
pub struct Summary {
    pub total_instances: usize,
    pub submitted_instances: usize,
    pub completed_instances: usize,
    pub resolved_instances: usize,
    pub unresolved_instances: usize,
    pub infra_failure_instances: usize,
    pub ambiguous_failure_instances: usize,
    pub empty_patch_instances: usize,
    pub error_instances: usize,
    pub completed_ids: BTreeSet<String>,
    pub incomplete_ids: BTreeSet<String>,
    pub empty_patch_ids: BTreeSet<String>,
    pub submitted_ids: BTreeSet<String>,
    pub resolved_ids: BTreeSet<String>,
    pub unresolved_ids: BTreeSet<String>,
    pub infra_failure_ids: BTreeSet<String>,
    pub ambiguous_failure_ids: BTreeSet<String>,
    pub failure_reasons: BTreeMap<String, String>,
    pub error_ids: BTreeSet<String>,
    pub schema_version: u32,
    pub unstopped_instances: usize,
    pub unstopped_containers: BTreeSet<String>,
    pub unremoved_images: BTreeSet<String>,
}

/// Where a prediction stands, as far as the report of its model goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing<'a> {
    /// The instance.
    pub id: &'a str,
    /// There is nothing to apply.
    pub empty: bool,
    /// Its verdict, if it has one.
    pub kind: Option<VerdictKind>,
    /// Whether the verdict has a `report.json`.
    pub reported: bool,
    /// Why the environment may be at fault, and whether the patch may be as well.
    pub reason: Option<(String, bool)>,
}

impl<'a> Standing<'a> {
    /// Of a verdict that was just given.
    #[must_use]
    pub fn of(evaluated: &'a Evaluated) -> Self {
        let verdict = &evaluated.evaluation.verdict;
        let known = match verdict {
            Verdict::Infra { cause } => Some((cause.reason.clone(), false)),
            Verdict::Resolved { .. } => None,
            _ => evaluated.sign.as_ref().map(|sign| (sign.reason.clone(), sign.ambiguous)),
        };
        Self {
            id: evaluated.key.instance_id.as_str(),
            empty: *verdict == Verdict::EmptyPatch,
            kind: Some(verdict.kind()),
            reported: reported(verdict),
            reason: known,
        }
    }
}

/// The report of a model on its first attempts.
#[must_use]
pub fn summary(state: &RunState, model: &str) -> Summary {
    let selected = state.header.instances.iter().map(|instance| instance.id.as_str()).collect();
    let first = |key: &crate::model::PredictionKey| &*key.model == model && key.attempt == 1;
    let predictions = state.predictions().filter(|(facts, _)| first(&facts.key));
    let standings = predictions.map(|(facts, status)| {
        let done = status.done();
        Standing {
            id: facts.key.instance_id.as_str(),
            empty: facts.empty,
            kind: done.map(|done| done.kind),
            reported: done.is_some_and(|done| done.reported),
            reason: done.and_then(reason),
        }
    });
    summary_of(selected, standings)
}

/// The report of a model, of these instances, given where each of its predictions stands.
pub fn summary_of<'a>(
    mut selected: BTreeSet<&'a str>,
    standings: impl Iterator<Item = Standing<'a>>,
) -> Summary {
    let mut sums = Summary { schema_version: 2, ..Summary::default() };
    sums.total_instances = selected.len();
    for standing in standings {
        sums.submitted_ids.insert(standing.id.to_owned());
        if selected.remove(standing.id) {
            if standing.empty {
                sums.empty_patch_ids.insert(standing.id.to_owned());
            } else {
                sums.add(standing);
            }
        }
    }
    sums.incomplete_ids = selected.into_iter().map(str::to_owned).collect();
    sums.count();
    sums
}

impl Summary {
    /// The text of the file.
    #[must_use]
    pub fn to_text(&self) -> String {
        python_json::to_text(self) + "\n"
    }

    fn add(&mut self, standing: Standing<'_>) {
        let id = standing.id;
        let ids = if standing.reported {
            self.completed_ids.insert(id.to_owned());
            if standing.kind == Some(VerdictKind::Resolved) {
                &mut self.resolved_ids
            } else {
                &mut self.unresolved_ids
            }
        } else {
            &mut self.error_ids
        };
        ids.insert(id.to_owned());
        if let Some((reason, ambiguous)) = standing.reason {
            self.failure_reasons.insert(id.to_owned(), reason);
            let ids = if ambiguous {
                &mut self.ambiguous_failure_ids
            } else {
                &mut self.infra_failure_ids
            };
            ids.insert(id.to_owned());
        }
    }

    fn count(&mut self) {
        self.submitted_instances = self.submitted_ids.len();
        self.completed_instances = self.completed_ids.len();
        self.resolved_instances = self.resolved_ids.len();
        self.unresolved_instances = self.unresolved_ids.len();
        self.infra_failure_instances = self.infra_failure_ids.len();
        self.ambiguous_failure_instances = self.ambiguous_failure_ids.len();
        self.empty_patch_instances = self.empty_patch_ids.len();
        self.error_instances = self.error_ids.len();
    }
}

/// What is known of our own trouble goes before what a log merely suggests.
fn reason(done: &Done) -> Option<(String, bool)> {
    if done.kind == VerdictKind::Resolved {
        return None;
    }
    let known = done.cause.as_ref().map(|cause| (cause.reason.clone(), false));
    known.or_else(|| done.sign.as_ref().map(|sign| (sign.reason.clone(), sign.ambiguous)))
}
