//! What this machine has and how busy it is: CPUs, memory, runnable tasks, from `/proc` and the
//! control groups. Reading and understanding are apart, so that the latter can be tested.

use crate::journal::Host;
use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

/// A look at the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sample {
    /// Memory in bytes that could be used now without anything being pushed out.
    pub available: u64,
    /// Time slices since boot: all, and those in which a CPU did nothing.
    pub slices: Slices,
    /// Tasks that run or could run.
    pub runnable: u64,
    /// Nobody gets on for want of memory, or of what is read from disks, for much of the time.
    pub stalled: bool,
}

/// Time slices of all CPUs since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slices {
    pub all: u64,
    pub idle: u64,
}

impl Slices {
    /// The share of CPU time that was used since `before`, 0 to 1.
    pub(crate) fn busy_since(self, before: Self) -> f64 {
        let all = self.all.saturating_sub(before.all);
        let idle = self.idle.saturating_sub(before.idle).min(all);
        #[expect(clippy::cast_precision_loss, reason = "differences of slices are small")]
        let share = if all == 0 { 0.0 } else { (all - idle) as f64 / all as f64 };
        share
    }
}

/// Where a machine's figures come from; tests have one of their own.
pub(crate) trait Machine: Send {
    /// CPUs that this program may use.
    fn cpus(&self) -> usize;
    /// Memory in bytes that this program may use at all.
    fn memory(&self) -> u64;
    /// How it stands now; `None` if it cannot be told.
    fn sample(&mut self) -> Option<Sample>;
    /// Of the runnable tasks, those of our own sandboxes, of which so many run; `None` if they
    /// cannot be told from others. This is a walk through all processes: not for every moment.
    fn own_tasks(&mut self, sandboxes: usize) -> Option<OwnTasks>;
}

/// Runnable tasks of our own sandboxes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OwnTasks {
    /// Those that have used a CPU for some time: they work.
    pub heavy: u64,
    /// Those that have not: most are done in a moment, such as the commands around a test.
    pub light: u64,
}

/// CPU time that makes a task a heavy one.
const HEAVY: Duration = Duration::from_millis(200);

/// This machine.
pub(crate) struct ThisMachine {
    cpus: usize,
    memory: u64,
}

impl ThisMachine {
    pub(crate) fn new() -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let info = fs_err::read_to_string("/proc/meminfo").unwrap_or_default();
        let total = meminfo(&info, "MemTotal").unwrap_or(1 << 30);
        let memory = group_limit().map_or(total, |limit| limit.min(total));
        Self { cpus, memory }
    }
}

impl Machine for ThisMachine {
    fn cpus(&self) -> usize {
        self.cpus
    }

    fn memory(&self) -> u64 {
        self.memory
    }

    fn sample(&mut self) -> Option<Sample> {
        let info = fs_err::read_to_string("/proc/meminfo").ok()?;
        let stat = fs_err::read_to_string("/proc/stat").ok()?;
        let (slices, runnable) = stat_figures(&stat)?;
        let available = meminfo(&info, "MemAvailable")?.min(self.memory);
        Some(Sample { available, slices, runnable, stalled: stalled() })
    }

    fn own_tasks(&mut self, sandboxes: usize) -> Option<OwnTasks> {
        let own = descendants(&processes()?, std::process::id());
        // A daemon's containers are no children of ours.
        if own.len() < sandboxes {
            return None;
        }
        let mut tasks = OwnTasks::default();
        own.iter().for_each(|process| process.count(&mut tasks));
        Some(tasks)
    }
}

/// What `/proc/<pid>/stat` tells of a process, or of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    pid: u32,
    parent: u32,
    running: bool,
    cpu: Duration,
    threads: u64,
}

impl Process {
    fn of(stat: &str) -> Option<Self> {
        let (head, tail) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = tail.split_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        let millis = (number(11)? + number(12)?) * 1000 / rustix::param::clock_ticks_per_second();
        Some(Self {
            pid: head.split_once(' ')?.0.parse().ok()?,
            parent: fields.get(1)?.parse().ok()?,
            running: *fields.first()? == "R",
            cpu: Duration::from_millis(millis),
            threads: number(17)?,
        })
    }

