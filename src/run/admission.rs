//! When another sandbox may start. Pure: figures in, answers out.
//!
//! Memory is a hard gate: what the running ones are expected to need, and what the machine has
//! left, must both leave room. CPUs are gated by use: the number that may run follows what the
//! machine really does, so that sleepers run by the hundred and workers by the core.

use super::machine::{OwnTasks, Sample};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// Expected of a sandbox of which nothing is known.
const UNKNOWN: u64 = 512 << 20;
/// Expected at least.
const LEAST: u64 = 16 << 20;
/// How long a new sandbox may take until its memory shows in the machine's figures.
const SETTLING: Duration = Duration::from_secs(2);
/// How many peaks are kept to guess at sandboxes of which nothing is known.
const RECENT_PEAKS: usize = 64;

/// Memory: what sandboxes are expected to need, and whether there is room.
#[derive(Debug)]
pub(crate) struct Memory {
    /// Limit of a sandbox: more than this none needs.
    limit: u64,
    /// What all sandboxes together may be expected to need.
    budget: u64,
    /// Memory that stays free.
    reserve: u64,
    available: u64,
    reserved: u64,
    settling: VecDeque<(Instant, u64)>,
    /// The machine waits for memory or for its disks: more would make it worse.
    stalled: bool,
    peaks: HashMap<u64, u64>,
    recent: VecDeque<u64>,
}

impl Memory {
    /// For a machine of `total` bytes of which `available` are free now.
    pub(crate) fn new(total: u64, available: u64, limit: Option<u64>) -> Self {
        let reserve = (total / 20).min(1 << 30);
        Self {
            limit: limit.unwrap_or(u64::MAX),
            budget: available.saturating_sub(reserve),
            reserve,
            available,
            reserved: 0,
            settling: VecDeque::new(),
            stalled: false,
            peaks: HashMap::new(),
            recent: VecDeque::new(),
        }
    }

    /// What a sandbox is expected to need: by what its likes needed, most alike first; `careful`:
    /// as much as it may.
    pub(crate) fn expected(&self, likes: &[u64], careful: bool) -> u64 {
        if careful {
            return self.limit.min(self.budget);
        }
        let known = likes.iter().find_map(|like| self.peaks.get(like));
        let guess = match known {
            Some(peak) => peak + peak / 4,
            None => self.usual().map_or(UNKNOWN, |usual| usual + usual / 2),
        };
        guess.max(LEAST).min(self.limit)
    }

    /// Whether a sandbox expected to need this much may start beside those that run.
    pub(crate) fn has_room(&self, expected: u64) -> bool {
        let settling: u64 = self.settling.iter().map(|(_, bytes)| bytes).sum();
        !self.stalled
            && self.reserved.saturating_add(expected) <= self.budget
            && settling.saturating_add(expected).saturating_add(self.reserve) <= self.available
    }

    /// A sandbox starts.
    pub(crate) fn take(&mut self, expected: u64, now: Instant) {
        self.reserved = self.reserved.saturating_add(expected);
        self.settling.push_back((now, expected));
    }

    /// A sandbox has ended.
    pub(crate) fn give_back(&mut self, expected: u64) {
        self.reserved = self.reserved.saturating_sub(expected);
    }

    /// What a sandbox needed; `likes` as for [`Memory::expected`].
    pub(crate) fn learn(&mut self, likes: &[u64], peak: u64) {
        // A back-end that cannot tell says 0: nothing was learned then.
        if peak == 0 {
            return;
        }
        for like in likes {
            let known = self.peaks.entry(*like).or_default();
            *known = peak.max(*known);
        }
        if self.recent.len() == RECENT_PEAKS {
            self.recent.pop_front();
        }
        self.recent.push_back(peak);
    }

    /// What the machine has left now, and whether it stands still for want of memory.
    pub(crate) fn observe(&mut self, available: u64, stalled: bool, now: Instant) {
        self.available = available;
        self.stalled = stalled;
        while self.settling.front().is_some_and(|(since, _)| now - *since >= SETTLING) {
            self.settling.pop_front();
        }
    }

