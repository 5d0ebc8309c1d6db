//! What speaks for trouble of the environment: facts of the kernel and the supervisor, and what the
//! log tells.

use super::{Tier, infra_signature};
use crate::grade::text::{decode, lines};
use crate::model::{Evaluation, KilledBy, Outcome, Section, Status, Verdict};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Witness {
    /// The kernel's counters, or our own machinery: no patch can forge it.
    Kernel,
    /// Text of a log, which a patch can print.
    Log,
}

/// A piece of evidence. It never changes a verdict by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// A short stable word: `sandbox_oom`, `pids_exhausted`, `disk_full`, `output_limit`,
    /// `timed_out`, `timed_out_while_throttled`, `throttled`, `network_refused`, or a cause of our
    /// own, or one of the incumbent's.
    pub reason: String,
    /// How sure it is.
    pub tier: Tier,
    /// Who says so.
    pub witness: Witness,
    /// What was seen, in words.
    pub detail: String,
}

/// Throttled for a larger share of its time than this, a sandbox was starved.
const STARVED_SHARE: f64 = 0.5;

/// Different names that were asked for in vain, told at most.
const NAMES: usize = 5;

/// The evidence of an evaluation that did not end well, the surest first. Facts that are the
/// program's own doing within its limits are ambiguous: another limit might have let it pass.
#[must_use]
pub fn evidence(evaluation: &Evaluation, test_log: &[u8], instance_log: &[u8]) -> Vec<Evidence> {
    let mut found = Vec::new();
    match &evaluation.verdict {
        Verdict::Resolved { .. } | Verdict::EmptyPatch => return found,
        Verdict::Infra { cause } => {
            let detail: String = cause.detail.chars().take(500).collect();
            let tier = Tier::Environment;
            found.push(Evidence {
                reason: cause.reason.clone(),
                tier,
                witness: Witness::Kernel,
                detail,
            });
        }
        _ => {}
    }
    if let Some(outcome) = outcome(evaluation) {
        facts(&outcome, &mut found);
    }
    network(test_log, &mut found);
    if let Some(signature) = infra_signature(test_log, instance_log) {
        found.push(Evidence {
            reason: signature.reason.to_owned(),
            tier: signature.tier,
            witness: Witness::Log,
            detail: "the incumbent's signature stands in a log".to_owned(),
        });
    }
    found.sort_by_key(|evidence| (evidence.witness, evidence.tier == Tier::Ambiguous));
    found
}

fn outcome(evaluation: &Evaluation) -> Option<Outcome> {
    match (&evaluation.verdict, &evaluation.section) {
        (Verdict::TestsStopped { outcome }, _) => Some(*outcome),
        (_, Some(Section::Supervised { outcome, .. } | Section::TextOnly { outcome })) => {
            Some(*outcome)
        }
        _ => None,
    }
}

fn facts(outcome: &Outcome, found: &mut Vec<Evidence>) {
    let mut add = |reason: &str, tier, detail: String| {
        found.push(Evidence { reason: reason.to_owned(), tier, witness: Witness::Kernel, detail });
    };
    let hit = outcome.limits_hit;
    if hit.memory {
        let peak = outcome.usage.peak_memory >> 20;
        let detail = format!("a process was killed for memory; the peak was {peak} MiB");
        add("sandbox_oom", Tier::Ambiguous, detail);
    }
    if hit.pids {
        let detail = "a process could not be started: the sandbox had all it may have".to_owned();
        add("pids_exhausted", Tier::Ambiguous, detail);
    }
    if hit.disk {
        let detail = "a write failed: the sandbox's disk was full".to_owned();
        add("disk_full", Tier::Ambiguous, detail);
    }
    let throttled = share(hit.cpu_throttled, outcome.usage.wall);
    let percent = format!("held back by its CPU limit for {:.0} % of the time", throttled * 100.0);
    match outcome.status {
        Status::Killed(KilledBy::TimedOut) if throttled > STARVED_SHARE => {
            add("timed_out_while_throttled", Tier::Environment, percent);
        }
        Status::Killed(KilledBy::TimedOut) => {
            let detail = format!("after {:.0} s", outcome.usage.wall.as_secs_f64());
            add("timed_out", Tier::Ambiguous, detail);
        }
        Status::Killed(KilledBy::OutputLimit) => {
            let detail = format!("it had written {} bytes", outcome.usage.output_bytes);
            add("output_limit", Tier::Ambiguous, detail);
        }
        _ if throttled > STARVED_SHARE => add("throttled", Tier::Ambiguous, percent),
        _ => {}
    }
}

fn share(part: Duration, whole: Duration) -> f64 {
    if whole.is_zero() { 0.0 } else { part.as_secs_f64() / whole.as_secs_f64() }
}

/// What programs say who could not reach a name or an address, and how to find the name in it.
const REFUSALS: [(&str, &str, &str); 8] = [
    ("Could not resolve host: ", "", ""),
    ("Failed to resolve '", "", "'"),
    ("Temporary failure in name resolution", "host='", "'"),
    ("Name or service not known", "host='", "'"),
    ("getaddrinfo ENOTFOUND ", "", ""),
    ("getaddrinfo EAI_AGAIN ", "", ""),
    ("dial tcp: lookup ", "", " "),
    ("Network is unreachable", "host='", "'"),
];

