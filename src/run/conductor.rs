//! The one task that owns a run: it admits jobs, takes their results, and writes everything down.

use super::agenda::Agenda;
use super::jobs::Prepared;
use super::open::Opened;
use super::progress::{Progress, ProgressSink, Tally};
use super::queue::{Job, Queue};
use super::room::Room;
use super::work::{Ended, Shared, work};
use crate::evaluate::infra;
use crate::journal::{Evaluated, Event, Journal, JournalError, RunState};
use crate::layers::ImageKey;
use crate::model::{Evaluation, InfraCause, PredictionKey, Verdict, VerdictKind};
use futures_util::FutureExt as _;
use jiff::Timestamp;
use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// How often the machine is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// Looks between two ticks of the progress.
const LOOKS_A_TICK: u32 = 5;

/// Runs what is open of a run. Returns when every prediction has its verdict, or, after `cancel`,
/// when nothing runs any more.
pub(crate) async fn conduct(
    opened: Opened,
    room: Room,
    progress: &mut dyn ProgressSink,
    cancel: CancellationToken,
) -> Result<RunState, JournalError> {
    let mut conductor = Conductor::new(opened, room, progress);
    let result = conductor.run(&cancel).await;
    conductor.stop().await;
    conductor.tell(&Progress::Ended);
    result.map(|()| conductor.state)
}

struct Conductor<'a> {
    shared: Arc<Shared>,
    /// Away only while it is being synced.
    journal: Option<Journal>,
    state: RunState,
    room: Room,
    progress: &'a mut dyn ProgressSink,
    queue: Queue,
    /// By instance: jobs that wait for its image.
    wanted: HashMap<usize, Vec<Job>>,
    to_prepare: VecDeque<usize>,
    images: HashMap<usize, ImageKey>,
    /// By instance: jobs without a verdict.
    left: HashMap<usize, usize>,
    preparing: JoinSet<Looked>,
    running: HashMap<usize, Running>,
    tasks: JoinSet<Ended>,
    tally: Tally,
    began: Instant,
}

struct Running {
    since: Instant,
    memory: u64,
}

/// The end of making sure of an image.
struct Looked {
    instance: usize,
    took: Duration,
    result: Result<Prepared, InfraCause>,
}

impl<'a> Conductor<'a> {
    fn new(opened: Opened, room: Room, progress: &'a mut dyn ProgressSink) -> Self {
        let Opened { shared, journal, state } = opened;
        Self {
            shared,
            journal: Some(journal),
            state,
            room,
            progress,
            queue: Queue::default(),
            wanted: HashMap::new(),
            to_prepare: VecDeque::new(),
            images: HashMap::new(),
            left: HashMap::new(),
            preparing: JoinSet::new(),
            running: HashMap::new(),
            tasks: JoinSet::new(),
            tally: Tally::default(),
            began: Instant::now(),
        }
    }

    async fn run(&mut self, cancel: &CancellationToken) -> Result<(), JournalError> {
        let empty = self.enlist();
        self.conclude(empty).await?;
        self.tell(&Progress::Began);
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks = 0;
        while !self.is_done() {
            self.prepare_next();
            self.admit()?;
            let wake = self.queue.next_wake();
            tokio::select! {
                () = cancel.cancelled() => return self.interrupt().await,
                Some(ended) = self.tasks.join_next() => {
                    self.settle(ended.expect("a task catches its own panics")).await?;
                }
                Some(looked) = self.preparing.join_next() => {
                    self.prepared(looked.expect("a task catches its own panics")).await?;
                }
                () = sleep_until(wake), if wake.is_some() => self.queue.wake(Instant::now()),
                _ = look.tick() => {
                    looks += 1;
                    self.look(looks % LOOKS_A_TICK == 0);
                }
            }
        }
        self.commit(vec![Event::Finished]).await
    }

    /// Finds out what is to be done; returns the verdicts that need no run.
    fn enlist(&mut self) -> Vec<Event> {
        let agenda = Agenda::of(&self.shared.plan.dataset, &self.state);
        for (instance, done) in agenda.done {
            *self.tally.done.entry(done.kind).or_default() += 1;
            self.room.learn(instance, done.usage.wall, done.usage.peak_memory);
        }
        self.tally.before = self.tally.finished();
        self.tally.total = agenda.total;
        let mut order: Vec<usize> = agenda.wanted.keys().copied().collect();
        order.sort_by_key(|&instance| (std::cmp::Reverse(self.room.expected(instance)), instance));
        self.to_prepare = order.into();
        self.left = agenda.wanted.iter().map(|(&at, jobs)| (at, jobs.len())).collect();
        self.wanted = agenda.wanted;
        agenda
            .empty
            .into_iter()
            .map(|key| {
                let evaluation = Evaluation { verdict: Verdict::EmptyPatch, ..infra("", "") };
                evaluated(key, 0, evaluation)
            })
            .collect()
    }

