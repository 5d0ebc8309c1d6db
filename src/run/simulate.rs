//! A run without sandboxes: the scheduler itself, on a machine and with a clock that are made up. It
//! tells how long a run would take.
//!
//! Sandboxes share the CPUs: as long as those that run want no more than there are each goes at full
//! speed, else all of them get an equal share of what they want, and only the part of a sandbox that
//! computes goes slower.

use super::admission::Waiting;
use super::machine::{Machine, OwnTasks, Sample, Slices};
use super::queue::{Durations, Job, Order};
use super::room::Room;
use super::schedule::{Bounds, Ending, LOOK, Schedule};
use crate::history::{Expectations, Expected};
use crate::model::{Instance, Usage};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// Expected of a sandbox of which nothing is known, in bytes.
const UNKNOWN_PEAK: u64 = 512 << 20;

/// A machine, and how it is used.
#[derive(Clone, Copy, Debug)]
pub struct Pretended {
    /// CPUs.
    pub cores: usize,
    /// Memory in bytes that is free.
    pub memory: u64,
    /// How many sandboxes may run at a time.
    pub parallel: usize,
    /// How many images may be made at a time.
    pub images: usize,
    /// The limit of memory of a sandbox.
    pub limit: Option<u64>,
    /// Which prediction runs first.
    pub order: Order,
}

/// How a run would go.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Simulated {
    /// How long it would take.
    pub wall: Duration,
    /// CPU time of all sandboxes.
    pub cpu: Duration,
    /// The most that would run at one time.
    pub peak_in_flight: usize,
    /// The most memory in bytes that they would use together.
    pub peak_memory: u64,
}

/// Simulates predictions of these instances (`jobs` names the instance of each). What they take is
/// `expectations`, or where nothing is known a guess by the number of tests, also to the scheduler;
/// `image` says how long it takes until the image of an instance is there.
#[must_use]
pub fn simulate(
    instances: &[Instance],
    jobs: &[usize],
    expectations: &Expectations,
    image: &dyn Fn(&Instance) -> Duration,
    machine: &Pretended,
) -> Simulated {
    let truth = instances.iter().map(|instance| truth_of(instance, expectations)).collect();
    let figures = Arc::new(Mutex::new(Figures::default()));
    let clock = Instant::now();
    let pretend = Pretend { machine: *machine, figures: figures.clone() };
    let limits = (machine.limit, machine.parallel);
    let room = Room::new(Box::new(pretend), (instances, expectations), limits, clock);
    let mut wanted: HashMap<usize, Vec<Job>> = HashMap::new();
    for (prediction, &instance) in jobs.iter().enumerate() {
        let job = Job { prediction, instance, round: 1, tries: 1 };
        wanted.entry(instance).or_default().push(job);
    }
    let bounds = Bounds { parallel: machine.parallel, images: machine.images };
    let mut simulation = Simulation {
        schedule: Schedule::new(room, wanted, bounds, machine.order),
        truth,
        cores: machine.cores,
        figures,
        origin: clock,
        now: Duration::ZERO,
        making: BinaryHeap::new(),
        running: Vec::new(),
        result: Simulated::default(),
    };
    simulation.run(instances, image);
    simulation.result
}

/// What an evaluation takes.
fn truth_of(instance: &Instance, expectations: &Expectations) -> Expected {
    expectations.of(instance).map_or_else(
        || {
            let tests = instance.fail_to_pass.len() + instance.pass_to_pass.len();
            let took = Durations::default().expected(&[], tests);
            Expected { took, cpu: took, peak: UNKNOWN_PEAK }
        },
        |(expected, _)| expected,
    )
}

struct Simulation {
    schedule: Schedule,
    /// By instance.
    truth: Vec<Expected>,
    cores: usize,
    figures: Arc<Mutex<Figures>>,
    origin: Instant,
    /// Since the run began.
    now: Duration,
    /// When which instance's image will be there.
    making: BinaryHeap<Reverse<(Duration, usize)>>,
    running: Vec<Run>,
    result: Simulated,
}

/// A sandbox that runs.
struct Run {
    job: Job,
    /// Seconds that it would still take if it had the machine for itself.
    left: f64,
    /// CPUs that it would use then.
    share: f64,
}

impl Run {
    /// How fast it goes, if it gets this part of the CPUs that it wants.
    fn speed(&self, part: f64) -> f64 {
        let computes = self.share.min(1.0);
        1.0 / ((1.0 - computes) + computes / part)
    }

    /// Tasks of it that run or could run.
    fn runnable(&self, part: f64) -> f64 {
        let computes = self.share.min(1.0);
        (computes / part * self.speed(part)).min(1.0) * self.share.max(1.0)
    }
}

impl Simulation {
    fn run(&mut self, instances: &[Instance], image: &dyn Fn(&Instance) -> Duration) {
        let mut waiting = Waiting::default();
        let mut next_look = LOOK;
        while !self.schedule.is_done() {
            while let Some(instance) = self.schedule.next_image() {
                self.making.push(Reverse((self.now + image(&instances[instance]), instance)));
            }
            self.admit();
            let part = self.part();
            let until = self.next_event(part).min(next_look);
            self.pass(until.saturating_sub(self.now), part);
            self.images_there();
            self.end_runs();
            if self.now >= next_look {
                self.observe(part);
                self.schedule.look(&mut waiting, self.moment());
                next_look += LOOK;
            }
        }
        self.result.wall = self.now;
    }

