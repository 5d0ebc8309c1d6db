//! What a run tells of itself while it goes on.

use crate::journal::KnownFrom;
use crate::model::{InfraCause, PredictionKey, VerdictKind};
use std::collections::BTreeMap;
use std::time::Duration;

/// Hears of a run's progress. Called by the conductor alone, in the order of events; it must not
/// wait for anything.
pub trait ProgressSink: Send {
    /// Something happened, or some time has passed.
    fn progress(&mut self, event: &Progress<'_>, tally: &Tally);
}

/// Nobody listens.
pub struct Silent;

impl ProgressSink for Silent {
    fn progress(&mut self, _: &Progress<'_>, _: &Tally) {}
}

/// What happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// The run begins, or goes on: the tally says what is done already.
    Began,
    /// An image is there.
    ImageReady {
        /// Its name.
        name: &'a str,
        /// Layers built for it now.
        built: usize,
        /// How long it took.
        took: Duration,
    },
    /// A prediction runs.
    Started {
        /// Which.
        key: &'a PredictionKey,
        /// 1, or more if it runs again.
        round: u32,
    },
    /// A prediction has its verdict.
    Done {
        /// Which.
        key: &'a PredictionKey,
        /// The verdict.
        kind: VerdictKind,
        /// A few words on it.
        why: Option<&'a str>,
        /// How long its sandbox ran.
        took: Duration,
        /// The run it was taken over from, if nothing ran for it now.
        known: Option<&'a KnownFrom>,
    },
    /// Trouble of our own; it will run again.
    Retrying {
        /// Which.
        key: &'a PredictionKey,
        /// What happened.
        cause: &'a InfraCause,
        /// After this time.
        after: Duration,
    },
    /// Nothing new but the time; about once a second.
    Tick,
    /// The run was asked to end: what runs is being ended.
    Stopping,
    /// The run has ended.
    Ended,
}

/// A run in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Predictions that the run is about.
    pub total: usize,
    /// How many have which verdict.
    pub done: BTreeMap<VerdictKind, usize>,
    /// How many had theirs before this session.
    pub before: usize,
    /// How many were taken over from earlier runs in this session.
    pub known: usize,
    /// How many run.
    pub running: usize,
    /// How many could run and wait for room.
    pub ready: usize,
    /// How many wait for another try.
    pub retrying: usize,
    /// Instances whose image is not there yet.
    pub images: usize,
    /// Images being built or looked up now.
    pub building: usize,
    /// How long since this session began.
    pub elapsed: Duration,
    /// How long it will still take, by what is expected of the rest; `None`: nothing is known.
    pub eta: Option<Duration>,
}

impl Tally {
    /// How many have a verdict.
    #[must_use]
    pub fn finished(&self) -> usize {
        self.done.values().sum()
    }

    /// How many have this verdict.
    #[must_use]
    pub fn of(&self, kind: VerdictKind) -> usize {
        self.done.get(&kind).copied().unwrap_or_default()
    }
}
