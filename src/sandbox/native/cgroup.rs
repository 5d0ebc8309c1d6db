//! Cgroups: one for every sandbox, of version 2 where its controllers are there, else of version 1.
//! What is there and may be used is tried, never assumed.

mod counter;
mod v1;
mod v2;

use counter::Counter;

use super::proto::Join;
use crate::sandbox::{Limits, SandboxError};
use std::io;
use std::num::NonZero;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// What this process can do with cgroups.
pub(super) struct Cgroups {
    /// Where this process's cgroups are made, by what they control.
    trees: Trees,
    /// What cannot be limited, and why.
    pub(super) missing: Vec<String>,
    /// Cgroups of sandboxes that are gone, for others with the same limits.
    spare: Mutex<Vec<Cgroup>>,
    /// Whether there are descriptors enough to keep counters open.
    keep_open: bool,
}

/// How many descriptors we must be allowed to keep counters open.
const MANY_DESCRIPTORS: u64 = 1 << 13;

/// How long a process waits at its end for its last cgroups to be empty.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many cgroups are kept for others.
const SPARE: usize = 64;

/// The directories of one set of cgroups: of this process's own, or of one sandbox's.
#[derive(Clone, Debug, Default)]
struct Trees {
    version: u8,
    memory: Option<PathBuf>,
    pids: Option<PathBuf>,
    cpu: Option<PathBuf>,
}

impl Trees {
    /// Each directory once.
    fn directories(&self) -> Vec<&Path> {
        let mut all: Vec<&Path> = [&self.memory, &self.pids, &self.cpu]
            .into_iter()
            .flatten()
            .map(AsRef::as_ref)
            .collect();
        all.dedup();
        all
    }

    /// The same directories, one level below.
    fn below(&self, name: &str) -> Self {
        let below = |path: &Option<PathBuf>| path.as_ref().map(|path| path.join(name));
        Self {
            version: self.version,
            memory: below(&self.memory),
            pids: below(&self.pids),
            cpu: below(&self.cpu),
        }
    }
}

/// The cgroups of one sandbox.
#[derive(Debug)]
pub(super) struct Cgroup {
    trees: Trees,
    limited: Limited,
    /// What a process joins them by; see [`Join`].
    joins: Vec<OwnedFd>,
    counters: Counters,
    /// What the kernel had counted for those who had them before.
    before: Facts,
}

/// What the kernel counts for the cgroups of one sandbox.
#[derive(Debug, Default)]
struct Counters {
    memory: Option<Counter>,
    peak: Option<Counter>,
    oom: Option<Counter>,
    processes: Option<Counter>,
    refused: Option<Counter>,
    throttled: Option<Counter>,
}

impl Counters {
    /// Those of the files with these names, of which `oom` counts in a line of its own.
    fn new(trees: &Trees, names: &Names, keep_open: bool) -> Self {
        let counter = |tree: &Option<PathBuf>, name: &str| {
            Some(Counter::new(tree.as_ref()?.join(name), keep_open))
        };
        Self {
            memory: counter(&trees.memory, names.memory),
            peak: counter(&trees.memory, names.peak),
            oom: counter(&trees.memory, names.oom),
            processes: counter(&trees.pids, "pids.current"),
            refused: counter(&trees.pids, "pids.events"),
            throttled: counter(&trees.cpu, "cpu.stat"),
        }
    }
}

/// Files that each version names its own way.
struct Names {
    memory: &'static str,
    peak: &'static str,
    oom: &'static str,
}

/// The limits that cgroups keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limited {
    memory: Option<u64>,
    pids: Option<u32>,
    cpu_millis: Option<u32>,
}

impl From<&Limits> for Limited {
    fn from(limits: &Limits) -> Self {
        let Limits { memory, pids, cpu_millis, .. } = *limits;
        // To be allowed all there is, is no limit, and the kernel would account for it.
        let cores = std::thread::available_parallelism().map_or(usize::MAX, NonZero::get);
        let less = |millis: &u32| usize::try_from(*millis / 1000).is_ok_and(|all| all < cores);
        Self { memory, pids, cpu_millis: cpu_millis.filter(less) }
    }
}

/// What the kernel counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// Processes it killed for memory.
    pub(super) oom_kills: u64,
    /// Forks it refused.
    pub(super) forks_refused: u64,
    /// How long it held back processes.
    pub(super) throttled: Duration,
    /// Most memory in use at once.
    pub(super) peak_memory: Option<u64>,
}

