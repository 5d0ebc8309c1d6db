//! The one task that owns a run: it admits jobs, takes their results, and writes everything down.

use super::agenda::Agenda;
use super::jobs::Prepared;
use super::knowledge::{Knowledge, Taken};
use super::machine::Machine;
use super::open::Opened;
use super::progress::{Progress, ProgressSink, Tally};
use super::queue::Job;
use super::room::Room;
use super::schedule::{Bounds, Ending, LOOK, Schedule};
use super::work::{Ended, Shared, work};
use super::{KnownUse, RunPlan};
use crate::evaluate::{Task, infra};
use crate::journal::{Evaluated, Event, Journal, JournalError, RunState};
use crate::layers::ImageKey;
use crate::model::{Evaluation, InfraCause, PredictionKey, Verdict, VerdictKind};
use futures_util::FutureExt as _;
use jiff::Timestamp;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// Looks between two ticks of the progress.
const LOOKS_A_TICK: u32 = 5;
/// So many jobs are announced before they are admitted, at most.
const ANNOUNCED: usize = 8;

/// Runs what is open of a run. Returns when every prediction has its verdict, or, after `cancel`,
/// when nothing runs any more.
pub(crate) async fn conduct(
    opened: Opened,
    machine: Box<dyn Machine>,
    progress: &mut dyn ProgressSink,
    cancel: CancellationToken,
) -> Result<RunState, JournalError> {
    let (agenda, room) = survey(&opened, machine);
    let mut conductor = Conductor::new(opened, (agenda, room), progress);
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
    knowledge: Knowledge,
    progress: &'a mut dyn ProgressSink,
    schedule: Schedule,
    /// Verdicts that need no run.
    at_once: Vec<Event>,
    images: HashMap<usize, ImageKey>,
    preparing: JoinSet<Looked>,
    tasks: JoinSet<Ended>,
    tally: Tally,
    began: Instant,
}

/// The end of making sure of an image.
struct Looked {
    instance: usize,
    took: Duration,
    result: Result<Prepared, InfraCause>,
}

/// What is left to do, and room for it that knows what this run has seen before.
fn survey(opened: &Opened, machine: Box<dyn Machine>) -> (Agenda, Room) {
    let RunPlan { dataset, expectations, options, parallel, .. } = &opened.shared.plan;
    let instances = dataset.instances.as_slice();
    let limits = (options.sandbox.limits.memory, *parallel);
    let mut room = Room::new(machine, (instances, expectations), limits, Instant::now());
    let agenda = Agenda::of(dataset, &opened.state);
    for (instance, done) in agenda.done.iter().filter(|(_, done)| done.known.is_none()) {
        room.learn(*instance, done.usage.wall, &done.usage);
    }
    (agenda, room)
}

impl<'a> Conductor<'a> {
    fn new(
        opened: Opened,
        (agenda, room): (Agenda, Room),
        progress: &'a mut dyn ProgressSink,
    ) -> Self {
        let Opened { shared, journal, state } = opened;
        let mut tally = Tally { total: agenda.total, ..Tally::default() };
        for (_, done) in &agenda.done {
            *tally.done.entry(done.kind).or_default() += 1;
        }
        tally.before = tally.finished();
        let plan = &shared.plan;
        let bounds = Bounds { parallel: plan.parallel, images: plan.image_jobs };
        let at_once = agenda.empty.into_iter().map(|key| {
            let evaluation = Evaluation { verdict: Verdict::EmptyPatch, ..infra("", "") };
            evaluated(key, 0, evaluation)
        });
        Self {
            knowledge: Knowledge::new(plan, &state.header),
            schedule: Schedule::new(room, agenda.wanted, bounds, plan.order),
            at_once: at_once.collect(),
            shared,
            journal: Some(journal),
            state,
            progress,
            images: HashMap::new(),
            preparing: JoinSet::new(),
            tasks: JoinSet::new(),
            tally,
            began: Instant::now(),
        }
    }

