//! What is done when: which image is made sure of next, which prediction may run, what waits. The
//! conductor does what it says, and so does the simulator, whose clock is not the machine's. Nothing
//! here looks at a clock.

use super::admission::Waiting;
use super::queue::{Job, Order, Queue};
use super::room::Room;
use crate::model::Usage;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// How often the machine is looked at.
pub(crate) const LOOK: Duration = Duration::from_millis(200);

/// Everything that is still to be done, in its order.
pub(crate) struct Schedule {
    room: Room,
    queue: Queue,
    /// By instance: jobs that wait for its image.
    wanted: HashMap<usize, Vec<Job>>,
    to_prepare: VecDeque<usize>,
    preparing: usize,
    /// By instance: jobs without a verdict.
    left: HashMap<usize, usize>,
    /// By prediction.
    running: HashMap<usize, Running>,
    bounds: Bounds,
}

/// How much may be done at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Sandboxes.
    pub parallel: usize,
    /// Images.
    pub images: usize,
}

struct Running {
    instance: usize,
    since: Instant,
    memory: u64,
    share: Option<f64>,
}

/// A job that was given its place.
pub(crate) struct Admitted {
    pub(crate) job: Job,
    /// How many run now, this one included.
    pub(crate) in_flight: usize,
}

/// How a job ended.
pub(crate) struct Ending<'a> {
    pub(crate) job: Job,
    pub(crate) usage: &'a Usage,
    /// Whether something can be learned from it: it was no trouble of ours.
    pub(crate) teaches: bool,
    /// Whether tests timed out for want of a CPU.
    pub(crate) starved: bool,
}

impl Schedule {
    /// With this to do, by instance.
    pub(crate) fn new(
        room: Room,
        wanted: HashMap<usize, Vec<Job>>,
        bounds: Bounds,
        order: Order,
    ) -> Self {
        let mut prepare: Vec<usize> = wanted.keys().copied().collect();
        prepare.sort_by_key(|&instance| match order {
            Order::LongestFirst => (Reverse(room.expected(instance)), instance),
            Order::FirstCome => (Reverse(Duration::ZERO), instance),
        });
        Self {
            room,
            queue: Queue::new(order),
            to_prepare: prepare.into(),
            preparing: 0,
            left: wanted.iter().map(|(&at, jobs)| (at, jobs.len())).collect(),
            wanted,
            running: HashMap::new(),
            bounds,
        }
    }

    /// Whether nothing is left to do.
    pub(crate) fn is_done(&self) -> bool {
        self.running.is_empty()
            && self.wanted.is_empty()
            && self.queue.ready() + self.queue.waiting() == 0
    }

    /// Every job that waits for an image nobody has asked for yet.
    pub(crate) fn unprepared(&self) -> Vec<Job> {
        let mut jobs: Vec<Job> = self.wanted.values().flatten().copied().collect();
        jobs.sort_unstable();
        jobs
    }

    /// A job needs no run.
    pub(crate) fn strike(&mut self, job: &Job) {
        self.queue.strike(job);
        let Some(jobs) = self.wanted.get_mut(&job.instance) else { return };
        jobs.retain(|other| other != job);
        if jobs.is_empty() {
            self.wanted.remove(&job.instance);
            self.to_prepare.retain(|instance| *instance != job.instance);
        }
    }

    /// Nothing of what is left is to be done.
    pub(crate) fn drop_all(&mut self) {
        self.wanted.clear();
        self.to_prepare.clear();
    }

    /// The next instance whose image is to be made sure of, if it is time for one.
    pub(crate) fn next_image(&mut self) -> Option<usize> {
        if self.preparing >= self.bounds.images.max(1) {
            return None;
        }
        let instance = self.to_prepare.pop_front()?;
        self.preparing += 1;
        Some(instance)
    }

    /// An image is there, or it is known that it cannot be had: these jobs waited for it.
    pub(crate) fn image_ended(&mut self, instance: usize) -> Vec<Job> {
        self.preparing = self.preparing.saturating_sub(1);
        self.wanted.remove(&instance).unwrap_or_default()
    }