    /// Nine of ten of the last sandboxes needed no more.
    fn usual(&self) -> Option<u64> {
        let mut peaks: Vec<_> = self.recent.iter().copied().collect();
        peaks.sort_unstable();
        peaks.get((peaks.len() * 9 / 10).min(peaks.len().saturating_sub(1))).copied()
    }
}

/// CPUs: how many sandboxes may run, given what the machine does.
#[derive(Debug)]
pub(crate) struct Cores {
    cores: f64,
    most: f64,
    target: f64,
    /// Runnable tasks a core, smoothed: the kernel's figure is that of a moment.
    pressure: f64,
    /// Those of our own sandboxes, heavy and light, where they can be told from others.
    own: Option<(f64, f64)>,
    busy: f64,
    /// CPUs that those that run will use, as far as is known.
    reserved: f64,
}

/// CPUs busier than this are full.
const FULL: f64 = 0.9;
/// With up to this many runnable tasks a core there is no waiting to speak of.
const CROWDED: f64 = 1.5;
/// With more than this many, fewer should run.
const THRASHING: f64 = 4.0;
/// This many light tasks a core are borne: they are done in a moment, and then their tests sleep,
/// or become heavy and count as such.
const LIGHT: f64 = 64.0;

impl Cores {
    /// For so many CPUs; never more than `most` at a time.
    #[expect(clippy::cast_precision_loss, reason = "counts of CPUs and sandboxes are small")]
    pub(crate) fn new(cores: usize, most: usize) -> Self {
        let (cores, most) = (cores.max(1) as f64, most.max(1) as f64);
        let target = (cores * 2.0).min(most);
        Self { cores, most, target, pressure: 0.0, own: None, busy: 0.0, reserved: 0.0 }
    }

    /// Whether another may run beside so many, expected to use so many CPUs. What is known decides
    /// at once, as long as the machine has something left; of what is not known as many may run as the
    /// machine has shown to bear.
    pub(crate) fn has_room(&self, running: usize, share: Option<f64>) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "counts of sandboxes are small")]
        let count = running as f64;
        let Some(share) = share else { return running < self.allowed() };
        let fits = count < self.cores || self.reserved + share <= self.cores * CROWDED;
        let borne = if self.is_full() { running < self.allowed() } else { count < self.most };
        fits && borne
    }

    /// One starts.
    pub(crate) fn take(&mut self, share: Option<f64>) {
        self.reserved += share.unwrap_or_default();
    }

    /// One has ended.
    pub(crate) fn give_back(&mut self, share: Option<f64>) {
        self.reserved = (self.reserved - share.unwrap_or_default()).max(0.0);
    }

    /// How many may run.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 1 and the setting"
    )]
    pub(crate) fn allowed(&self) -> usize {
        self.target as usize
    }

    /// A look at the machine: how busy its CPUs were since the last one, and its runnable tasks.
    pub(crate) fn observe(&mut self, busy: f64, runnable: u64) {
        self.busy = busy;
        // One of them is this look.
        self.pressure = smoothed(self.pressure, runnable.saturating_sub(1), self.cores);
        if !self.is_full() {
            self.own = None;
        }
    }

    /// Whether the machine has nothing left. Then it matters whose tasks wait.
    pub(crate) fn is_full(&self) -> bool {
        self.busy >= FULL && self.pressure > CROWDED
    }

    /// Of the runnable tasks of a full machine, these are of our own sandboxes.
    pub(crate) fn observe_own(&mut self, tasks: Option<OwnTasks>) {
        self.own = tasks.map(|tasks| {
            let (heavy, light) = self.own.unwrap_or_default();
            (smoothed(heavy, tasks.heavy, self.cores), smoothed(light, tasks.light, self.cores))
        });
    }

    /// Draws the conclusion, while so many sandboxes run. What others do to the machine is theirs:
    /// our sleepers do not make it worse.
    #[expect(clippy::cast_precision_loss, reason = "counts of sandboxes are small")]
    pub(crate) fn steer(&mut self, running: usize) {
        let running = running as f64;
        let (heavy, light) = self.own.unwrap_or((self.pressure, 0.0));
        if !self.is_full() || heavy <= CROWDED && light <= LIGHT {
            // Room is only worth something where the number that may run is what holds us back.
            if running >= self.target * 0.75 {
                self.target = (self.target * 1.5).max(self.target + 2.0);
            }
        } else if heavy > THRASHING {
            self.target = self.target.min(running) * 0.9;
        } else {
            self.target = self.target.min(running.max(self.cores));
        }
        self.target = self.target.clamp(self.cores.min(self.most), self.most);
    }

    /// Tests timed out because others used the CPUs.
    pub(crate) fn starved(&mut self) {
        self.target = (self.target / 2.0).max(self.cores.min(self.most));
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of tasks are small")]
fn smoothed(before: f64, tasks: u64, cores: f64) -> f64 {
    before + (tasks as f64 / cores - before) * 0.5
}

/// How much of the time tasks had to wait for a CPU, added up since the run began.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Waiting {
    looked: f64,
    waited: f64,
}

