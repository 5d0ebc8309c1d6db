//! What is counted from a run: each model's share with its interval, pass@k, and the same by
//! repository, difficulty, language and cause of failure.

use super::record::{Entry, Record};
use super::statistics::{Interval, Mean, mean, pass_at_k, share, wilson};
use crate::grade::Trust;
use crate::journal::{Done, InstanceFacts, TestCounts};
use crate::model::VerdictKind;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

/// A run, counted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Analysis {
    /// Each model, by name.
    pub models: Vec<ModelFigures>,
    /// First attempts by repository.
    pub by_repository: Vec<Group>,
    /// First attempts by difficulty; empty where the task list says none.
    pub by_difficulty: Vec<Group>,
    /// First attempts by language; empty where no name of a file told one.
    pub by_language: Vec<Group>,
    /// Attempts that are not resolved by cause, each model's count.
    pub causes: Vec<CauseCount>,
}

/// One model's figures.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelFigures {
    /// The model.
    pub model: String,
    /// Selected instances: what shares are shares of. One without a prediction is not resolved.
    pub instances: usize,
    /// Resolved at the first attempt.
    pub resolved: usize,
    /// The share of them.
    pub share: f64,
    /// Its interval (Wilson).
    pub interval: Interval,
    /// Attempts of an instance at most.
    pub attempts: usize,
    /// pass@1, pass@2, … up to that.
    pub pass_at: Vec<Mean>,
    /// Attempts that have their verdict.
    pub done: usize,
    /// Attempts that are waiting for it.
    pub open: usize,
    /// Attempts with trouble of our own for a verdict.
    pub infra: usize,
    /// Attempts that were not resolved, and whose failed tests passed when they ran again.
    pub flaky: usize,
    /// Attempts that are resolved and suspicious.
    pub suspicious: usize,
    /// Attempts whose results are forged.
    pub forged: usize,
    /// Attempts whose verdict was known from another run.
    pub known: usize,
    /// Wall time of all sandboxes.
    pub sandbox_time: Duration,
    /// CPU time in all sandboxes.
    pub cpu_time: Duration,
    /// The largest peak of a sandbox, in bytes.
    pub peak_memory: u64,
}

/// Instances that have something in common.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Group {
    /// What.
    pub name: String,
    /// How many there are.
    pub instances: usize,
    /// How many each model resolves at the first attempt, in the order of the models.
    pub resolved: Vec<usize>,
}

/// A cause of failure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CauseCount {
    /// In a few words.
    pub cause: String,
    /// Attempts that failed so, of each model.
    pub attempts: Vec<usize>,
}

impl Analysis {
    /// Counts a run.
    #[must_use]
    pub fn of(record: &Record) -> Self {
        let entries = record.entries();
        let models: BTreeSet<&str> = entries.iter().map(|entry| &*entry.key.model).collect();
        let models: Vec<&str> = models.into_iter().collect();
        let instances = &record.state.header.instances;
        let figures = models
            .iter()
            .map(|model| {
                let own = entries.iter().filter(|entry| &*entry.key.model == *model);
                ModelFigures::of(model, instances.len(), &own.copied().collect::<Vec<_>>())
            })
            .collect();
        let resolved: HashMap<(&str, &str), ()> = entries
            .iter()
            .filter(|entry| entry.key.attempt == 1 && entry.resolved())
            .map(|entry| ((&*entry.key.model, entry.key.instance_id.as_str()), ()))
            .collect();
        let by = |name: &dyn Fn(&InstanceFacts) -> Option<String>| {
            groups(instances, &models, &resolved, name)
        };
        let known = |groups: Vec<Group>| {
            if groups.len() == 1 && groups[0].name == UNKNOWN { Vec::new() } else { groups }
        };
        Self {
            by_repository: by(&|one| Some(one.repo.to_string())),
            by_difficulty: known(by(&|one| one.difficulty.as_deref().map(str::to_owned))),
            by_language: known(by(&|one| one.language.as_deref().map(str::to_owned))),
            causes: causes(&entries, &models),
            models: figures,
        }
    }

    /// Whether a model has several attempts of an instance.
    #[must_use]
    pub fn has_attempts(&self) -> bool {
        self.models.iter().any(|model| model.attempts > 1)
    }
}

/// What no row says.
const UNKNOWN: &str = "not known";

fn groups(
    instances: &[InstanceFacts],
    models: &[&str],
    resolved: &HashMap<(&str, &str), ()>,
    name: &dyn Fn(&InstanceFacts) -> Option<String>,
) -> Vec<Group> {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for one in instances {
        let name = name(one).unwrap_or_else(|| UNKNOWN.to_owned());
        let group = groups.entry(name.clone()).or_insert_with(|| Group {
            name,
            instances: 0,
            resolved: vec![0; models.len()],
        });
        group.instances += 1;
        for (count, model) in group.resolved.iter_mut().zip(models) {
            *count += usize::from(resolved.contains_key(&(*model, one.id.as_str())));
        }
    }
    let mut groups: Vec<Group> = groups.into_values().collect();
    groups.sort_by(|a, b| b.instances.cmp(&a.instances).then_with(|| a.name.cmp(&b.name)));
    groups
}