    fn is_done(&self) -> bool {
        self.running.is_empty()
            && self.wanted.is_empty()
            && self.queue.ready() + self.queue.waiting() == 0
    }

    /// Makes sure of further images, in the order in which they are wanted.
    fn prepare_next(&mut self) {
        while self.preparing.len() < self.shared.plan.image_jobs.max(1) {
            let Some(instance) = self.to_prepare.pop_front() else { return };
            let shared = self.shared.clone();
            self.preparing.spawn(async move {
                let began = Instant::now();
                let prepare = shared.jobs.prepare(&shared.plan.dataset.instances[instance]);
                let result = AssertUnwindSafe(prepare).catch_unwind().await.unwrap_or_else(|_| {
                    Err(InfraCause {
                        reason: "harness_bug".to_owned(),
                        detail: "evalrun itself panicked while it made the image".to_owned(),
                    })
                });
                Looked { instance, took: began.elapsed(), result }
            });
        }
    }

    /// An image is there, or cannot be had: then no prediction that needs it can be judged.
    async fn prepared(&mut self, looked: Looked) -> Result<(), JournalError> {
        let jobs = self.wanted.remove(&looked.instance).unwrap_or_default();
        let prepared = match looked.result {
            Ok(prepared) => prepared,
            Err(cause) => return self.without_image(jobs, &cause).await,
        };
        self.images.insert(looked.instance, prepared.key);
        self.append(vec![Event::ImageReady {
            instance_id: self.shared.plan.dataset.instances[looked.instance].id.clone(),
            name: prepared.name.clone(),
            image: prepared.key,
            digest: prepared.digest,
            built: prepared.built,
            took: looked.took,
        }])?;
        for job in jobs {
            self.queue.push(job);
        }
        let (built, took) = (prepared.built, looked.took);
        self.tell(&Progress::ImageReady { name: &prepared.name, built, took });
        Ok(())
    }

    async fn without_image(
        &mut self,
        jobs: Vec<Job>,
        cause: &InfraCause,
    ) -> Result<(), JournalError> {
        let verdicts = jobs.into_iter().map(|job| {
            let key = self.shared.plan.predictions[job.prediction].key();
            evaluated(key, job.round, infra(&cause.reason, cause.detail.clone()))
        });
        self.conclude(verdicts.collect()).await
    }

    /// Starts what there is room for.
    fn admit(&mut self) -> Result<(), JournalError> {
        let mut jobs = Vec::new();
        let mut events = Vec::new();
        while self.running.len() < self.shared.plan.parallel.max(1) {
            let room = &self.room;
            let Some(job) = self.queue.peek(|instance| room.expected(instance)) else { break };
            let Some(memory) = self.room.take(&job, self.running.len()) else { break };
            self.queue.pop();
            self.running.insert(job.prediction, Running { since: Instant::now(), memory });
            events.push(Event::Started {
                key: self.shared.plan.predictions[job.prediction].key(),
                round: job.round,
                in_flight: self.running.len(),
            });
            jobs.push(job);
        }
        if jobs.is_empty() {
            return Ok(());
        }
        self.append(events)?;
        for job in jobs {
            self.tasks.spawn(work(self.shared.clone(), job, self.images[&job.instance]));
            let key = self.shared.plan.predictions[job.prediction].key();
            self.tell(&Progress::Started { key: &key, round: job.round });
        }
        Ok(())
    }

    /// Takes the result of a task, and of all others that have ended by now: they are written down
    /// together, with one sync.
    async fn settle(&mut self, first: Ended) -> Result<(), JournalError> {
        let mut verdicts = Vec::new();
        let mut retries = Vec::new();
        let mut next = Some(first);
        while let Some(ended) = next {
            self.release(&ended);
            let Ended { job, evaluated, .. } = ended;
            match &evaluated.evaluation.verdict {
                Verdict::Infra { cause } if job.tries < self.shared.plan.retries.rounds => {
                    retries.push((job, cause.clone()));
                }
                _ => {
                    self.one_less(job.instance);
                    verdicts.push(Event::Evaluated(Box::new(evaluated)));
                }
            }
            let ended = self.tasks.try_join_next();
            next = ended.map(|ended| ended.expect("a task catches its own panics"));
        }
        for (job, cause) in retries {
            self.retry(job, cause)?;
        }
        self.conclude(verdicts).await
    }

    /// A task has ended: its room is free, and something was learned.
    fn release(&mut self, ended: &Ended) {
        let Some(running) = self.running.remove(&ended.job.prediction) else { return };
        self.room.give_back(running.memory);
        if ended.starved {
            self.room.starved();
        }
        let evaluation = &ended.evaluated.evaluation;
        if evaluation.verdict.kind() != VerdictKind::Infra {
            let took = running.since.elapsed();
            self.room.learn(ended.job.instance, took, evaluation.usage.peak_memory);
        }
    }

