//! Whether there is room for another sandbox: the machine's figures and what this run has learned,
//! brought to the two gates.

use super::admission::{Cores, Memory, Waiting};
use super::machine::{Machine, Slices};
use super::queue::{Durations, Job};
use crate::dataset::Dataset;
use crate::model::Instance;
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
    /// For the instances of a data set, with this limit of memory for each sandbox and at most so
    /// many of them.
    pub(crate) fn new(
        mut machine: Box<dyn Machine>,
        dataset: &Dataset,
        limit: Option<u64>,
        parallel: usize,
    ) -> Self {
        let total = machine.memory();
        let sample = machine.sample();
        let available = sample.map_or(total / 2, |sample| sample.available);
        Self {
            memory: Memory::new(total, available, limit),
            cores: Cores::new(machine.cpus(), parallel),
            durations: Durations::default(),
            likes: dataset.instances.iter().map(Likes::of).collect(),
            slices: sample.map(|sample| sample.slices).unwrap_or_default(),
            looked: Instant::now(),
            until_own: 0,
            machine,
        }
    }

    /// Looks at the machine.
    pub(crate) fn look(&mut self, running: usize, waiting: &mut Waiting) {
        let now = Instant::now();
        let since = now - std::mem::replace(&mut self.looked, now);
        let Some(sample) = self.machine.sample() else { return };
        let busy = sample.slices.busy_since(self.slices);
        self.slices = sample.slices;
        self.memory.observe(sample.available, now);
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

    /// Takes room for a job, if there is some: the bytes set aside. Where nothing runs there is
    /// always room, else a run could wait for itself.
    pub(crate) fn take(&mut self, job: &Job, running: usize) -> Option<u64> {
        let careful = job.tries > 1;
        let expected = self.memory.expected(&self.likes[job.instance].groups, careful);
        let fits = running < self.cores.allowed() && self.memory.has_room(expected);
        if running > 0 && !fits {
            return None;
        }
        self.memory.take(expected, Instant::now());
        Some(expected)
    }

    /// Gives back what [`Room::take`] set aside.
    pub(crate) fn give_back(&mut self, expected: u64) {
        self.memory.give_back(expected);
    }

    /// A sandbox of this instance took so long and needed so much memory at its peak.
    pub(crate) fn learn(&mut self, instance: usize, took: Duration, peak: u64) {
        let groups = &self.likes[instance].groups;
        self.durations.learn(groups, took);
        self.memory.learn(groups, peak);
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