    /// This job's image is there.
    pub(crate) fn ready(&mut self, job: Job) {
        self.queue.push(job);
    }

    /// Gives places to jobs as long as there is room.
    pub(crate) fn admit(&mut self, now: Instant) -> Vec<Admitted> {
        let mut admitted = Vec::new();
        while self.running.len() < self.bounds.parallel.max(1) {
            let room = &self.room;
            let Some(job) = self.queue.peek(|instance| room.expected(instance)) else { break };
            let Some((memory, share)) = self.room.take(&job, self.running.len(), now) else {
                break;
            };
            self.queue.pop();
            let running = Running { instance: job.instance, since: now, memory, share };
            self.running.insert(job.prediction, running);
            admitted.push(Admitted { job, in_flight: self.running.len() });
        }
        admitted
    }

    /// A job has ended: its room is free, and something was learned. Returns how long it held it.
    pub(crate) fn ended(&mut self, ending: &Ending<'_>, now: Instant) -> Duration {
        let Some(running) = self.running.remove(&ending.job.prediction) else {
            return Duration::ZERO;
        };
        self.room.give_back((running.memory, running.share));
        if ending.starved {
            self.room.starved();
        }
        let took = now - running.since;
        if ending.teaches {
            self.room.learn(ending.job.instance, took, ending.usage);
        }
        took
    }

    /// A job is to be done again, not before that time.
    pub(crate) fn again(&mut self, job: Job, at: Instant) {
        self.queue.push_later(job, at);
    }

    /// A job has its verdict; whether it was the last of its instance.
    pub(crate) fn concluded(&mut self, instance: usize) -> bool {
        let Some(left) = self.left.get_mut(&instance) else { return false };
        *left = left.saturating_sub(1);
        let last = *left == 0;
        if last {
            self.left.remove(&instance);
        }
        last
    }

    /// A look at the machine.
    pub(crate) fn look(&mut self, waiting: &mut Waiting, now: Instant) {
        self.room.look(self.running.len(), waiting, now);
        self.queue.unsort();
    }

    /// Takes over what has waited long enough.
    pub(crate) fn wake(&mut self, now: Instant) {
        self.queue.wake(now);
    }

    /// When [`Schedule::wake`] will next have something to do.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        self.queue.next_wake()
    }

    /// How many run.
    pub(crate) fn running(&self) -> usize {
        self.running.len()
    }

    /// What is likely to be admitted next.
    pub(crate) fn next(&self, count: usize) -> impl Iterator<Item = Job> + '_ {
        self.queue.next(count)
    }

    /// How many could run, and how many wait for another try.
    pub(crate) fn queued(&self) -> (usize, usize) {
        (self.queue.ready(), self.queue.waiting())
    }

    /// Instances whose image is not there, and images being made sure of.
    pub(crate) fn images(&self) -> (usize, usize) {
        (self.wanted.len(), self.preparing)
    }

    /// How long all that is left will take, by what is expected of each, on as many places as there
    /// are now; `None`: nothing is known.
    pub(crate) fn left(&self, now: Instant) -> Option<Duration> {
        let places = self.room.places().min(self.bounds.parallel.max(1)).max(self.running.len());
        let mut free: BinaryHeap<Reverse<Duration>> = BinaryHeap::new();
        for running in self.running.values() {
            let gone = now - running.since;
            free.push(Reverse(self.room.estimate(running.instance)?.saturating_sub(gone)));
        }
        while free.len() < places.max(1) {
            free.push(Reverse(Duration::ZERO));
        }
        let waiting = self.wanted.values().flatten().map(|job| job.instance);
        let open = self.queue.instances().chain(waiting);
        let mut times: Vec<Duration> =
            open.map(|at| self.room.estimate(at)).collect::<Option<_>>()?;
        times.sort_unstable();
        while let (Some(time), Some(Reverse(at))) = (times.pop(), free.peek().copied()) {
            free.pop();
            free.push(Reverse(at + time));
        }
        free.into_iter().map(|Reverse(at)| at).max()
    }
}
