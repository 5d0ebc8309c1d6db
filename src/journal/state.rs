//! The fold of a journal: where every prediction of a run stands. It keeps what reports need and
//! no lists of tests, so that it stays small however many predictions a run has; the whole
//! evaluation is read again from the journal where it is wanted.

use super::{Evaluated, Event, Header, InfraSign, KnownFrom, Place};
use crate::grade::{Integrity, Trust};
use crate::layers::ImageKey;
use crate::model::{
    InfraCause, Phase, PredictionKey, Status as ExitStatus, TestLists, Usage, Verdict, VerdictKind,
};
use crate::model::{KilledBy, TestsReport};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

/// Where a run stands.
#[derive(Clone, Debug, PartialEq)]
pub struct RunState {
    /// What the run is.
    pub header: Header,
    /// Images that were made ready, by name.
    pub images: BTreeMap<String, (ImageKey, String)>,
    /// When the run was first started.
    pub began: Timestamp,
    /// The moment of the last event.
    pub last: Timestamp,
    /// How often it was started: 1, or more if it was continued.
    pub sessions: usize,
    /// The most that ran at one time.
    pub peak_in_flight: usize,
    /// Whether it was asked to end early, and has not been continued since.
    pub interrupted: bool,
    /// Whether it ended with every prediction done, and has not been continued since.
    pub finished: bool,
    index: HashMap<PredictionKey, usize>,
    status: Vec<Status>,
}

/// Where a prediction stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Status {
    /// It has not run yet, or what it gave counts no longer.
    #[default]
    Waiting,
    /// It runs, or ran when the run ended.
    Running {
        /// Which round.
        round: u32,
    },
    /// It runs again after trouble of our own.
    Retrying {
        /// The round that failed.
        round: u32,
        /// What happened.
        cause: InfraCause,
    },
    /// It has its verdict.
    Done(Box<Done>),
}

/// What is kept of a verdict.
#[derive(Clone, Debug, PartialEq)]
pub struct Done {
    /// The verdict.
    pub kind: VerdictKind,
    /// A few words on it, where the kind alone says too little: what stopped the tests, why a log
    /// is unusable, what our trouble was.
    pub why: Option<String>,
    /// For infra: what happened.
    pub cause: Option<InfraCause>,
    /// Whether the incumbent would have written a `report.json`.
    pub reported: bool,
    /// A sign of a broken environment in the logs.
    pub sign: Option<InfraSign>,
    /// How far its results can be trusted, where that was looked at.
    pub trust: Option<Trust>,
    /// Not resolved, but each test that failed passed when it ran again.
    pub flaky: bool,
    /// What speaks against them, each reason once.
    pub doubts: Vec<String>,
    /// The expected tests in numbers, where they could be judged.
    pub tests: Option<TestCounts>,
    /// The round that gave the verdict; 0 if nothing ran.
    pub round: u32,
    /// Wall time by phase.
    pub phases: Vec<(Phase, Duration)>,
    /// What the sandbox used.
    pub usage: Usage,
    /// What a reader should know.
    pub notes: Vec<String>,
    /// The run that it was taken over from, if nothing ran for it in this one.
    pub known: Option<KnownFrom>,
    /// When it was done.
    pub at: Timestamp,
    /// Where the whole evaluation stands in the journal.
    pub place: Place,
}

/// Expected tests in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestCounts {
    /// Tests that had to start to pass: how many do, and how many there are.
    pub fail_to_pass: (usize, usize),
    /// Tests that had to keep passing, likewise.
    pub pass_to_pass: (usize, usize),
}

impl RunState {
    /// A run that has only its header.
    #[must_use]
    pub fn new(header: Header, at: Timestamp) -> Self {
        let index = index(&header);
        let status = vec![Status::Waiting; header.predictions.len()];
        Self {
            header,
            images: BTreeMap::new(),
            began: at,
            last: at,
            sessions: 1,
            peak_in_flight: 0,
            interrupted: false,
            finished: false,
            index,
            status,
        }
    }

    /// Takes one event in.
    ///
    /// # Errors
    /// The prediction that the event speaks of, if the header does not know it.
    pub fn apply(
        &mut self,
        at: Timestamp,
        event: &Event,
        place: Place,
    ) -> Result<(), PredictionKey> {
        self.last = at;
        match event {
            Event::Header(header) => self.reopen(header),
            Event::Dropped { key, .. } => *self.slot(key)? = Status::Waiting,
            Event::ImageReady { name, image, digest, .. } => {
                self.images.insert(name.clone(), (*image, digest.clone()));
            }
            Event::Started { key, round, in_flight } => {
                *self.slot(key)? = Status::Running { round: *round };
                self.peak_in_flight = self.peak_in_flight.max(*in_flight);
            }
            Event::Evaluated(evaluated) => {
                let done = Done::of(evaluated, at, place);
                *self.slot(&evaluated.key)? = Status::Done(Box::new(done));
            }
            Event::Retrying { key, round, cause, .. } => {
                *self.slot(key)? = Status::Retrying { round: *round, cause: cause.clone() };
            }
            Event::Interrupted { .. } => self.interrupted = true,
            Event::Finished => self.finished = true,
        }
        Ok(())
    }

    /// Every prediction with its status, in the order given.
    pub fn predictions(&self) -> impl Iterator<Item = (&super::PredictionFacts, &Status)> {
        self.header.predictions.iter().zip(&self.status)
    }