impl Waiting {
    /// A look after `since` more time: of `runnable` tasks, all beyond the CPUs had to wait.
    #[expect(clippy::cast_precision_loss, reason = "counts of tasks are small")]
    pub(crate) fn observe(&mut self, sample: &Sample, cores: usize, since: Duration) {
        let runnable = sample.runnable.max(1) as f64;
        let share = (1.0 - cores as f64 / runnable).max(0.0);
        self.looked += since.as_secs_f64();
        self.waited += since.as_secs_f64() * share;
    }

    /// The share of the time since `before` in which a runnable task had to wait, 0 to 1.
    pub(crate) fn share_since(self, before: Self) -> f64 {
        let looked = self.looked - before.looked;
        if looked <= 0.0 { 0.0 } else { (self.waited - before.waited) / looked }
    }
}

/// Whether tests that timed out did so because we ran too many beside them: tasks waited for a CPU
/// more than half of the time, and these tests used most of what one of them could get. Tests that
/// hang without using a CPU time out on an idle machine too.
pub(crate) fn starved(waited: f64, wall: Duration, cpu: Duration) -> bool {
    let got = cpu.as_secs_f64() / wall.as_secs_f64().max(0.001);
    waited > 0.5 && got >= 0.5 * (1.0 - waited)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn memory_is_expected_by_what_is_most_alike() {
        let mut memory = Memory::new(64 * GIB, 60 * GIB, Some(4 * GIB));
        assert_eq!(memory.expected(&[1, 2], false), UNKNOWN);
        memory.learn(&[3, 2], GIB);
        assert_eq!(memory.expected(&[1, 2], false), GIB + GIB / 4);
        memory.learn(&[1, 2], 2 * GIB);
        assert_eq!(memory.expected(&[1, 2], false), 2 * GIB + GIB / 2);
        assert_eq!(memory.expected(&[1, 2], true), 4 * GIB);
        memory.learn(&[7], 0);
        assert_eq!(memory.expected(&[7], false), 3 * GIB, "nothing learned: like most others");
        memory.learn(&[1], 9 * GIB);
        assert_eq!(memory.expected(&[1], false), 4 * GIB, "no more than its limit");
        memory.learn(&[8], 1);
        assert_eq!(memory.expected(&[8], false), LEAST);
    }

    #[tokio::test]
    async fn what_is_set_aside_and_what_is_left_must_both_do() {
        let mut memory = Memory::new(16 * GIB, 9 * GIB, None);
        let now = Instant::now();
        assert!(memory.has_room(8 * GIB) && !memory.has_room(9 * GIB));
        memory.take(5 * GIB, now);
        assert!(memory.has_room(3 * GIB) && !memory.has_room(4 * GIB));
        // It has settled, and used less than it might: what was set aside for it stays.
        memory.observe(9 * GIB, false, now + SETTLING);
        assert!(!memory.has_room(4 * GIB));
        // Something else took the memory.
        memory.observe(2 * GIB, false, now + SETTLING);
        assert!(memory.has_room(GIB) && !memory.has_room(2 * GIB));
        memory.give_back(5 * GIB);
        memory.observe(9 * GIB, true, now + SETTLING);
        assert!(!memory.has_room(GIB), "it stands still");
        memory.observe(9 * GIB, false, now + SETTLING);
        assert!(memory.has_room(8 * GIB));
    }

    #[test]
    fn the_number_that_may_run_follows_the_machine() {
        let mut cores = Cores::new(4, 500);
        assert_eq!(cores.allowed(), 8);
        // Sleepers: nothing is busy, and all that may run does.
        for _ in 0..20 {
            look(&mut cores, (0.1, 1), 500);
        }
        assert_eq!(cores.allowed(), 500);
        // They wake up, all at once.
        for _ in 0..50 {
            look(&mut cores, (1.0, 501), 500);
        }
        assert_eq!(cores.allowed(), 4);
        // Idle, but fewer run than may: there is no reason to allow more.
        look(&mut cores, (0.1, 1), 1);
        assert_eq!(cores.allowed(), 4);
        assert_eq!(Cores::new(64, 2).allowed(), 2);
    }

    #[test]
    fn what_is_known_of_sandboxes_decides_at_once() {
        let mut cores = Cores::new(4, 500);
        // Sleepers: there is no need to find out how many are borne.
        (0..200).for_each(|running| {
            assert!(cores.has_room(running, Some(0.01)));
            cores.take(Some(0.01));
        });
        assert!(cores.has_room(200, Some(1.0)) && !cores.has_room(200, Some(4.5)));
        assert!(!cores.has_room(200, None), "nothing is known of it");
        (0..200).for_each(|_| cores.give_back(Some(0.01)));
        (0..6).for_each(|_| cores.take(Some(1.0)));
        assert!(!cores.has_room(6, Some(1.0)), "one and a half workers a core");
        assert!(cores.has_room(3, Some(9.0)), "there is a core for it");
        // Others have filled the machine.
        let mut cores = Cores::new(4, 500);
        for _ in 0..50 {
            look(&mut cores, (1.0, 501), 500);
        }
        assert!(!cores.has_room(4, Some(0.01)));
    }

    fn look(cores: &mut Cores, (busy, runnable): (f64, u64), running: usize) {
        cores.observe(busy, runnable);
        cores.steer(running.min(cores.allowed()));
    }

    #[test]
    fn what_others_do_to_the_machine_does_not_hold_back_our_sleepers() {
        let mut cores = Cores::new(2, 500);
        for _ in 0..30 {
            cores.observe(1.0, 17);
            assert!(cores.is_full());
            cores.observe_own(Some(OwnTasks { heavy: 1, light: 40 }));
            cores.steer(cores.allowed());
        }
        assert_eq!(cores.allowed(), 500);
        for _ in 0..50 {
            cores.observe(1.0, 30);
            cores.observe_own(Some(OwnTasks { heavy: 12, light: 0 }));
            cores.steer(cores.allowed());
        }
        assert_eq!(cores.allowed(), 2, "these are our own workers");
    }

    #[test]
    fn only_tests_that_wanted_a_cpu_are_starved() {
        let (wall, second) = (Duration::from_secs(100), Duration::from_secs(1));
        assert!(starved(0.8, wall, second * 15));
        assert!(!starved(0.8, wall, second), "it hung");
        assert!(!starved(0.3, wall, second * 70), "the machine was not that full");
        let mut waiting = Waiting::default();
        let sample = |runnable| Sample { runnable, ..Sample::default() };
        waiting.observe(&sample(2), 4, second);
        let before = waiting;
        waiting.observe(&sample(16), 4, second);
        assert!((waiting.share_since(before) - 0.75).abs() < 1e-9);
        assert!((waiting.share_since(Waiting::default()) - 0.375).abs() < 1e-9);
    }
}