fn causes(entries: &[Entry<'_>], models: &[&str]) -> Vec<CauseCount> {
    let mut counts: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for entry in entries {
        let Some(cause) = entry.done.and_then(cause_of) else { continue };
        let counts = counts.entry(cause).or_insert_with(|| vec![0; models.len()]);
        if let Ok(at) = models.binary_search(&&*entry.key.model) {
            counts[at] += 1;
        }
    }
    let mut counts: Vec<CauseCount> =
        counts.into_iter().map(|(cause, attempts)| CauseCount { cause, attempts }).collect();
    counts.sort_by_key(|one| std::cmp::Reverse(one.attempts.iter().sum::<usize>()));
    counts
}

/// Why an attempt is not resolved, in a few words that many attempts may share; `None` if it is.
#[must_use]
pub fn cause_of(done: &Done) -> Option<String> {
    let words = match done.kind {
        VerdictKind::Resolved => return None,
        VerdictKind::Unresolved if done.trust == Some(Trust::Forged) => "results are forged",
        VerdictKind::Unresolved if done.flaky => "flaky: passes when run again",
        VerdictKind::Unresolved => match done.tests {
            Some(tests) => failing(tests),
            None => "tests fail",
        },
        VerdictKind::EmptyPatch => "empty patch",
        VerdictKind::PatchRejected => "patch does not apply",
        VerdictKind::TestPatchRejected => "tests do not apply on top",
        VerdictKind::TestsStopped => match done.why.as_deref() {
            Some("timed out") => "timed out",
            Some("out of memory") => "out of memory",
            Some("out of disk") => "out of disk",
            Some("out of processes") => "out of processes",
            Some("too much output") => "too much output",
            _ => "tests were stopped",
        },
        VerdictKind::LogUnusable => match done.why.as_deref() {
            Some("the tests did not begin") => "tests did not begin",
            Some("the tests did not end") => "tests did not end",
            Some("no test results") => "no test results",
            _ => "log cannot be used",
        },
        VerdictKind::Infra => {
            let reason = done.cause.as_ref().map_or("unknown", |cause| cause.reason.as_str());
            return Some(format!("infra: {}", reason.replace('_', " ")));
        }
    };
    Some(words.to_owned())
}

fn failing(tests: TestCounts) -> &'static str {
    let (mended, to_mend) = tests.fail_to_pass;
    let (kept, to_keep) = tests.pass_to_pass;
    match (mended < to_mend, kept < to_keep) {
        (true, true) => "mends too little and breaks tests",
        (true, false) if mended > 0 => "mends some of the tests",
        (true, false) => "mends none of the tests",
        (false, true) => "breaks tests that passed",
        (false, false) => "tests fail",
    }
}

impl ModelFigures {
    fn of(model: &str, instances: usize, entries: &[Entry<'_>]) -> Self {
        let mut by_instance: HashMap<&str, usize> = HashMap::new();
        let mut figures = Self::none(model, instances);
        for entry in entries {
            figures.attempts = figures.attempts.max(entry.key.attempt as usize);
            let counted = by_instance.entry(entry.key.instance_id.as_str()).or_default();
            *counted += usize::from(entry.resolved());
            figures.resolved += usize::from(entry.resolved() && entry.key.attempt == 1);
            figures.known += usize::from(entry.detail.known_from.is_some());
            let Some(done) = entry.done else {
                figures.open += 1;
                continue;
            };
            figures.add(done);
        }
        figures.share = share(figures.resolved, instances);
        figures.interval = wilson(figures.resolved, instances);
        figures.pass_at = (1..=figures.attempts)
            .filter_map(|k| {
                // An attempt that is missing is not resolved.
                let chance = |resolved: &usize| pass_at_k(figures.attempts, *resolved, k);
                let mut chances: Vec<f64> = by_instance.values().map(chance).collect();
                // Sums of numbers depend on their order; that of a table of hashes is none.
                chances.sort_by(f64::total_cmp);
                chances.resize(instances.max(chances.len()), 0.0);
                mean(&chances)
            })
            .collect();
        figures
    }

    fn none(model: &str, instances: usize) -> Self {
        Self {
            model: model.to_owned(),
            instances,
            resolved: 0,
            share: 0.0,
            interval: wilson(0, 0),
            attempts: 0,
            pass_at: Vec::new(),
            done: 0,
            open: 0,
            infra: 0,
            flaky: 0,
            suspicious: 0,
            forged: 0,
            known: 0,
            sandbox_time: Duration::ZERO,
            cpu_time: Duration::ZERO,
            peak_memory: 0,
        }
    }

    fn add(&mut self, done: &Done) {
        self.done += 1;
        self.infra += usize::from(done.kind == VerdictKind::Infra);
        self.flaky += usize::from(done.flaky);
        let resolved = done.kind == VerdictKind::Resolved;
        self.suspicious += usize::from(resolved && done.trust == Some(Trust::Suspicious));
        self.forged += usize::from(done.trust == Some(Trust::Forged));
        self.sandbox_time += done.usage.wall;
        self.cpu_time += done.usage.user + done.usage.system;
        self.peak_memory = self.peak_memory.max(done.usage.peak_memory);
    }
}
