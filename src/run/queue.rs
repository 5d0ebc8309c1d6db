//! What runs next: the longest first, as far as this run knows; what failed waits its turn.

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

/// Predictions whose image is there.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// Shortest first, where `sorted`.
    ready: Vec<Job>,
    sorted: bool,
    later: BinaryHeap<Reverse<(Instant, Job)>>,
}

impl Queue {
    /// Could run now.
    pub(crate) fn push(&mut self, job: Job) {
        self.ready.push(job);
        self.sorted = false;
    }

    /// Could run at that time.
    pub(crate) fn push_later(&mut self, job: Job, at: Instant) {
        self.later.push(Reverse((at, job)));
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
            self.ready.sort_by_cached_key(|job| {
                (expected(job.instance), Reverse((job.round, job.prediction)))
            });
            self.sorted = true;
        }
        self.ready.last().copied()
    }

    /// Takes the one that [`Queue::peek`] showed.
    pub(crate) fn pop(&mut self) {
        self.ready.pop();
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

/// How long predictions take, as far as this run has seen.
#[derive(Debug, Default)]
pub(crate) struct Durations {
    means: HashMap<u64, (u32, Duration)>,
}

impl Durations {
    /// A sandbox of these likes, most alike first, took so long.
    pub(crate) fn learn(&mut self, likes: &[u64], took: Duration) {
        for like in likes {
            let (count, mean) = self.means.entry(*like).or_default();
            *mean = (*mean * *count + took) / (*count + 1);
            *count = count.saturating_add(1).min(1000);
        }
    }

    /// How long one of these likes will take; without any knowledge, by its number of tests: only
    /// the order matters then.
    pub(crate) fn expected(&self, likes: &[u64], tests: usize) -> Duration {
        let known = likes.iter().find_map(|like| self.means.get(like));
        known.map_or_else(
            || Duration::from_millis(1000 + 20 * tests.min(100_000) as u64),
            |(_, mean)| *mean,
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
        durations.learn(&likes(2), Duration::from_secs(9));
        durations.learn(&likes(3), Duration::from_secs(2));
        durations.learn(&likes(3), Duration::from_secs(4));
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
        queue.wake(now);
        assert_eq!((queue.ready(), queue.waiting()), (0, 1));
        queue.wake(queue.next_wake().unwrap());
        assert_eq!((queue.ready(), queue.waiting(), queue.next_wake()), (1, 0, None));
    }
}
