//! Runs judged anew from their logs, without a sandbox: our own, and directories in the layout of
//! the incumbent, of any model.

mod account;
mod find;

#[cfg(test)]
mod tests;

pub use account::{Account, account};
pub use find::{Found, Logged, find};

use crate::grade::{self, Graded, Policy, Tier, Traces, evidence, infra_signature};
use crate::journal::{Evaluated, InfraSign, JournalError};
use crate::model::{
    Evaluation, InfraCause, Instance, InstanceId, KilledBy, LimitsHit, Outcome, Probes, Section,
    Status, Usage, Verdict,
};
use rayon::prelude::*;
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;

/// Why a run cannot be judged anew.
#[derive(Debug, thiserror::Error)]
pub enum RegradeError {
    /// A file or directory cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The run's journal is damaged.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// There is no evaluation.
    #[error("{} holds no evaluation of an instance of the task list", .0.display())]
    Nothing(PathBuf),
}

/// Judges all that was found, in parallel, each by the log that it left; the order stays. What
/// cannot be read is trouble of our own.
#[must_use]
pub fn regrade(
    found: &[Found],
    instances: &HashMap<&InstanceId, &Instance>,
    policy: Policy,
) -> Vec<Evaluated> {
    found
        .par_iter()
        .map(|one| match instances.get(&one.key.instance_id) {
            Some(instance) => judge(one, instance, policy),
            None => infra(one, "instance_unknown", "the task list has no such instance"),
        })
        .collect()
}

fn judge(found: &Found, instance: &Instance, policy: Policy) -> Evaluated {
    let (log, instance_log) = match found.logs() {
        Ok(logs) => logs,
        Err(error) => return infra(found, "log_unreadable", &error.to_string()),
    };
    let evaluation = match &found.logged {
        Logged::Ours(evaluation) => ours(evaluation, instance, log.as_deref(), policy),
        Logged::Foreign { empty: true } => plain(Verdict::EmptyPatch, None, Vec::new()),
        Logged::Foreign { empty: false } => {
            let logs = (log.as_deref(), instance_log.as_slice());
            foreign(instance, logs, found.place.is_file(), policy)
        }
    };
    let log = log.unwrap_or_default();
    let mut evaluated = evaluated(found, evaluation);
    let patch = found.patch();
    trust(&mut evaluated, (instance, &patch, policy), &log);
    look(&mut evaluated, &log, &instance_log);
    evaluated
}

/// Whether the results can be trusted, and what the policy makes of it: the patch was applied, so
/// that its own code may have had a hand in them.
pub(crate) fn trust(
    evaluated: &mut Evaluated,
    (instance, patch, policy): (&Instance, &str, Policy),
    log: &[u8],
) {
    let evaluation = &mut evaluated.evaluation;
    let ran = !matches!(evaluation.verdict, Verdict::EmptyPatch | Verdict::Infra { .. });
    if !ran || policy == Policy::Official {
        return;
    }
    let (section, probes) = (evaluation.section.as_ref(), &evaluation.probes);
    let integrity = grade::integrity(instance, Traces { patch, log, section, probes });
    let mut graded = Graded {
        verdict: evaluation.verdict.clone(),
        notes: std::mem::take(&mut evaluation.notes),
    };
    grade::enforce(policy, &integrity, &mut graded);
    (evaluation.verdict, evaluation.notes) = (graded.verdict, graded.notes);
    evaluated.integrity = Some(integrity);
}

/// The signs and the evidence that logs hold, for a verdict that is not the best.
pub(crate) fn look(evaluated: &mut Evaluated, log: &[u8], instance_log: &[u8]) {
    let verdict = &evaluated.evaluation.verdict;
    if matches!(verdict, Verdict::Resolved { .. } | Verdict::EmptyPatch) {
        return;
    }
    if matches!(verdict, Verdict::LogUnusable { .. }) {
        evaluated.log_sign = sign(log, b"");
    }
    evaluated.sign = sign(log, instance_log);
    evaluated.evidence = evidence(&evaluated.evaluation, log, instance_log);
}

fn sign(log: &[u8], instance_log: &[u8]) -> Option<InfraSign> {
    let signature = infra_signature(log, instance_log)?;
    let ambiguous = signature.tier == Tier::Ambiguous;
    Some(InfraSign { reason: signature.reason.to_owned(), ambiguous })
}

/// Where the section and the tests' end are known from the run, only a log that was judged is judged
/// anew: how a patch went in, or what stopped the tests, is no matter of text.
fn ours(
    before: &Evaluation,
    instance: &Instance,
    log: Option<&[u8]>,
    policy: Policy,
) -> Evaluation {
    let judged = matches!(
        before.verdict,
        Verdict::Resolved { .. } | Verdict::Unresolved { .. } | Verdict::LogUnusable { .. }
    );
    let (Some(section), Some(log), true) = (&before.section, log, judged) else {
        return before.clone();
    };
    let graded = grade::grade_by(policy, instance, log, section);
    let (Section::Supervised { outcome, .. } | Section::TextOnly { outcome }) = section;
    let mut notes = graded.notes;
    let verdict = grade::stopped_by_a_limit(graded.verdict, *outcome, &mut notes);
    Evaluation { verdict, notes, ..before.clone() }
}

/// By text alone; no more is known of a run of another harness.
fn foreign(
    instance: &Instance,
    (log, instance_log): (Option<&[u8]>, &[u8]),
    alone: bool,
    policy: Policy,
) -> Evaluation {
    let has = |text: &[u8], needle: &str| memchr::memmem::find(text, needle.as_bytes()).is_some();
    let Some(log) = log else {
        if has(instance_log, ">>>>> Patch Apply Failed") {
            return plain(Verdict::PatchRejected, None, Vec::new());
        }
        let detail = "there is no log of the tests".to_owned();
        let cause = InfraCause { reason: "test_log_missing".to_owned(), detail };
        return plain(Verdict::Infra { cause }, None, Vec::new());
    };
    let status = if timed_out(log) { Status::Killed(KilledBy::TimedOut) } else { Status::Code(0) };
    let outcome = Outcome { status, limits_hit: LimitsHit::default(), usage: Usage::default() };
    let section = Section::TextOnly { outcome };
    // A log that stands alone is of a harness before the markers, whatever it tells.
    let older = grade::is_older(log) || alone && !has(log, grade::script::START);
    let graded = if older {
        grade::older(policy, instance, log)
    } else {
        grade::grade_by(policy, instance, log, &section)
    };
    plain(graded.verdict, Some(section), graded.notes)
}

/// The incumbent's last line in a log of tests that took too long.
fn timed_out(log: &[u8]) -> bool {
    let tail = &log[log.len().saturating_sub(200)..];
    let tail = String::from_utf8_lossy(tail);
    let last = tail.trim_end().lines().next_back().unwrap_or_default();
    last.starts_with("Timeout error: ") && last.ends_with(" seconds exceeded.")
}

fn plain(verdict: Verdict, section: Option<Section>, notes: Vec<String>) -> Evaluation {
    Evaluation {
        verdict,
        section,
        applied_by: None,
        phases: Vec::new(),
        usage: Usage::default(),
        disk: None,
        probes: Probes::default(),
        notes,
    }
}

fn infra(found: &Found, reason: &str, detail: &str) -> Evaluated {
    let cause = InfraCause { reason: reason.to_owned(), detail: detail.to_owned() };
    evaluated(found, plain(Verdict::Infra { cause }, None, Vec::new()))
}

fn evaluated(found: &Found, evaluation: Evaluation) -> Evaluated {
    Evaluated::new(found.key.clone(), 1, evaluation)
}