impl Cgroups {
    /// Finds what can be used and makes this process's own directory there, named after `owner`.
    pub(super) fn find(owner: &str) -> Self {
        let name = directory_name(owner);
        let (trees, why) = match v2::find(&name) {
            Ok(trees) => (trees, String::new()),
            Err(why) => match v1::find(&name) {
                Some(trees) => (trees, String::new()),
                None => (Trees::default(), why),
            },
        };
        let mut missing = Vec::new();
        for (what, tree) in
            [("memory", &trees.memory), ("processes", &trees.pids), ("CPU", &trees.cpu)]
        {
            if tree.is_none() {
                let why = if why.is_empty() { "no such controller" } else { &why };
                missing.push(format!("no cgroup limits {what}: {why}"));
            }
        }
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let keep_open = limit.is_none_or(|limit| limit >= MANY_DESCRIPTORS);
        Self { trees, missing, spare: Mutex::default(), keep_open }
    }

    /// The version in use; 0: none.
    pub(super) fn version(&self) -> u8 {
        self.trees.version
    }

    /// Whether memory is limited by a cgroup.
    pub(super) fn limits_memory(&self) -> bool {
        self.trees.memory.is_some()
    }

    /// How sandboxes join theirs.
    pub(super) fn join(&self) -> Join {
        match self.trees.version {
            2 => Join::Born,
            1 => Join::Tasks(self.trees.directories().len()),
            _ => Join::None,
        }
    }

    /// Makes the cgroups of a sandbox, or finds some that another has left.
    pub(super) fn make(&self, name: &str, limits: &Limits) -> Result<Cgroup, SandboxError> {
        let limited = Limited::from(limits);
        let mut spare = self.spare();
        if let Some(at) = spare.iter().rposition(|cgroup| cgroup.limited == limited) {
            return Ok(spare.swap_remove(at));
        }
        drop(spare);
        let (joins, before) = (Vec::new(), Facts::default());
        let trees = self.trees.below(name);
        let names = if trees.version == 1 { &v1::NAMES } else { &v2::NAMES };
        let counters = Counters::new(&trees, names, self.keep_open);
        let mut cgroup = Cgroup { trees, limited, joins, counters, before };
        let made = cgroup.trees.directories().into_iter().try_for_each(fs_err::create_dir);
        let made = made.and_then(|()| cgroup.limit()).and_then(|()| cgroup.open_joins());
        match made {
            Ok(joins) => cgroup.joins = joins,
            Err(error) => {
                cgroup.remove();
                return Err(SandboxError::step("make the cgroups")(error));
            }
        }
        Ok(cgroup)
    }

    /// Takes back the cgroups of a sandbox that is gone; returns them if they are not fit for
    /// another and must be removed.
    pub(super) fn take_back(&self, mut cgroup: Cgroup) -> Option<Cgroup> {
        let Some(before) = cgroup.reset() else { return Some(cgroup) };
        cgroup.before = before;
        let mut spare = self.spare();
        if spare.len() < SPARE {
            spare.push(cgroup);
            return None;
        }
        // Those that have lain longest may have limits that nobody asks for any more.
        Some(std::mem::replace(&mut spare[0], cgroup))
    }

    fn spare(&self) -> MutexGuard<'_, Vec<Cgroup>> {
        self.spare.lock().expect("nothing panics while it holds this lock")
    }

    /// Removes this process's own directories.
    pub(super) fn remove(&self) {
        for cgroup in self.spare().drain(..) {
            cgroup.remove();
        }
        let until = Instant::now() + PATIENCE;
        for path in self.trees.directories() {
            // Processes that have just ended keep theirs for a moment. What is left in use after
            // that is found by the next sweep.
            while !remove_empty(path) && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        if let (2, Some(base)) = (self.trees.version, self.base()) {
            // Processes that stay aside lack nothing.
            let _ = v2::restore(base);
        }
    }

    /// The cgroup that this process's own are in; of version 1, the one for memory.
    pub(super) fn base(&self) -> Option<&Path> {
        self.trees.directories().first().and_then(|path| path.parent())
    }
}

/// Removes a directory of cgroups and those in it that are empty; true if nothing is left.
fn remove_empty(directory: &Path) -> bool {
    for entry in fs_err::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let _ = fs_err::remove_dir(entry.path());
        }
    }
    fs_err::remove_dir(directory).is_ok() || !directory.exists()
}

/// The directory of an evalrun process in a cgroup tree.
fn directory_name(owner: &str) -> String {
    format!("evalrun-{owner}")
}

/// The owner that the name of a directory in a cgroup tree tells of.
fn owner_of(name: &str) -> Option<&str> {
    name.strip_prefix("evalrun-")
}

