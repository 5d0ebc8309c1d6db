//! Whose verdict is asked for, and the holes of the official rules by name.

use super::{Graded, grade, official, reading};
use crate::model::{EvalType, Instance, KilledBy, Outcome, Section, Status, Verdict};
use serde::{Deserialize, Serialize};

/// Whose verdict is asked for.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// The incumbent's, by the text of the log, its holes included; each hole that a resolved
    /// verdict went through is named in the notes.
    Official,
    /// The incumbent's for honest logs; no text moves it.
    #[default]
    Report,
    /// The same, and what is forged is not resolved.
    Strict,
}

/// Judges the log of a prediction whose tests were reached, by this policy. What a strict policy
/// makes of signs of forging is [`super::enforce`]'s.
#[must_use]
pub fn grade_by(policy: Policy, instance: &Instance, log: &[u8], section: &Section) -> Graded {
    if policy != Policy::Official {
        return grade(instance, log, section);
    }
    let (Section::Supervised { outcome, .. } | Section::TextOnly { outcome }) = section;
    match outcome.status {
        // The incumbent writes no report of tests that it had to end.
        Status::Killed(KilledBy::TimedOut | KilledBy::Cancelled) => stopped(outcome),
        _ => official(instance, log),
    }
}

fn stopped(outcome: &Outcome) -> Graded {
    Graded { verdict: Verdict::TestsStopped { outcome: *outcome }, notes: Vec::new() }
}

/// How the results were come by.
pub(super) struct Route {
    /// The section held no result, so that the whole log was read.
    pub(super) outside: bool,
    /// No result was read at all.
    pub(super) nothing: bool,
}

/// The holes of the official rules that this log may have gone through, one sentence each.
pub(super) fn holes(instance: &Instance, text: &str, route: &Route) -> Vec<String> {
    let marks = reading::marks(text);
    let statuses = reading::recorded_statuses(text);
    let differ = statuses.windows(2).any(|pair| pair[0] != pair[1]);
    let failed = statuses.first().is_some_and(|status| *status != 0);
    let found = [
        (!reading::ends_after_start(text), "the end of the tests stands before their start only"),
        (marks.starts > 1, "the tests are said to start more than once; the section ends there"),
        (marks.ends > 1, "the tests are said to end more than once; the first end counts"),
        (route.outside && !route.nothing, "the results stand outside of the test section"),
        (differ, "several exit statuses are recorded; the first counts"),
        (statuses.is_empty(), "no exit status is recorded, so none was compared"),
        (
            route.nothing && failed && instance.eval_type == EvalType::FailOnly,
            "no result was read and the exit status tells of a failure",
        ),
    ];
    let named = found.into_iter().filter(|(hole, _)| *hole);
    named.map(|(_, what)| format!("a hole of the official rules: {what}")).collect()
}
