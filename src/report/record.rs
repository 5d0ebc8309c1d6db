//! What reports tell of a run beyond where it stands: when what ran, which tests failed, what speaks
//! for trouble and against trust. Lists of tests that passed are left out, so that it stays small.

use crate::grade::{Evidence, Sign};
use crate::journal::{Done, Evaluated, Event, JournalError, RunState, load_watching};
use crate::model::{Digest, InfraCause, Phase, PredictionKey, Reruns, Section};
use jiff::Timestamp;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

/// A run as its journal tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Where it stands.
    pub state: RunState,
    /// The making of images: when each was there, how long that took, how many layers were built.
    pub images: Vec<Made>,
    details: HashMap<PredictionKey, Detail>,
    nothing: Detail,
}

/// An image that was made sure of.
#[derive(Clone, Debug, PartialEq)]
pub struct Made {
    /// When it was there.
    pub at: Timestamp,
    /// How long that took.
    pub took: Duration,
    /// Layers built for it.
    pub built: usize,
}

/// What is kept of a prediction for reports.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Detail {
    /// When its last round began.
    pub started: Option<Timestamp>,
    /// Trouble of our own in rounds that count no longer.
    pub retried: Vec<InfraCause>,
    /// Tests that had to start to pass and do not.
    pub not_mended: Vec<String>,
    /// Tests that had to keep passing and do not.
    pub broken: Vec<String>,
    /// Where the tests' own output stands in the log.
    pub section: Option<(u64, u64)>,
    /// How the patch went in.
    pub applied_by: Option<String>,
    /// What speaks for trouble of the environment.
    pub evidence: Vec<Evidence>,
    /// What was found on whether its results can be trusted.
    pub signs: Vec<Sign>,
    /// What became of failing tests that ran again.
    pub reruns: Option<Reruns>,
    /// The files it left.
    pub files: BTreeMap<String, Digest>,
    /// The run that its verdict was taken over from.
    pub known_from: Option<String>,
}

/// A prediction of a selected instance, with what is known of it.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'r> {
    /// Which one.
    pub key: &'r PredictionKey,
    /// Its verdict, if it has one.
    pub done: Option<&'r Done>,
    /// What else is known.
    pub detail: &'r Detail,
}

impl Record {
    /// Reads the journal of the run in `dir`, also while it is written.
    ///
    /// # Errors
    /// As [`crate::journal::load`].
    pub fn load(dir: &Path) -> Result<Self, JournalError> {
        let mut details = HashMap::new();
        let mut images = Vec::new();
        let state =
            load_watching(dir, &mut |at, event| watch(&mut details, &mut images, at, event))?;
        Ok(Self { state, images, details, nothing: Detail::default() })
    }

    /// A record of these events, the header aside.
    #[must_use]
    pub fn of(state: RunState, events: &[(Timestamp, Event)]) -> Self {
        let mut details = HashMap::new();
        let mut images = Vec::new();
        for (at, event) in events {
            watch(&mut details, &mut images, *at, event);
        }
        Self { state, images, details, nothing: Detail::default() }
    }

    /// Predictions of selected instances: by instance, then by model and attempt.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry<'_>> {
        let header = &self.state.header;
        let order: HashMap<_, _> =
            header.instances.iter().enumerate().map(|(at, one)| (&one.id, at)).collect();
        let mut entries: Vec<(usize, Entry<'_>)> = self
            .state
            .predictions()
            .filter_map(|(facts, status)| {
                let at = *order.get(&facts.key.instance_id)?;
                let detail = self.details.get(&facts.key).unwrap_or(&self.nothing);
                Some((at, Entry { key: &facts.key, done: status.done(), detail }))
            })
            .collect();
        entries.sort_by(|(a, x), (b, y)| {
            (a, &x.key.model, x.key.attempt).cmp(&(b, &y.key.model, y.key.attempt))
        });
        entries.into_iter().map(|(_, entry)| entry).collect()
    }

    /// The models that have predictions for selected instances, by name.
    #[must_use]
    pub fn models(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.entries().iter().map(|entry| &*entry.key.model).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

impl Entry<'_> {
    /// Whether it is resolved.
    #[must_use]
    pub fn resolved(&self) -> bool {
        self.done.is_some_and(|done| done.kind == crate::model::VerdictKind::Resolved)
    }

    /// The wall time of one phase.
    #[must_use]
    pub fn phase(&self, phase: Phase) -> Duration {
        let phases = self.done.map_or(&[][..], |done| &done.phases);
        phases.iter().filter(|(one, _)| *one == phase).map(|(_, took)| *took).sum()
    }
}

fn watch(
    details: &mut HashMap<PredictionKey, Detail>,
    images: &mut Vec<Made>,
    at: Timestamp,
    event: &Event,
) {
    match event {
        Event::Started { key, .. } => {
            details.entry(key.clone()).or_default().started = Some(at);
        }
        Event::Retrying { key, cause, .. } => {
            details.entry(key.clone()).or_default().retried.push(cause.clone());
        }
        Event::Evaluated(evaluated) => {
            let before = details.remove(&evaluated.key).unwrap_or_default();
            details.insert(evaluated.key.clone(), Detail::of(evaluated, before));
        }
        Event::Dropped { key, .. } => {
            details.remove(key);
        }
        Event::ImageReady { built, took, .. } => {
            images.push(Made { at, took: *took, built: *built });
        }
        Event::Header(_) | Event::Interrupted { .. } | Event::Finished => {}
    }
}

impl Detail {
    fn of(evaluated: &Evaluated, before: Self) -> Self {
        let evaluation = &evaluated.evaluation;
        let failed = evaluation.verdict.tests();
        let section = match &evaluation.section {
            Some(Section::Supervised { start, end, .. }) => Some((*start, *end)),
            _ => None,
        };
        Self {
            started: before.started,
            retried: before.retried,
            not_mended: failed.map(|t| t.fail_to_pass.failure.clone()).unwrap_or_default(),
            broken: failed.map(|t| t.pass_to_pass.failure.clone()).unwrap_or_default(),
            section,
            applied_by: evaluation.applied_by.clone(),
            evidence: evaluated.evidence.clone(),
            signs: evaluated.integrity.as_ref().map(|i| i.signs.clone()).unwrap_or_default(),
            reruns: evaluation.probes.reruns.clone(),
            files: evaluated.files.clone(),
            known_from: evaluated.known.as_ref().map(|known| known.run_id.clone()),
        }
    }
}
