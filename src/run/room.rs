//! Whether there is room for another sandbox: the machine's figures, and what this run and those
//! before it have learned, brought to the two gates.

use super::admission::{Cores, Memory, Waiting};
use super::machine::{Machine, Slices};
use super::queue::{Durations, Job};
use crate::history::{Expectations, Source};
use crate::model::{Instance, Usage};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;
use tokio::time::Instant;

/// The gates, and what they need to know.
pub(crate) struct Room {
    machine: Box<dyn Machine>,
    memory: Memory,
    cores: Cores,
    durations: Durations,
    likes: Vec<Likes>,
    slices: Slices,
    looked: Instant,
    until_own: u32,
}

/// On a full machine, every how many looks our own tasks are told from others.
const LOOKS_AT_OWN: u32 = 3;

/// An instance: what it is like, most alike first, and how many tests it has.
struct Likes {
    groups: [u64; 3],
    tests: usize,
}

impl Room {
    /// For these instances, of which that is expected; with this limit of memory for each sandbox and
    /// at most so many of them.
    pub(crate) fn new(
        mut machine: Box<dyn Machine>,
        (instances, expectations): (&[Instance], &Expectations),
        (limit, parallel): (Option<u64>, usize),
        now: Instant,
    ) -> Self {
        let total = machine.memory();
        let sample = machine.sample();
        let available = sample.map_or(total / 2, |sample| sample.available);
        let mut room = Self {
            memory: Memory::new(total, available, limit),
            cores: Cores::new(machine.cpus(), parallel),
            durations: Durations::default(),
            likes: instances.iter().map(Likes::of).collect(),
            slices: sample.map(|sample| sample.slices).unwrap_or_default(),
            looked: now,
            until_own: 0,
            machine,
        };
        room.remember(instances, expectations);
        room
    }

    /// Takes in what is known from before. What is known of the instance itself goes first, and
    /// tells of its likes as well; a mean of its likes stands for those alone.
    fn remember(&mut self, instances: &[Instance], expectations: &Expectations) {
        let known = instances.iter().map(|instance| expectations.of(instance));
        for (likes, known) in self.likes.iter().zip(known) {
            let Some((expected, source)) = known else { continue };
            let groups = match source {
                Source::Instance => &likes.groups[..],
                Source::Version => &likes.groups[1..2],
                Source::Repo => &likes.groups[2..],
            };
            self.durations.learn(groups, expected.took, expected.cpu);
            self.memory.learn(groups, expected.peak);
        }
    }

    /// Looks at the machine.
    pub(crate) fn look(&mut self, running: usize, waiting: &mut Waiting, now: Instant) {
        let since = now - std::mem::replace(&mut self.looked, now);
        let Some(sample) = self.machine.sample() else { return };
        let busy = sample.slices.busy_since(self.slices);
        self.slices = sample.slices;
        self.memory.observe(sample.available, sample.stalled, now);
        self.cores.observe(busy, sample.runnable);
        if self.cores.is_full() {
            // Whose tasks wait is a longer look: less often, and nothing changes in between.
            self.until_own = self.until_own.saturating_sub(1);
            if self.until_own == 0 {
                self.until_own = LOOKS_AT_OWN;
                self.cores.observe_own(self.machine.own_tasks(running));
                self.cores.steer(running);
            }
        } else {
            self.cores.steer(running);
        }
        waiting.observe(&sample, self.machine.cpus(), since);
    }

    /// Takes room for a job, if there is some: the bytes and the CPUs set aside. Where nothing runs
    /// there is always room, else a run could wait for itself.
    pub(crate) fn take(
        &mut self,
        job: &Job,
        running: usize,
        now: Instant,
    ) -> Option<(u64, Option<f64>)> {
        let careful = job.tries > 1;
        let groups = &self.likes[job.instance].groups;
        let expected = self.memory.expected(groups, careful);
        let share = self.durations.share(groups);
        let fits = self.cores.has_room(running, share) && self.memory.has_room(expected);
        if running > 0 && !fits {
            return None;
        }
        self.memory.take(expected, now);
        self.cores.take(share);
        Some((expected, share))
    }

    /// Gives back what [`Room::take`] set aside.
    pub(crate) fn give_back(&mut self, (memory, share): (u64, Option<f64>)) {
        self.memory.give_back(memory);
        self.cores.give_back(share);
    }

    /// A sandbox of this instance held its place for so long, and used that.
    pub(crate) fn learn(&mut self, instance: usize, took: Duration, usage: &Usage) {
        let groups = &self.likes[instance].groups;
        self.durations.learn(groups, took, usage.user + usage.system);
        self.memory.learn(groups, usage.peak_memory);
    }

    /// How long it will take if it has to be said: where nothing is known of its likes, as long as
    /// others. `None`: nothing is known of any.
    pub(crate) fn estimate(&self, instance: usize) -> Option<Duration> {
        self.durations.estimate(&self.likes[instance].groups)
    }

    /// How many could run at a time, as things are.
    pub(crate) fn places(&self) -> usize {
        self.cores.allowed()
    }

    /// Tests timed out for want of a CPU.
    pub(crate) fn starved(&mut self) {
        self.cores.starved();
    }

    /// How long a sandbox of this instance will take.
    pub(crate) fn expected(&self, instance: usize) -> Duration {
        let likes = &self.likes[instance];
        self.durations.expected(&likes.groups, likes.tests)
    }
}

impl Likes {
    fn of(instance: &Instance) -> Self {
        let group = |key: &[&str]| {
            let mut hasher = DefaultHasher::new();
            key.hash(&mut hasher);
            hasher.finish()
        };
        Self {
            groups: [
                group(&["instance", instance.id.as_str()]),
                group(&["version", &instance.repo, &instance.version]),
                group(&["repo", &instance.repo]),
            ],
            tests: instance.fail_to_pass.len() + instance.pass_to_pass.len(),
        }
    }
}