    fn moment(&self) -> Instant {
        self.origin + self.now
    }

    fn admit(&mut self) {
        for admitted in self.schedule.admit(self.moment()) {
            let truth = &self.truth[admitted.job.instance];
            let seconds = truth.took.as_secs_f64().max(1e-6);
            let share = truth.cpu.as_secs_f64() / seconds;
            self.running.push(Run { job: admitted.job, left: seconds, share });
            self.result.peak_in_flight = self.result.peak_in_flight.max(admitted.in_flight);
        }
        let memory = self.memory();
        self.result.peak_memory = self.result.peak_memory.max(memory);
        self.figures().used = memory;
    }

    fn memory(&self) -> u64 {
        self.running.iter().map(|run| self.truth[run.job.instance].peak).sum()
    }

    /// Which part of the CPUs that they want all get: 1 as long as there are enough.
    #[expect(clippy::cast_precision_loss, reason = "counts of CPUs are small")]
    fn part(&self) -> f64 {
        let cores = self.cores.max(1) as f64;
        let used =
            |part: f64| -> f64 { self.running.iter().map(|run| run.share * run.speed(part)).sum() };
        if used(1.0) <= cores {
            return 1.0;
        }
        let (mut low, mut high) = (1e-6, 1.0);
        for _ in 0..30 {
            let middle = f64::midpoint(low, high);
            if used(middle) > cores {
                high = middle;
            } else {
                low = middle;
            }
        }
        low
    }

    /// When something happens next.
    fn next_event(&self, part: f64) -> Duration {
        let ends = self.running.iter().map(|run| {
            // Rounded up, so that it has ended by then.
            self.now
                + Duration::from_secs_f64(run.left / run.speed(part))
                + Duration::from_micros(1)
        });
        let images = self.making.peek().map(|Reverse((at, _))| *at);
        ends.chain(images).min().unwrap_or(Duration::MAX)
    }

    fn pass(&mut self, time: Duration, part: f64) {
        for run in &mut self.running {
            run.left -= time.as_secs_f64() * run.speed(part);
        }
        self.now += time;
        let used: f64 = self.running.iter().map(|run| run.share * run.speed(part)).sum();
        self.figures().pass(time, used, self.cores);
    }

    fn images_there(&mut self) {
        while let Some(Reverse((at, instance))) = self.making.peek().copied()
            && at <= self.now
        {
            self.making.pop();
            for job in self.schedule.image_ended(instance) {
                self.schedule.ready(job);
            }
        }
    }

    fn end_runs(&mut self) {
        let now = self.moment();
        let (ended, running): (Vec<Run>, Vec<Run>) =
            std::mem::take(&mut self.running).into_iter().partition(|run| run.left <= 0.0);
        self.running = running;
        for run in ended {
            let truth = &self.truth[run.job.instance];
            self.result.cpu += truth.cpu;
            let usage = Usage { user: truth.cpu, peak_memory: truth.peak, ..Usage::default() };
            let ending = Ending { job: run.job, usage: &usage, teaches: true, starved: false };
            self.schedule.ended(&ending, now);
            self.schedule.concluded(run.job.instance);
        }
        let memory = self.memory();
        self.figures().used = memory;
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a small positive number"
    )]
    fn observe(&mut self, part: f64) {
        let runnable: f64 = self.running.iter().map(|run| run.runnable(part)).sum();
        self.figures().runnable = runnable.round() as u64;
    }

    fn figures(&self) -> std::sync::MutexGuard<'_, Figures> {
        self.figures.lock().expect("no holder panics")
    }
}

/// What the made-up machine shows.
#[derive(Debug, Default)]
struct Figures {
    used: u64,
    runnable: u64,
    slices: Slices,
}

impl Figures {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "milliseconds of CPUs, positive"
    )]
    fn pass(&mut self, time: Duration, used: f64, cores: usize) {
        let all = time.as_secs_f64() * cores.max(1) as f64 * 1e6;
        let busy = (time.as_secs_f64() * used * 1e6).min(all);
        self.slices.all += all as u64;
        self.slices.idle += (all - busy) as u64;
    }
}

struct Pretend {
    machine: Pretended,
    figures: Arc<Mutex<Figures>>,
}

impl Machine for Pretend {
    fn cpus(&self) -> usize {
        self.machine.cores
    }

    fn memory(&self) -> u64 {
        self.machine.memory
    }

    fn sample(&mut self) -> Option<Sample> {
        let figures = self.figures.lock().expect("no holder panics");
        Some(Sample {
            available: self.machine.memory.saturating_sub(figures.used),
            slices: figures.slices,
            // One of them is the look itself.
            runnable: figures.runnable + 1,
            stalled: false,
        })
    }

    fn own_tasks(&mut self, _: usize) -> Option<OwnTasks> {
        let figures = self.figures.lock().expect("no holder panics");
        Some(OwnTasks { heavy: figures.runnable, light: 0 })
    }
}

#[cfg(test)]
mod tests;
