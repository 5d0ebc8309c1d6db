//! From what a run left behind to a verdict: log parsers, the official rules, signs of trouble.
//!
//! Two graders share the parsers. [`official`] gives the incumbent's verdict from the text of a
//! log, holes included. [`grade`] knows where the test section is and how it ended from the
//! supervisor, and gives the incumbent's verdict for honest logs alone; `docs/grading.md` lists
//! every difference.

mod canary;
mod excerpt;
mod infra;
mod integrity;
mod older;
mod parsers;
mod policy;
mod reading;
mod rules;
pub mod script;
mod select;
mod text;

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::instance as tests_instance;

pub use canary::{CanaryPlan, judge_canary, plan_canary, test_files};
pub use excerpt::{excerpt, log_end, short_line};
pub use infra::{Evidence, InfraSignature, Tier, Witness, evidence, infra_signature};
pub use integrity::{
    Integrity, MAX_SIGNS, Sign, Traces, Trust, enforce, integrity, without_runner_files,
};
pub use older::{is_older, older};
pub use parsers::{
    Parsed, StatusMap, Subject, is_parser, parse, parser_names, pattern_problem, result_file,
};
pub use policy::{Policy, grade_by};
pub use select::select_tests;
pub use text::decode;

use crate::model::{
    EvalType, Instance, LimitsHit, LogProblem, Outcome, Section, Status, TestStatus, Verdict,
};
use policy::Route;
use rules::Reading;

/// A verdict, and what its reader should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graded {
    /// What we conclude.
    pub verdict: Verdict,
    /// Remarks for people, one sentence each.
    pub notes: Vec<String>,
}

/// Judges the log of a prediction whose tests were reached.
///
/// With a supervised section nothing counts but the section's own bytes and the tests' exit
/// status as the supervisor saw it; markers in the text are ignored. Without one the official
/// text rules hold, and a note says so.
#[must_use]
pub fn grade(instance: &Instance, log: &[u8], section: &Section) -> Graded {
    let (Section::Supervised { outcome, .. } | Section::TextOnly { outcome }) = section;
    let mut notes = limit_notes(&outcome.limits_hit);
    let verdict = match (outcome.status, section) {
        (Status::Killed(_), _) => Verdict::TestsStopped { outcome: *outcome },
        (Status::Signal(_), _) if outcome.limits_hit.memory => {
            Verdict::TestsStopped { outcome: *outcome }
        }
        (_, Section::Supervised { start, end, outcome }) => {
            let section = Bounds::new(log, *start, *end);
            supervised(instance, log, &section, outcome, &mut notes)
        }
        (_, Section::TextOnly { .. }) => text_only(instance, log, &mut notes),
    };
    Graded { verdict, notes }
}

/// A log that cannot be judged because the sandbox met one of its limits is the program's doing,
/// and says so; results that could be judged stand, with a note.
#[must_use]
pub fn stopped_by_a_limit(verdict: Verdict, outcome: Outcome, notes: &mut Vec<String>) -> Verdict {
    let hit = outcome.limits_hit;
    let limits = [(hit.memory, "memory"), (hit.pids, "processes"), (hit.disk, "disk")];
    let met: Vec<&str> = limits.iter().filter(|limit| limit.0).map(|limit| limit.1).collect();
    if met.is_empty() {
        return verdict;
    }
    notes.push(format!("the sandbox met its limit of {}", met.join(", ")));
    match verdict {
        Verdict::LogUnusable { .. } => Verdict::TestsStopped { outcome },
        other => other,
    }
}

/// The incumbent's verdict on a log, by its text alone. What only this reading resolves is named
/// in the notes.
#[must_use]
pub fn official(instance: &Instance, log: &[u8]) -> Graded {
    let mut notes = Vec::new();
    let text = decode(log);
    let verdict = match official_results(instance, &text) {
        Ok((seen, route)) => {
            let verdict = conclude(instance, &seen, Reading::Official, &mut notes);
            if matches!(verdict, Verdict::Resolved { .. }) {
                notes.extend(policy::holes(instance, &text, &route));
            }
            verdict
        }
        Err(why) => Verdict::LogUnusable { why },
    };
    Graded { verdict, notes }
}

/// The results that the incumbent grades, or why it grades none.
fn official_results(instance: &Instance, text: &str) -> Result<(StatusMap, Route), LogProblem> {
    if let Some(marker) = reading::bad_marker(text) {
        return Err(LogProblem::BadMarker { marker: marker.to_owned() });
    }
    let mut seen = reading::read(instance, reading::marked_section(text)?)?;
    let outside = seen.is_empty();
    if outside {
        // Some runners' results stand outside the markers.
        seen = reading::read(instance, text)?;
    }
    if seen.is_empty() && !reading::shows_that_tests_ran(text) {
        return Err(LogProblem::NoResults);
    }
    check_status(reading::recorded_status(text), &seen)?;
    let route = Route { outside, nothing: seen.is_empty() };
    Ok((seen, route))
}

/// A failed exit status beside results without a failure: the results are not those of the run.
fn check_status(status: Option<i32>, seen: &StatusMap) -> Result<(), LogProblem> {
    match status {
        Some(status) if status != 0 && !seen.is_empty() && !rules::shows_failure(seen) => {
            Err(LogProblem::ExitStatusContradicts { status })
        }
        _ => Ok(()),
    }
}