/// All directories of evalrun processes in every cgroup tree, with their owners.
pub(super) fn all() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for base in v1::bases().into_iter().chain(v2::bases()) {
        let Ok(entries) = fs_err::read_dir(&base) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if let Some(owner) = name.to_str().and_then(owner_of)
                && !found.iter().any(|(path, _)| *path == entry.path())
            {
                found.push((entry.path(), owner.to_owned()));
            }
        }
    }
    found
}

/// Ends what is in a cgroup directory and those below it, and removes them.
pub(super) fn clear(directory: &Path) -> io::Result<()> {
    for entry in fs_err::read_dir(directory)?.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            clear(&entry.path())?;
        }
    }
    // Version 2 ends all at once.
    let _ = write_if_there(&directory.join("cgroup.kill"), "1");
    for _ in 0..100 {
        let procs = fs_err::read_to_string(directory.join("cgroup.procs"))?;
        for pid in procs.lines().filter_map(|line| line.parse().ok()) {
            if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        match fs_err::remove_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                std::thread::sleep(Duration::from_millis(10));
            }
            other => return other,
        }
    }
    fs_err::remove_dir(directory)
}

impl Cgroup {
    fn limit(&self) -> io::Result<()> {
        match self.trees.version {
            1 => v1::limit(&self.trees, &self.limited),
            _ => v2::limit(&self.trees, &self.limited),
        }
    }

    fn open_joins(&self) -> io::Result<Vec<OwnedFd>> {
        let opened = self.trees.directories().into_iter().map(|path| {
            let file = match self.trees.version {
                1 => fs_err::OpenOptions::new().write(true).open(path.join("tasks"))?,
                _ => fs_err::File::open(path)?,
            };
            Ok(file.into_parts().0.into())
        });
        opened.collect()
    }

    /// What a process joins them by; see [`Join`].
    pub(super) fn joins(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.joins.iter().map(AsFd::as_fd)
    }

    /// Whether it can make its processes stand still. That of version 1 can too, but what it has
    /// frozen cannot be killed: if we died meanwhile, it would stay.
    pub(super) fn can_freeze(&self) -> bool {
        self.trees.version == 2 && self.trees.memory.as_deref().is_some_and(v2::can_freeze)
    }

    /// Has its processes stand still, or go on, before long.
    pub(super) fn freeze(&self, freeze: bool) -> io::Result<()> {
        self.trees.memory.as_deref().map_or(Ok(()), |directory| v2::freeze(directory, freeze))
    }

    /// Whether all its processes stand still.
    pub(super) fn is_frozen(&self) -> bool {
        self.trees.memory.as_deref().is_some_and(v2::is_frozen)
    }

    /// What the kernel counted so far.
    pub(super) fn facts(&self) -> Facts {
        let now = match self.trees.version {
            1 => v1::facts(&self.counters, &self.limited),
            _ => v2::facts(&self.counters, &self.limited),
        };
        Facts {
            oom_kills: now.oom_kills.saturating_sub(self.before.oom_kills),
            forks_refused: now.forks_refused.saturating_sub(self.before.forks_refused),
            throttled: now.throttled.saturating_sub(self.before.throttled),
            peak_memory: now.peak_memory,
        }
    }

    /// Makes them as good as new, but for what is counted up for ever, which is returned; `None` if
    /// they cannot be: then something of the last user would be held against the next.
    fn reset(&self) -> Option<Facts> {
        match self.trees.version {
            1 => v1::reset(&self.trees, &self.counters, &self.limited),
            _ => None,
        }
    }

    /// Removes them; true if nothing is left. Processes that have just ended may keep them for a
    /// moment.
    pub(super) fn remove(&self) -> bool {
        self.trees.directories().into_iter().all(|path| match fs_err::remove_dir(path) {
            Ok(()) => true,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        })
    }
}

/// The number after `key` in a file of lines `key value`.
fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(' ')?;
        (name == key).then(|| value.trim().parse().ok())?
    })
}

/// The number after `key` in a counter's file.
fn keyed_in(counter: Option<&Counter>, key: &str) -> u64 {
    counter.and_then(|counter| counter.read(|text| keyed(text, key))).unwrap_or(0)
}

/// The number that a counter's file is.
fn number_in(counter: Option<&Counter>) -> Option<u64> {
    counter?.read(|text| text.trim().parse().ok())
}

/// Writes a limit. Where the kernel has no such file there is nothing to limit.
fn write_if_there(path: &Path, value: &str) -> io::Result<()> {
    match fs_err::OpenOptions::new().write(true).open(path) {
        Ok(mut file) => io::Write::write_all(&mut file, value.as_bytes()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_whole_words() {
        let text = "oom 3\noom_kill 7\noom_kill_other 9\n";
        assert_eq!(keyed(text, "oom_kill"), Some(7));
        assert_eq!(keyed(text, "oom_kil"), None);
    }
}