    /// Counts its runnable threads: the state of a process is that of its first thread alone.
    fn count(&self, tasks: &mut OwnTasks) {
        if self.threads < 2 {
            tasks.add(self);
            return;
        }
        let Ok(threads) = fs_err::read_dir(format!("/proc/{}/task", self.pid)) else { return };
        for thread in threads.flatten() {
            let stat = fs_err::read_to_string(thread.path().join("stat")).unwrap_or_default();
            Self::of(&stat).iter().for_each(|thread| tasks.add(thread));
        }
    }
}

impl OwnTasks {
    fn add(&mut self, task: &Process) {
        match (task.running, task.cpu >= HEAVY) {
            (true, true) => self.heavy += 1,
            (true, false) => self.light += 1,
            (false, _) => {}
        }
    }
}

fn processes() -> Option<Vec<Process>> {
    let entries = fs_err::read_dir("/proc").ok()?;
    let stats = entries.filter_map(|entry| {
        let path = entry.ok()?.path();
        path.file_name()?.to_str()?.parse::<u32>().ok()?;
        fs_err::read_to_string(path.join("stat")).ok()
    });
    Some(stats.filter_map(|stat| Process::of(&stat)).collect())
}

/// The processes below this one.
fn descendants(all: &[Process], root: u32) -> Vec<Process> {
    let mut children: HashMap<u32, Vec<Process>> = HashMap::new();
    for process in all {
        children.entry(process.parent).or_default().push(*process);
    }
    let mut found = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        let below = children.remove(&parent).unwrap_or_default();
        parents.extend(below.iter().map(|process| process.pid));
        found.extend(below);
    }
    found
}

/// The facts of this machine for the header of a journal.
pub(crate) fn host(backend: &str, caveats: Vec<String>) -> Host {
    let machine = ThisMachine::new();
    let read = |path: &str| fs_err::read_to_string(path).unwrap_or_default();
    Host {
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        arch: std::env::consts::ARCH.to_owned(),
        os: os_name(&read("/etc/os-release")),
        cpus: machine.cpus,
        memory: machine.memory,
        backend: backend.to_owned(),
        caveats,
    }
}

fn os_name(release: &str) -> String {
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or("Linux").trim_matches('"').to_owned()
}

/// A line of `/proc/meminfo` in bytes.
fn meminfo(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// In which share of the last ten seconds, in hundredths, nobody got on for want of memory, and of
/// disks, where the machine stands still: it would do so still more with more to do.
const STALLED: [(&str, f64); 2] = [("memory", 10.0), ("io", 60.0)];

/// Whether the machine stands still, where the kernel says so (pressure stall information, 4.20).
fn stalled() -> bool {
    STALLED.into_iter().any(|(what, most)| {
        let text = fs_err::read_to_string(format!("/proc/pressure/{what}")).unwrap_or_default();
        full_pressure(&text).is_some_and(|share| share > most)
    })
}

/// The share of the last ten seconds in which all tasks that could have run waited, in hundredths.
fn full_pressure(text: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix("full "))?;
    line.split_whitespace().find_map(|part| part.strip_prefix("avg10=")?.parse().ok())
}

/// CPU time and runnable tasks of `/proc/stat`. Time in which a CPU waits for a disk counts as
/// idle: another task could have used it.
fn stat_figures(text: &str) -> Option<(Slices, u64)> {
    let cpu = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let fields: Vec<u64> =
        cpu.split_whitespace().take(8).map(str::parse).collect::<Result<_, _>>().ok()?;
    let idle = fields.get(3)? + fields.get(4)?;
    let runnable = text.lines().find_map(|line| line.strip_prefix("procs_running "))?;
    let slices = Slices { all: fields.iter().sum(), idle };
    Some((slices, runnable.trim().parse().ok()?))
}

/// The least memory limit of the control groups that this process is in.
fn group_limit() -> Option<u64> {
    let groups = fs_err::read_to_string("/proc/self/cgroup").ok()?;
    let files = groups.lines().filter_map(limit_files).flatten();
    files.filter_map(|file| fs_err::read_to_string(file).ok()?.trim().parse().ok()).min()
}