/// Names that were asked for in vain.
fn network(test_log: &[u8], found: &mut Vec<Evidence>) {
    let text = decode(test_log);
    let mut seen = false;
    let mut names: Vec<&str> = Vec::new();
    for line in lines(&text) {
        for (sign, before, end) in REFUSALS {
            let Some(at) = line.find(sign) else { continue };
            seen = true;
            let start = match before {
                "" => Some(at + sign.len()),
                before => line.find(before).map(|at| at + before.len()),
            };
            let Some(start) = start else { continue };
            let rest = &line[start..];
            let stop = |c: char| c.is_whitespace() || "'\"(),;".contains(c);
            let cut = if end.is_empty() { rest.find(stop) } else { rest.find(end) };
            let name = rest[..cut.unwrap_or(rest.len())].trim_end_matches([':', '.']);
            if !name.is_empty() && name.len() < 256 && !names.contains(&name) {
                names.push(name);
            }
        }
        if names.len() >= NAMES {
            break;
        }
    }
    if seen {
        let detail = match names.is_empty() {
            true => "a name could not be resolved, or an address reached".to_owned(),
            false => format!("asked for in vain: {}", names.join(", ")),
        };
        found.push(Evidence {
            reason: "network_refused".to_owned(),
            tier: Tier::Environment,
            witness: Witness::Log,
            detail,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{InfraCause, LimitsHit, TestsReport, Usage};

    fn evaluation(verdict: Verdict) -> Evaluation {
        Evaluation {
            verdict,
            section: None,
            applied_by: None,
            phases: Vec::new(),
            usage: Usage::default(),
            disk: None,
            probes: Default::default(),
            notes: Vec::new(),
        }
    }

    fn reasons(evaluation: &Evaluation, log: &[u8]) -> Vec<(String, Tier, Witness)> {
        let found = evidence(evaluation, log, b"");
        found.into_iter().map(|one| (one.reason, one.tier, one.witness)).collect()
    }

    #[test]
    fn facts_of_the_kernel_come_before_words_of_the_log() {
        let limits_hit = LimitsHit { memory: true, pids: true, ..LimitsHit::default() };
        let outcome = Outcome { status: Status::Signal(9), limits_hit, usage: Usage::default() };
        let stopped = evaluation(Verdict::TestsStopped { outcome });
        assert_eq!(
            reasons(&stopped, b"Killed\n"),
            [
                ("sandbox_oom".to_owned(), Tier::Ambiguous, Witness::Kernel),
                ("pids_exhausted".to_owned(), Tier::Ambiguous, Witness::Kernel),
                ("out_of_memory".to_owned(), Tier::Environment, Witness::Log),
            ]
        );
        let cause = InfraCause { reason: "image_build_failed".to_owned(), detail: "x".to_owned() };
        let infra = evaluation(Verdict::Infra { cause });
        let expected = ("image_build_failed".to_owned(), Tier::Environment, Witness::Kernel);
        assert_eq!(reasons(&infra, b""), [expected]);
        let resolved = evaluation(Verdict::Resolved { tests: TestsReport::default() });
        assert!(reasons(&resolved, b"Killed\n").is_empty());
    }

    #[test]
    fn a_time_out_while_throttled_is_told_from_another() {
        let wall = Duration::from_secs(100);
        let timed_out = |throttled| {
            let cpu_throttled = Duration::from_secs(throttled);
            let outcome = Outcome {
                status: Status::Killed(KilledBy::TimedOut),
                limits_hit: LimitsHit { cpu_throttled, ..LimitsHit::default() },
                usage: Usage { wall, ..Usage::default() },
            };
            reasons(&evaluation(Verdict::TestsStopped { outcome }), b"")[0].0.clone()
        };
        assert_eq!(timed_out(80), "timed_out_while_throttled");
        assert_eq!(timed_out(10), "timed_out");
    }

    #[test]
    fn names_asked_for_in_vain_are_told() {
        let log = b"curl: (6) Could not resolve host: example.com\n\
            HTTPSConnectionPool(host='pypi.org', port=443): Temporary failure in name resolution\n\
            Error: getaddrinfo ENOTFOUND registry.npmjs.org\n\
            dial tcp: lookup proxy.golang.org on 127.0.0.53:53: server misbehaving\n\
            OSError: [Errno 101] Network is unreachable\n";
        let unresolved = evaluation(Verdict::Unresolved { tests: TestsReport::default() });
        let found = evidence(&unresolved, log, b"");
        let network = found.iter().find(|one| one.reason == "network_refused").unwrap();
        assert_eq!(
            network.detail,
            "asked for in vain: example.com, pypi.org, registry.npmjs.org, proxy.golang.org"
        );
        assert!(found.iter().any(|one| one.reason == "network_unreachable"));
    }
}