fn text_only(instance: &Instance, log: &[u8], notes: &mut Vec<String>) -> Verdict {
    notes.push(
        "the script could not be cut at its markers: the verdict rests on the text of the log \
         alone"
            .to_owned(),
    );
    let text = decode(log);
    let results = official_results(instance, &text).and_then(|(seen, _)| {
        // No honest script ends its tests before it starts them.
        if reading::ends_after_start(&text) { Ok(seen) } else { Err(LogProblem::TestsNotEnded) }
    });
    match results {
        Ok(seen) => conclude(instance, &seen, Reading::Strict, notes),
        Err(why) => Verdict::LogUnusable { why },
    }
}

/// The test section of a log, as the supervisor saw it.
struct Bounds<'l>(&'l [u8]);

impl<'l> Bounds<'l> {
    fn new(log: &'l [u8], start: u64, end: u64) -> Self {
        let at = |offset: u64| usize::try_from(offset).unwrap_or(log.len()).min(log.len());
        Self(log.get(at(start)..at(end)).unwrap_or_default())
    }

    /// The section as the incumbent would have cut it out: it begins with the rest of the start
    /// marker's line and ends with the trace of what records the exit status.
    fn text(&self, instance: &Instance, status: i32) -> String {
        let own = decode(self.0);
        if script::echoes_markers(&instance.eval_script) {
            return format!("\n{own}");
        }
        format!("'\n{own}{}", script::trace_after_tests(status))
    }
}

fn supervised(
    instance: &Instance,
    log: &[u8],
    section: &Bounds<'_>,
    outcome: &Outcome,
    notes: &mut Vec<String>,
) -> Verdict {
    let Status::Code(status) = outcome.status else {
        // The shell itself was killed from inside.
        return Verdict::LogUnusable { why: LogProblem::TestsNotEnded };
    };
    let text = section.text(instance, status);
    if reading::has_marker(&decode(section.0)) {
        notes.push("the tests printed text of a harness's markers; it was ignored".to_owned());
    }
    let results = reading::read(instance, &text).and_then(|seen| {
        if seen.is_empty() {
            return without_results(instance, log, &text, status, notes);
        }
        check_status(Some(status), &seen)?;
        Ok(seen)
    });
    match results {
        Ok(seen) => conclude(instance, &seen, Reading::Strict, notes),
        Err(why) => Verdict::LogUnusable { why },
    }
}

/// What counts where the section holds no result. The incumbent reads the whole log then. Of what
/// stands outside the section only what speaks against the patch counts here, so that an honest
/// log fares as it does there and a forged one cannot pass.
fn without_results(
    instance: &Instance,
    log: &[u8],
    section: &str,
    status: i32,
    notes: &mut Vec<String>,
) -> Result<StatusMap, LogProblem> {
    let whole = decode(log);
    let elsewhere = reading::read(instance, &whole)?;
    let ran = reading::shows_that_tests_ran(section);
    if instance.eval_type == EvalType::FailOnly {
        if !ran {
            return Err(LogProblem::NoResults);
        }
        check_status(Some(status), &elsewhere)?;
        notes.push(
            "no test result was read, only that tests ran; none of the expected tests was seen \
             to fail"
                .to_owned(),
        );
        return Ok(elsewhere.only(|status| *status == TestStatus::Failed));
    }
    if elsewhere.is_empty() && !ran && !reading::shows_that_tests_ran(&whole) {
        return Err(LogProblem::NoResults);
    }
    check_status(Some(status), &elsewhere)?;
    notes.push("the test section holds no result; results elsewhere do not count".to_owned());
    Ok(StatusMap::default())
}

fn conclude(
    instance: &Instance,
    seen: &StatusMap,
    reading: Reading,
    notes: &mut Vec<String>,
) -> Verdict {
    if instance.fail_to_pass.is_empty() && instance.pass_to_pass.is_empty() {
        notes.push(
            "the instance expects no test, so nothing can show that it is resolved".to_owned(),
        );
    }
    let expected = instance.fail_to_pass.iter().chain(&instance.pass_to_pass);
    let unknown: Vec<String> = expected
        .filter_map(|test| match rules::status_of(test, seen)? {
            TestStatus::Other(status) => Some(format!("`{test}` ({status})")),
            _ => None,
        })
        .collect();
    if !unknown.is_empty() {
        let how = match reading {
            Reading::Strict => "counted as failed",
            Reading::Official => "left out of both lists",
        };
        let shown = unknown.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
        notes.push(format!("{} tests with an unknown status were {how}: {shown}", unknown.len()));
    }
    let tests = rules::judge(instance, seen, reading);
    if rules::is_resolved(&tests, reading) {
        Verdict::Resolved { tests }
    } else {
        Verdict::Unresolved { tests }
    }
}

fn limit_notes(limits: &LimitsHit) -> Vec<String> {
    let hit = [
        (limits.memory, "a process was killed because the sandbox was out of memory"),
        (limits.pids, "a process could not be started because the sandbox had all it may have"),
        (limits.disk, "a write failed because the sandbox's disk was full"),
    ];
    hit.into_iter().filter(|(hit, _)| *hit).map(|(_, note)| note.to_owned()).collect()
}