    /// A job of this instance has its verdict; after the last nobody needs its image.
    fn one_less(&mut self, instance: usize) {
        let Some(left) = self.left.get_mut(&instance) else { return };
        *left = left.saturating_sub(1);
        if *left == 0 {
            self.left.remove(&instance);
            self.shared.jobs.finished(&self.shared.plan.dataset.instances[instance]);
        }
    }

    fn retry(&mut self, job: Job, cause: InfraCause) -> Result<(), JournalError> {
        let after = pause(&self.shared.plan.retries, job.tries);
        let key = self.shared.plan.predictions[job.prediction].key();
        self.append(vec![Event::Retrying {
            key: key.clone(),
            round: job.round,
            cause: cause.clone(),
            not_before: Timestamp::now() + after,
        }])?;
        let again = Job { round: job.round + 1, tries: job.tries + 1, ..job };
        self.queue.push_later(again, Instant::now() + after);
        self.tell(&Progress::Retrying { key: &key, cause: &cause, after });
        Ok(())
    }

    /// Writes verdicts down, and tells of them once they are on disk.
    async fn conclude(&mut self, verdicts: Vec<Event>) -> Result<(), JournalError> {
        if verdicts.is_empty() {
            return Ok(());
        }
        let keys: Vec<_> = verdicts.iter().filter_map(key_of).cloned().collect();
        self.commit(verdicts).await?;
        for key in keys {
            let Some(done) = self.state.done(&key).cloned() else { continue };
            *self.tally.done.entry(done.kind).or_default() += 1;
            let (kind, why, took) = (done.kind, done.why.as_deref(), done.usage.wall);
            self.tell(&Progress::Done { key: &key, kind, why, took });
        }
        Ok(())
    }

    fn look(&mut self, tick: bool) {
        let running = self.running.len();
        self.room.look(running, &mut self.shared.waiting.lock().expect("no holder panics"));
        self.queue.unsort();
        if tick {
            self.tell(&Progress::Tick);
        }
    }

    /// The end was asked for: what has its verdict keeps it, the rest can be run later.
    async fn interrupt(&mut self) -> Result<(), JournalError> {
        self.tell(&Progress::Stopping);
        if let Some(ended) = self.tasks.try_join_next() {
            self.settle(ended.expect("a task catches its own panics")).await?;
        }
        self.commit(vec![Event::Interrupted { in_flight: self.running.len() }]).await
    }

    /// Ends what still runs. A dropped task drops its sandbox, which ends it.
    async fn stop(&mut self) {
        self.preparing.shutdown().await;
        self.tasks.shutdown().await;
    }

    /// Writes events down. They may be lost in a power cut, but never without those after them.
    fn append(&mut self, events: Vec<Event>) -> Result<(), JournalError> {
        let at = Timestamp::now();
        let journal = self.journal.as_mut().expect("it is here but while it is synced");
        let places = journal.append(at, &events)?;
        for (event, place) in events.iter().zip(places) {
            self.state.apply(at, event, place).expect("the run's own predictions");
        }
        Ok(())
    }

    /// Writes events down and waits until they, and all before them, are on disk.
    async fn commit(&mut self, events: Vec<Event>) -> Result<(), JournalError> {
        self.append(events)?;
        let mut journal = self.journal.take().expect("it is here but while it is synced");
        let synced = tokio::task::spawn_blocking(move || (journal.sync(), journal)).await;
        let (result, journal) = synced.expect("a sync does not panic");
        self.journal = Some(journal);
        result
    }

    fn tell(&mut self, event: &Progress<'_>) {
        self.tally.running = self.running.len();
        self.tally.ready = self.queue.ready();
        self.tally.retrying = self.queue.waiting();
        self.tally.images = self.wanted.len();
        self.tally.building = self.preparing.len();
        self.tally.elapsed = self.began.elapsed();
        self.tally.estimate();
        self.progress.progress(event, &self.tally);
    }
}

fn evaluated(key: PredictionKey, round: u32, evaluation: Evaluation) -> Event {
    Event::Evaluated(Box::new(Evaluated::new(key, round, evaluation)))
}

fn key_of(event: &Event) -> Option<&PredictionKey> {
    match event {
        Event::Evaluated(evaluated) => Some(&evaluated.key),
        _ => None,
    }
}

/// Doubles with each try, and is varied so that what failed together does not come back together.
fn pause(retries: &super::Retries, tries: u32) -> Duration {
    let doubled = retries.pause.saturating_mul(1 << (tries - 1).min(16));
    doubled.min(retries.longest).mul_f64(rand::random_range(0.5..1.5))
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