    /// Where a prediction stands; `None` if it is none of this run's.
    #[must_use]
    pub fn status(&self, key: &PredictionKey) -> Option<&Status> {
        self.index.get(key).map(|&at| &self.status[at])
    }

    /// The verdict of a prediction, if it has one.
    #[must_use]
    pub fn done(&self, key: &PredictionKey) -> Option<&Done> {
        self.status(key).and_then(Status::done)
    }

    /// The run goes on under this header; what is known of its predictions stays.
    fn reopen(&mut self, header: &Header) {
        let index = index(header);
        let mut status = vec![Status::Waiting; header.predictions.len()];
        for (key, &at) in &index {
            if let Some(&before) = self.index.get(key) {
                status[at] = std::mem::take(&mut self.status[before]);
            }
        }
        (self.index, self.status) = (index, status);
        self.header = header.clone();
        self.sessions += 1;
        self.interrupted = false;
        self.finished = false;
    }

    fn slot(&mut self, key: &PredictionKey) -> Result<&mut Status, PredictionKey> {
        match self.index.get(key) {
            Some(&at) => Ok(&mut self.status[at]),
            None => Err(key.clone()),
        }
    }
}

impl Status {
    /// The verdict, if there is one.
    #[must_use]
    pub fn done(&self) -> Option<&Done> {
        match self {
            Self::Done(done) => Some(done),
            Self::Waiting | Self::Running { .. } | Self::Retrying { .. } => None,
        }
    }
}

impl Done {
    fn of(evaluated: &Evaluated, at: Timestamp, place: Place) -> Self {
        let evaluation = &evaluated.evaluation;
        let verdict = &evaluation.verdict;
        let cause = match verdict {
            Verdict::Infra { cause } => Some(cause.clone()),
            _ => None,
        };
        Self {
            kind: verdict.kind(),
            why: reason_of(verdict),
            cause,
            reported: reported(verdict),
            sign: evaluated.sign.clone(),
            trust: evaluated.integrity.as_ref().map(|found| found.trust),
            flaky: evaluation.probes.reruns.as_ref().is_some_and(|reruns| reruns.resolved),
            doubts: evaluated.integrity.as_ref().map(doubts).unwrap_or_default(),
            tests: verdict.tests().map(TestCounts::of),
            round: evaluated.round,
            phases: evaluation.phases.clone(),
            usage: evaluation.usage,
            notes: evaluation.notes.clone(),
            known: evaluated.known.clone(),
            at,
            place,
        }
    }
}

fn doubts(integrity: &Integrity) -> Vec<String> {
    let against = integrity.signs.iter().filter(|sign| sign.trust > Trust::Clean);
    let reasons: BTreeSet<&str> = against.map(|sign| sign.reason.as_str()).collect();
    reasons.into_iter().map(str::to_owned).collect()
}

impl TestCounts {
    /// Counts a report.
    #[must_use]
    pub fn of(tests: &TestsReport) -> Self {
        let count =
            |lists: &TestLists| (lists.success.len(), lists.success.len() + lists.failure.len());
        Self { fail_to_pass: count(&tests.fail_to_pass), pass_to_pass: count(&tests.pass_to_pass) }
    }
}

/// Whether the incumbent writes a `report.json` for this: it does where it came to look at a log,
/// and not where the patch did not apply, the tests were stopped, or something broke.
#[must_use]
pub fn reported(verdict: &Verdict) -> bool {
    use crate::model::LogProblem;
    match verdict {
        Verdict::Resolved { .. } | Verdict::Unresolved { .. } | Verdict::TestPatchRejected => true,
        Verdict::LogUnusable { why } => !matches!(why, LogProblem::ParserFailed { .. }),
        Verdict::EmptyPatch
        | Verdict::PatchRejected
        | Verdict::TestsStopped { .. }
        | Verdict::Infra { .. } => false,
    }
}

/// A few words on a verdict, where its name alone says too little.
#[must_use]
pub fn reason_of(verdict: &Verdict) -> Option<String> {
    use crate::model::LogProblem;
    let text = match verdict {
        Verdict::TestsStopped { outcome } => match outcome.status {
            ExitStatus::Killed(KilledBy::TimedOut) => "timed out".to_owned(),
            ExitStatus::Killed(KilledBy::OutputLimit) => "too much output".to_owned(),
            ExitStatus::Killed(KilledBy::Cancelled) => "cancelled".to_owned(),
            _ if outcome.limits_hit.memory => "out of memory".to_owned(),
            _ if outcome.limits_hit.pids => "out of processes".to_owned(),
            _ if outcome.limits_hit.disk => "out of disk".to_owned(),
            ExitStatus::Signal(signal) => format!("signal {signal}"),
            ExitStatus::Code(code) => format!("exit status {code}"),
        },
        Verdict::LogUnusable { why } => match why {
            LogProblem::TestsNotStarted => "the tests did not begin".to_owned(),
            LogProblem::TestsNotEnded => "the tests did not end".to_owned(),
            LogProblem::NoResults => "no test results".to_owned(),
            LogProblem::ExitStatusContradicts { status } => {
                format!("exit status {status} without a failed test")
            }
            LogProblem::BadMarker { marker } => format!("the log says `{marker}`"),
            LogProblem::ParserFailed { why } => format!("the parser failed: {why}"),
        },
        Verdict::Infra { cause } => cause.reason.clone(),
        _ => return None,
    };
    Some(text)
}

fn index(header: &Header) -> HashMap<PredictionKey, usize> {
    header.predictions.iter().enumerate().map(|(at, p)| (p.key.clone(), at)).collect()
}