    async fn run(&mut self, cancel: &CancellationToken) -> Result<(), JournalError> {
        let at_once = std::mem::take(&mut self.at_once);
        self.conclude(at_once).await?;
        self.take_known(self.schedule.unprepared(), None).await?;
        if self.shared.plan.known == KnownUse::Only {
            self.schedule.drop_all();
        }
        self.tell(&Progress::Began);
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks = 0;
        while !self.schedule.is_done() {
            self.prepare_next();
            self.admit()?;
            let wake = self.schedule.next_wake();
            tokio::select! {
                () = cancel.cancelled() => return self.interrupt().await,
                Some(ended) = self.tasks.join_next() => {
                    self.settle(ended.expect("a task catches its own panics")).await?;
                }
                Some(looked) = self.preparing.join_next() => {
                    self.prepared(looked.expect("a task catches its own panics")).await?;
                }
                () = sleep_until(wake), if wake.is_some() => self.schedule.wake(Instant::now()),
                _ = look.tick() => {
                    looks += 1;
                    self.look(looks % LOOKS_A_TICK == 0);
                }
            }
        }
        if self.tally.finished() < self.tally.total {
            return Ok(());
        }
        self.commit(vec![Event::Finished]).await.map(drop)
    }

    /// Takes over the verdicts of these jobs that are known already; with what image, if it is there.
    async fn take_known(
        &mut self,
        jobs: Vec<Job>,
        image: Option<ImageKey>,
    ) -> Result<(), JournalError> {
        let taken = self.knowledge.take(&self.shared, jobs, image).await;
        let mut verdicts = Vec::new();
        for Taken { job, evaluated } in taken {
            self.schedule.strike(&job);
            self.one_less(job.instance);
            verdicts.push(Event::Evaluated(Box::new(evaluated)));
        }
        self.tally.known += verdicts.len();
        self.conclude(verdicts).await
    }

