//! What `evalrun top` shows, as values: from the fold of a journal and the events since the last look.

use crate::journal::{Event, RunState, Status};
use crate::model::{PredictionKey, VerdictKind};
use jiff::Timestamp;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

/// How many of the last verdicts are kept.
const LAST: usize = 200;

/// A run, as it is shown.
#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) run_id: String,
    pub(super) dataset: String,
    pub(super) place: String,
    pub(super) total: usize,
    pub(super) counts: BTreeMap<VerdictKind, usize>,
    pub(super) known: usize,
    pub(super) retrying: usize,
    pub(super) images: usize,
    pub(super) end: End,
    pub(super) began: Option<Timestamp>,
    pub(super) last: Option<Timestamp>,
    /// What runs, and since when; the one that has run longest comes first.
    pub(super) running: Vec<(PredictionKey, Timestamp)>,
    /// The last verdicts, the newest first.
    pub(super) verdicts: VecDeque<Told>,
    /// How many of those that run are passed over.
    pub(super) scroll: usize,
    started: HashMap<PredictionKey, Timestamp>,
    /// How many verdicts of this session there were to run for, and since when.
    pace: Pace,
}

/// How far a run is from its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum End {
    #[default]
    Open,
    Interrupted,
    Finished,
}

/// A verdict, as it is told.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) at: Timestamp,
    pub(super) key: PredictionKey,
    pub(super) kind: VerdictKind,
    pub(super) took: Duration,
    pub(super) known: bool,
}

#[derive(Debug, Default)]
struct Pace {
    since: Option<Timestamp>,
    done: usize,
}

impl View {
    /// Takes in how the run stands now, and what happened since the last time.
    pub(super) fn take(&mut self, state: &RunState, happened: &[(Timestamp, Event)]) {
        for (at, event) in happened {
            self.hear(*at, event);
        }
        let header = &state.header;
        self.run_id.clone_from(&header.run_id);
        self.dataset = format!("{} ({})", header.dataset.name, header.dataset.split);
        let host = &header.host;
        self.place = format!("{} CPUs, {}, {}", host.cpus, host.backend, host.os);
        self.images = state.images.len();
        (self.began, self.last) = (Some(state.began), Some(state.last));
        self.end = match (state.finished, state.interrupted) {
            (true, _) => End::Finished,
            (_, true) => End::Interrupted,
            _ => End::Open,
        };
        let selected: std::collections::HashSet<_> =
            header.instances.iter().map(|instance| &instance.id).collect();
        (self.total, self.known, self.retrying) = (0, 0, 0);
        self.counts.clear();
        self.running.clear();
        for (facts, status) in state.predictions() {
            if !selected.contains(&facts.key.instance_id) {
                continue;
            }
            self.total += 1;
            match status {
                Status::Done(done) => {
                    *self.counts.entry(done.kind).or_default() += 1;
                    self.known += usize::from(done.known.is_some());
                }
                Status::Running { .. } if self.end == End::Open => {
                    let since = self.started.get(&facts.key).copied().unwrap_or(state.last);
                    self.running.push((facts.key.clone(), since));
                }
                Status::Retrying { .. } => self.retrying += 1,
                Status::Running { .. } | Status::Waiting => {}
            }
        }
        self.running.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
        self.scroll = self.scroll.min(self.running.len().saturating_sub(1));
    }

    fn hear(&mut self, at: Timestamp, event: &Event) {
        match event {
            Event::Header(_) => {
                self.pace = Pace { since: Some(at), done: 0 };
                self.started.clear();
            }
            Event::Started { key, .. } => {
                self.started.insert(key.clone(), at);
            }
            Event::Evaluated(evaluated) => {
                self.started.remove(&evaluated.key);
                let ran = evaluated.known.is_none() && evaluated.round > 0;
                self.pace.done += usize::from(ran);
                self.verdicts.push_front(Told {
                    at,
                    key: evaluated.key.clone(),
                    kind: evaluated.kind(),
                    took: evaluated.evaluation.usage.wall,
                    known: evaluated.known.is_some(),
                });
                self.verdicts.truncate(LAST);
            }
            _ => {}
        }
    }

    /// How many have a verdict.
    pub(super) fn finished(&self) -> usize {
        self.counts.values().sum()
    }

    /// How long it has taken: until now, or to its end.
    pub(super) fn elapsed(&self, now: Timestamp) -> Duration {
        let until = if self.end == End::Open { Some(now) } else { self.last };
        between(self.began, until)
    }

    /// How long it will still take, at the pace of this session.
    pub(super) fn left(&self, now: Timestamp) -> Option<Duration> {
        let open = self.total - self.finished();
        if self.end != End::Open || self.pace.done == 0 || open == 0 {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "counts of predictions are small")]
        let factor = open as f64 / self.pace.done as f64;
        Some(between(self.pace.since, Some(now)).mul_f64(factor))
    }
}

/// From one moment to another; nothing if it is not known, or the clocks disagree.
pub(super) fn between(from: Option<Timestamp>, until: Option<Timestamp>) -> Duration {
    let (Some(from), Some(until)) = (from, until) else { return Duration::ZERO };
    Duration::try_from(until.duration_since(from)).unwrap_or_default()
}