/// The files that limit the memory of a line of `/proc/self/cgroup`, up to the root.
fn limit_files(line: &str) -> Option<Vec<std::path::PathBuf>> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (controllers, group) = (parts.next()?, parts.next()?);
    let (root, name) = if controllers.is_empty() {
        ("/sys/fs/cgroup", "memory.max")
    } else if controllers.split(',').any(|name| name == "memory") {
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
    } else {
        return None;
    };
    let group = Path::new(group.trim_start_matches('/'));
    Some(group.ancestors().map(|group| Path::new(root).join(group).join(name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "cpu  100 5 50 800 40 0 5 0 0 0\ncpu0 1 1\nprocs_running 3\n";

    #[test]
    fn figures_of_the_kernel_are_understood() {
        let (slices, runnable) = stat_figures(STAT).unwrap();
        assert_eq!((slices, runnable), (Slices { all: 1000, idle: 840 }, 3));
        let later = Slices { all: 1200, idle: 890 };
        assert!((later.busy_since(slices) - 0.75).abs() < 1e-9);
        assert!(slices.busy_since(slices).abs() < 1e-9);
        assert_eq!(meminfo("MemTotal: 2048 kB\nX: 1", "MemTotal"), Some(2 << 20));
        assert_eq!(meminfo("MemTotalX: 2048 kB", "MemTotal"), None);
        assert!(stat_figures("cpu  1 2\n").is_none());
        let pressure = "some avg10=9.00 avg60=0.0 total=5\nfull avg10=1.50 avg60=0.0 total=3\n";
        assert_eq!(full_pressure(pressure), Some(1.5));
        assert_eq!(full_pressure("some avg10=9.00"), None);
    }

    #[test]
    fn limits_are_looked_for_up_to_the_root() {
        let files = limit_files("0::/a/b").unwrap();
        let names: Vec<_> = files.iter().map(|file| file.to_str().unwrap()).collect();
        assert_eq!(
            names,
            [
                "/sys/fs/cgroup/a/b/memory.max",
                "/sys/fs/cgroup/a/memory.max",
                "/sys/fs/cgroup/memory.max"
            ]
        );
        assert!(limit_files("3:cpu,cpuacct:/a").is_none());
        assert_eq!(limit_files("4:memory:/").unwrap().len(), 1);
    }

    #[test]
    fn what_runs_below_a_process_is_found() {
        let stat = "7 (a) b) R 1 7 7 0 -1 4194304 1 0 0 0 10 20 3 4 20 0 5 0 99 1 2";
        let tick = 1000 / rustix::param::clock_ticks_per_second();
        let process = |pid, parent| Process {
            pid,
            parent,
            running: true,
            cpu: Duration::from_millis(30 * tick),
            threads: 1,
        };
        assert_eq!(Process::of(stat), Some(Process { threads: 5, ..process(7, 1) }));
        assert_eq!(Process::of("nonsense"), None);
        let all = [process(2, 1), process(3, 2), process(4, 3), process(5, 1), process(9, 9)];
        let mut below: Vec<u32> = descendants(&all, 2).iter().map(|found| found.pid).collect();
        below.sort_unstable();
        assert_eq!(below, [3, 4]);
        let mut tasks = OwnTasks::default();
        tasks.add(&process(2, 1));
        tasks.add(&Process { cpu: Duration::ZERO, ..process(2, 1) });
        tasks.add(&Process { running: false, ..process(2, 1) });
        assert_eq!(tasks, OwnTasks { heavy: 1, light: 1 });
    }

    #[test]
    fn a_busy_child_is_told_from_one_that_sleeps() {
        let start =
            |script: &str| std::process::Command::new("sh").args(["-c", script]).spawn().unwrap();
        let mut children = [start("while :; do :; done"), start("sleep 60")];
        let mut seen = OwnTasks::default();
        // On a crowded machine it takes a while until the busy one had its share.
        for _ in 0..200 {
            std::thread::sleep(Duration::from_millis(50));
            seen = ThisMachine::new().own_tasks(2).unwrap();
            if seen.heavy > 0 {
                break;
            }
        }
        let many = ThisMachine::new().own_tasks(1_000_000);
        children.iter_mut().for_each(|child| child.kill().unwrap());
        children.iter_mut().for_each(|child| assert!(child.wait().is_ok()));
        assert!(seen.heavy >= 1, "{seen:?}");
        assert_eq!(many, None, "there are not so many processes of ours");
    }

    #[test]
    fn this_machine_answers() {
        let mut machine = ThisMachine::new();
        assert!(machine.cpus() > 0 && machine.memory() > 0);
        assert!(machine.sample().unwrap().slices.all > 0);
    }
}
