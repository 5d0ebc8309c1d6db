//! What runs next: the longest first, as far as is known; what failed waits its turn.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;
use tokio::time::Instant;

/// A prediction that could run now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Job {
    /// Which prediction of the run.
    pub prediction: usize,
    /// Which instance of the run.
    pub instance: usize,
    /// Which round of the run.
    pub round: u32,
    /// Which round of this session, from 1.
    pub tries: u32,
}

/// Which of the predictions that could run does so first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The one that is expected to take longest: what takes long is not left for the end, where
    /// nothing is left to run beside it.
    #[default]
    LongestFirst,
    /// The first of the run.
    FirstCome,
}

/// Predictions whose image is there.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    order: Order,
    /// The last is the next, where `sorted`.
    ready: Vec<Job>,
    sorted: bool,
    later: BinaryHeap<Reverse<(Instant, Job)>>,
}

impl Queue {
    /// An empty one.
    pub(crate) fn new(order: Order) -> Self {
        Self { order, ..Self::default() }
    }

    /// Could run now.
    pub(crate) fn push(&mut self, job: Job) {
        self.ready.push(job);
        self.sorted = false;
    }

    /// Could run at that time.
    pub(crate) fn push_later(&mut self, job: Job, at: Instant) {
        self.later.push(Reverse((at, job)));
    }

    /// This one needs no run.
    pub(crate) fn strike(&mut self, job: &Job) {
        self.ready.retain(|other| other != job);
    }

    /// The expectations changed.
    pub(crate) fn unsort(&mut self) {
        self.sorted = false;
    }

    /// Takes over what has waited long enough.
    pub(crate) fn wake(&mut self, now: Instant) {
        while let Some(Reverse((at, job))) = self.later.peek().copied()
            && at <= now
        {
            self.later.pop();
            self.push(job);
        }
    }

    /// When [`Queue::wake`] will next have something to do.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        self.later.peek().map(|Reverse((at, _))| *at)
    }

    /// The next to run: the one expected to take longest; among equals the first of the run.
    pub(crate) fn peek(&mut self, expected: impl Fn(usize) -> Duration) -> Option<Job> {
        if !self.sorted {
            let order = self.order;
            self.ready.sort_by_cached_key(|job| {
                let time = match order {
                    Order::LongestFirst => expected(job.instance),
                    Order::FirstCome => Duration::ZERO,
                };
                (time, Reverse((job.round, job.prediction)))
            });
            self.sorted = true;
        }
        self.ready.last().copied()
    }

    /// Takes the one that [`Queue::peek`] showed.
    pub(crate) fn pop(&mut self) {
        self.ready.pop();
    }

    /// The instances of all that is in it.
    pub(crate) fn instances(&self) -> impl Iterator<Item = usize> {
        let later = self.later.iter().map(|Reverse((_, job))| job);
        self.ready.iter().chain(later).map(|job| job.instance)
    }

    /// What [`Queue::peek`] would show next, and after that, as things stand.
    pub(crate) fn next(&self, count: usize) -> impl Iterator<Item = Job> + '_ {
        self.ready.iter().rev().take(if self.sorted { count } else { 0 }).copied()
    }

    /// How many could run now.
    pub(crate) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// How many wait for another try.
    pub(crate) fn waiting(&self) -> usize {
        self.later.len()
    }
}

/// How long predictions take and how much of a CPU, as far as is known from before and as this run
/// has seen.
#[derive(Debug, Default)]
pub(crate) struct Durations {
    means: HashMap<u64, Mean>,
    all: Mean,
}

#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    count: u32,
    took: Duration,
    cpu: Duration,
}

impl Mean {
    fn add(&mut self, took: Duration, cpu: Duration) {
        self.took = (self.took * self.count + took) / (self.count + 1);
        self.cpu = (self.cpu * self.count + cpu) / (self.count + 1);
        self.count = self.count.saturating_add(1).min(1000);
    }
}

impl Durations {
    /// A sandbox of these likes, most alike first, took so long and so much CPU time.
    pub(crate) fn learn(&mut self, likes: &[u64], took: Duration, cpu: Duration) {
        for like in likes {
            self.means.entry(*like).or_default().add(took, cpu);
        }
        self.all.add(took, cpu);
    }

    /// How long one of these likes will take, or any, if nothing is known of them.
    pub(crate) fn estimate(&self, likes: &[u64]) -> Option<Duration> {
        let known = likes.iter().find_map(|like| self.means.get(like));
        let mean = known.or(Some(&self.all).filter(|all| all.count > 0))?;
        Some(mean.took)
    }

    /// How many CPUs one of these likes uses while it runs; `None`: nothing is known.
    pub(crate) fn share(&self, likes: &[u64]) -> Option<f64> {
        let mean = likes.iter().find_map(|like| self.means.get(like))?;
        let known = !mean.took.is_zero() && !mean.cpu.is_zero();
        known.then(|| mean.cpu.as_secs_f64() / mean.took.as_secs_f64())
    }

    /// How long one of these likes will take; without any knowledge, by its number of tests: only
    /// the order matters then.
    pub(crate) fn expected(&self, likes: &[u64], tests: usize) -> Duration {
        let known = likes.iter().find_map(|like| self.means.get(like));
        known.map_or_else(
            || Duration::from_millis(1000 + 20 * tests.min(100_000) as u64),
            |mean| mean.took,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(prediction: usize) -> Job {
        Job { prediction, instance: prediction, round: 1, tries: 1 }
    }

    #[tokio::test]
    async fn the_longest_runs_first_and_the_first_of_equals() {
        let mut durations = Durations::default();
        let likes = |instance: usize| [instance as u64];
        let seconds = Duration::from_secs;
        durations.learn(&likes(2), seconds(9), seconds(0));
        durations.learn(&likes(3), seconds(2), seconds(1));
        durations.learn(&likes(3), seconds(4), seconds(2));
        assert_eq!([1, 2, 3].map(|at| durations.share(&likes(at))), [None, None, Some(0.5)]);
        // Of the others nothing is known; they count by their tests.
        let expected = |instance| durations.expected(&likes(instance), 10);
        let mut queue = Queue::default();
        (0..5).for_each(|prediction| queue.push(job(prediction)));
        let now = Instant::now();
        queue.push_later(job(5), now + Duration::from_secs(60));
        let mut order = Vec::new();
        while let Some(next) = queue.peek(expected) {
            order.push(next.prediction);
            queue.pop();
        }
        assert_eq!(order, [2, 3, 0, 1, 4]);
        let mut plain = Queue::new(Order::FirstCome);
        (0..5).rev().for_each(|prediction| plain.push(job(prediction)));
        assert_eq!(plain.peek(expected).map(|next| next.prediction), Some(0));
        queue.wake(now);
        assert_eq!((queue.ready(), queue.waiting()), (0, 1));
        queue.wake(queue.next_wake().unwrap());
        assert_eq!((queue.ready(), queue.waiting(), queue.next_wake()), (1, 0, None));
    }
}