    /// Makes sure of further images, in the order in which they are wanted.
    fn prepare_next(&mut self) {
        while let Some(instance) = self.schedule.next_image() {
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
        let Looked { instance, took, result } = looked;
        let jobs = self.schedule.image_ended(instance);
        let prepared = match result {
            Ok(prepared) => prepared,
            Err(cause) => return self.without_image(jobs, &cause).await,
        };
        self.images.insert(instance, prepared.key);
        let id = self.shared.plan.dataset.instances[instance].id.clone();
        let at = self.append(vec![Event::ImageReady {
            instance_id: id.clone(),
            name: prepared.name.clone(),
            image: prepared.key,
            digest: prepared.digest.clone(),
            built: prepared.built,
            took,
        }])?;
        self.knowledge.image_there(&prepared, &id, (at, took));
        for job in &jobs {
            self.schedule.ready(*job);
        }
        // What could not be asked before, because its image was not known.
        self.take_known(jobs, Some(prepared.key)).await?;
        self.tell(&Progress::ImageReady { name: &prepared.name, built: prepared.built, took });
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
        let admitted = self.schedule.admit(Instant::now());
        if admitted.is_empty() {
            return Ok(());
        }
        let key = |job: &Job| self.shared.plan.predictions[job.prediction].key();
        let events = admitted.iter().map(|admitted| Event::Started {
            key: key(&admitted.job),
            round: admitted.job.round,
            in_flight: admitted.in_flight,
        });
        self.append(events.collect())?;
        for job in admitted.iter().map(|admitted| admitted.job) {
            self.tasks.spawn(work(self.shared.clone(), job, self.images[&job.instance]));
            let key = self.shared.plan.predictions[job.prediction].key();
            self.tell(&Progress::Started { key: &key, round: job.round });
        }
        self.announce();
        Ok(())
    }

    /// Says what is likely to be admitted next.
    fn announce(&self) {
        let plan = &self.shared.plan;
        for job in self.schedule.next(plan.parallel.clamp(1, ANNOUNCED)) {
            let task = Task {
                instance: &plan.dataset.instances[job.instance],
                prediction: &plan.predictions[job.prediction],
            };
            self.shared.jobs.is_next(&self.images[&job.instance], task, &plan.options);
        }
    }

    /// Takes the result of a task, and of all others that have ended by now: they are written down
    /// together, with one sync.
    async fn settle(&mut self, first: Ended) -> Result<(), JournalError> {
        let mut verdicts = Vec::new();
        let mut retries = Vec::new();
        let mut next = Some(first);
        while let Some(ended) = next {
            let took = self.release(&ended);
            let Ended { job, evaluated, .. } = ended;
            match &evaluated.evaluation.verdict {
                Verdict::Infra { cause } if job.tries < self.shared.plan.retries.rounds => {
                    retries.push((job, cause.clone()));
                }
                _ => {
                    self.one_less(job.instance);
                    self.knowledge.held(&evaluated.key, (self.images[&job.instance], took));
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

    /// A task has ended: its room is free, and something was learned. Returns how long it held it.
    fn release(&mut self, ended: &Ended) -> Duration {
        let evaluation = &ended.evaluated.evaluation;
        let ending = Ending {
            job: ended.job,
            usage: &evaluation.usage,
            teaches: evaluation.verdict.kind() != VerdictKind::Infra,
            starved: ended.starved,
        };
        self.schedule.ended(&ending, Instant::now())
    }

    /// A job of this instance has its verdict; after the last nobody needs its image.
    fn one_less(&mut self, instance: usize) {
        if self.schedule.concluded(instance) {
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
        self.schedule.again(again, Instant::now() + after);
        self.tell(&Progress::Retrying { key: &key, cause: &cause, after });
        Ok(())
    }

    /// Writes verdicts down, and tells of them once they are on disk.
    async fn conclude(&mut self, verdicts: Vec<Event>) -> Result<(), JournalError> {
        if verdicts.is_empty() {
            return Ok(());
        }
        let keys: Vec<_> = verdicts.iter().filter_map(key_of).cloned().collect();
        let learned = self.knowledge.of_interest(&verdicts);
        let at = self.commit(verdicts).await?;
        self.knowledge.learn(learned, &self.shared, at);
        for key in keys {
            let Some(done) = self.state.done(&key).cloned() else { continue };
            *self.tally.done.entry(done.kind).or_default() += 1;
            let (kind, why, took) = (done.kind, done.why.as_deref(), done.usage.wall);
            let known = done.known.as_ref();
            self.tell(&Progress::Done { key: &key, kind, why, took, known });
        }
        Ok(())
    }

    fn look(&mut self, tick: bool) {
        let now = Instant::now();
        self.schedule.look(&mut self.shared.waiting.lock().expect("no holder panics"), now);
        if tick {
            self.tally.eta = self.schedule.left(now);
            self.tell(&Progress::Tick);
        }
    }

    /// The end was asked for: what has its verdict keeps it, the rest can be run later.
    async fn interrupt(&mut self) -> Result<(), JournalError> {
        self.tell(&Progress::Stopping);
        if let Some(ended) = self.tasks.try_join_next() {
            self.settle(ended.expect("a task catches its own panics")).await?;
        }
        self.commit(vec![Event::Interrupted { in_flight: self.schedule.running() }]).await.map(drop)
    }

    /// Ends what still runs. A dropped task drops its sandbox, which ends it.
    async fn stop(&mut self) {
        self.preparing.shutdown().await;
        self.tasks.shutdown().await;
    }

    /// Writes events down and returns the moment they are written under. They may be lost in a power
    /// cut, but never without those after them.
    fn append(&mut self, events: Vec<Event>) -> Result<Timestamp, JournalError> {
        let at = Timestamp::now();
        let journal = self.journal.as_mut().expect("it is here but while it is synced");
        let places = journal.append(at, &events)?;
        for (event, place) in events.iter().zip(places) {
            self.state.apply(at, event, place).expect("the run's own predictions");
        }
        Ok(at)
    }

    /// Writes events down and waits until they, and all before them, are on disk.
    async fn commit(&mut self, events: Vec<Event>) -> Result<Timestamp, JournalError> {
        let at = self.append(events)?;
        let mut journal = self.journal.take().expect("it is here but while it is synced");
        let synced = tokio::task::spawn_blocking(move || (journal.sync(), journal)).await;
        let (result, journal) = synced.expect("a sync does not panic");
        self.journal = Some(journal);
        result.map(|()| at)
    }

    fn tell(&mut self, event: &Progress<'_>) {
        self.tally.running = self.schedule.running();
        (self.tally.ready, self.tally.retrying) = self.schedule.queued();
        (self.tally.images, self.tally.building) = self.schedule.images();
        self.tally.elapsed = self.began.elapsed();
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
