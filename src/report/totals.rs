//! The whole run in numbers, of all models and attempts.

use super::{Denominators, Summary, summary};
use crate::grade::Trust;
use crate::journal::{Done, RunState};
use crate::model::{PredictionKey, VerdictKind};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A run in numbers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The run's name.
    pub run_id: String,
    /// The data set, as `name (split)`.
    pub dataset: String,
    /// How many instances were selected.
    pub instances: usize,
    /// Whether every prediction has its verdict.
    pub complete: bool,
    /// All predictions together.
    pub counts: Counts,
    /// The share that is resolved, by three ways to count.
    pub shares: Denominators,
    /// Each model's, in the order of their names.
    pub models: Vec<ModelReport>,
    /// Predictions with no use: they are for instances that were not selected.
    pub unselected: usize,
    /// From the first event to the last, pauses included.
    pub elapsed: Duration,
    /// The sum of all sandboxes' wall time in this run; verdicts from history had none.
    pub sandbox_time: Duration,
    /// The most that ran at one time.
    pub peak_in_flight: usize,
}

/// One model's part of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelReport {
    /// The model.
    pub model: String,
    /// All its attempts.
    pub counts: Counts,
    /// How many attempts at most one instance has.
    pub attempts: u32,
    /// The incumbent's report of the first attempts.
    pub summary: Summary,
    /// How many were not resolved in their official run, but by reruns of what failed.
    pub resolved_flaky: usize,
    /// How many can be trusted how far, of those whose tests ran.
    pub trust: BTreeMap<Trust, usize>,
    /// What needs a person's eye, by prediction: not resolved for another reason than its tests, or
    /// resolved or forged with something that speaks against it.
    pub remarks: Vec<Remark>,
}

/// A prediction whose verdict says more than resolved or not.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Remark {
    /// The prediction.
    pub key: PredictionKey,
    /// Its verdict.
    pub kind: VerdictKind,
    /// More on it.
    pub why: Option<String>,
}

/// Predictions by verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// How many there are for selected instances.
    pub total: usize,
    /// How many have each verdict; kinds that do not occur are left out.
    pub by_verdict: BTreeMap<VerdictKind, usize>,
}

impl Report {
    /// The numbers of a run, finished or not.
    #[must_use]
    pub fn of(state: &RunState) -> Self {
        Self::with(state, None)
    }

    /// The same, with the instances that their reference solution resolves here, where that is known.
    #[must_use]
    pub fn with(state: &RunState, validated: Option<&BTreeSet<String>>) -> Self {
        let header = &state.header;
        let selected: std::collections::HashSet<_> =
            header.instances.iter().map(|instance| &instance.id).collect();
        let mut models: BTreeMap<&str, ModelReport> = BTreeMap::new();
        let mut report = Self {
            run_id: header.run_id.clone(),
            dataset: format!("{} ({})", header.dataset.name, header.dataset.split),
            instances: header.instances.len(),
            complete: true,
            counts: Counts::default(),
            shares: shares(state, validated),
            models: Vec::new(),
            unselected: 0,
            elapsed: Duration::try_from(state.last.duration_since(state.began)).unwrap_or_default(),
            sandbox_time: Duration::ZERO,
            peak_in_flight: state.peak_in_flight,
        };
        for (facts, status) in state.predictions() {
            if !selected.contains(&facts.key.instance_id) {
                report.unselected += 1;
                continue;
            }
            let done = status.done();
            let model =
                models.entry(&facts.key.model).or_insert_with(|| ModelReport::new(&facts.key));
            model.add(&facts.key, done);
            report.counts.add(done);
            report.complete &= done.is_some();
            // One taken from history ran in another run.
            let ran = done.filter(|done| done.known.is_none());
            report.sandbox_time += ran.map(|done| done.usage.wall).unwrap_or_default();
        }
        for model in models.values_mut() {
            model.summary = summary(state, &model.model);
        }
        report.models = models.into_values().collect();
        report
    }
}

fn shares(state: &RunState, validated: Option<&BTreeSet<String>>) -> Denominators {
    let selected: BTreeSet<_> = state.header.instances.iter().map(|one| &one.id).collect();
    let done = state.predictions().filter(|(facts, _)| selected.contains(&facts.key.instance_id));
    let kinds = done
        .filter_map(|(facts, status)| Some((facts.key.instance_id.as_str(), status.done()?.kind)));
    Denominators::of(kinds, validated)
}

impl ModelReport {
    fn new(key: &PredictionKey) -> Self {
        Self {
            model: key.model.to_string(),
            counts: Counts::default(),
            attempts: 0,
            summary: Summary::default(),
            resolved_flaky: 0,
            trust: BTreeMap::new(),
            remarks: Vec::new(),
        }
    }

    fn add(&mut self, key: &PredictionKey, done: Option<&Done>) {
        self.attempts = self.attempts.max(key.attempt);
        self.counts.add(done);
        let Some(done) = done else { return };
        let plain = [VerdictKind::Resolved, VerdictKind::Unresolved, VerdictKind::EmptyPatch];
        self.resolved_flaky += usize::from(done.flaky);
        if let Some(trust) = done.trust {
            *self.trust.entry(trust).or_default() += 1;
        }
        let why = match done.trust {
            // Who is not resolved has nothing from being suspicious.
            Some(Trust::Suspicious) if done.kind != VerdictKind::Resolved => None,
            Some(trust) if trust > Trust::Clean => {
                Some(format!("{}: {}", trust.name(), done.doubts.join(", ")))
            }
            _ => None,
        };
        let flaky =
            done.flaky.then(|| "resolved (flaky): what failed passed when run again".to_owned());
        if !plain.contains(&done.kind) || why.is_some() || flaky.is_some() {
            let why = [done.why.clone(), why, flaky].into_iter().flatten().collect::<Vec<_>>();
            let why = (!why.is_empty()).then(|| why.join("; "));
            self.remarks.push(Remark { key: key.clone(), kind: done.kind, why });
        }
    }
}

impl Counts {
    /// How many have this verdict.
    #[must_use]
    pub fn of(&self, kind: VerdictKind) -> usize {
        self.by_verdict.get(&kind).copied().unwrap_or_default()
    }

    /// How many have a verdict.
    #[must_use]
    pub fn done(&self) -> usize {
        self.by_verdict.values().sum()
    }

    /// The share that is resolved, of all; `None` of none.
    #[must_use]
    pub fn resolved_share(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "counts of predictions are small")]
        let share = self.of(VerdictKind::Resolved) as f64 / self.total as f64;
        (self.total > 0).then_some(share)
    }

    fn add(&mut self, done: Option<&Done>) {
        self.total += 1;
        if let Some(done) = done {
            *self.by_verdict.entry(done.kind).or_default() += 1;
        }
    }
}
