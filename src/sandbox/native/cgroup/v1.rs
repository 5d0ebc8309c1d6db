//! Cgroups of version 1: a tree for each controller.

use super::{Counters, Facts, Limited, Names, Trees, keyed_in, number_in, write_if_there};
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Length of the period that CPU time is measured out in, in microseconds.
const PERIOD: u64 = 100_000;

/// Where this process is in the tree of each controller, and where the tree is mounted.
fn places() -> HashMap<String, Vec<PathBuf>> {
    let mounts = fs_err::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let own = fs_err::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut places = HashMap::new();
    for line in mounts.lines() {
        let Some((left, right)) = line.split_once(" - cgroup ") else { continue };
        let left: Vec<&str> = left.split(' ').collect();
        let [_, _, _, root, point, ..] = left[..] else { continue };
        let options = right.rsplit(' ').next().unwrap_or("");
        for controller in options.split(',').filter(|name| ["memory", "pids", "cpu"].contains(name))
        {
            let point = PathBuf::from(point);
            let mut candidates = Vec::new();
            let mine = own.lines().find_map(|line| {
                let mut fields = line.splitn(3, ':').skip(1);
                let listed = fields.next()?.split(',').any(|name| name == controller);
                if listed { fields.next() } else { None }
            });
            if let Some(inner) = mine.and_then(|path| path.strip_prefix(root)) {
                candidates.push(point.join(inner.trim_start_matches('/')));
            }
            candidates.push(point);
            candidates.dedup();
            places.entry(controller.to_owned()).or_insert(candidates);
        }
    }
    places
}

/// Directories that cgroups of evalrun processes may be in.
pub(super) fn bases() -> Vec<PathBuf> {
    places().into_values().flatten().collect()
}

/// Makes a directory of this name wherever it may; `None` if that is nowhere.
pub(super) fn find(name: &str) -> Option<Trees> {
    let places = places();
    let make = |controller: &str| {
        places.get(controller)?.iter().map(|place| place.join(name)).find(|path| {
            match fs_err::create_dir(path) {
                Ok(()) => true,
                Err(error) => error.kind() == io::ErrorKind::AlreadyExists,
            }
        })
    };
    let trees = Trees { version: 1, memory: make("memory"), pids: make("pids"), cpu: make("cpu") };
    (!trees.directories().is_empty()).then_some(trees)
}

pub(super) fn limit(trees: &Trees, limits: &Limited) -> io::Result<()> {
    if let (Some(directory), Some(memory)) = (&trees.memory, limits.memory) {
        let memory = memory.to_string();
        // In this order: memory and swap together may never be less than memory alone.
        write_if_there(&directory.join("memory.limit_in_bytes"), &memory)?;
        write_if_there(&directory.join("memory.memsw.limit_in_bytes"), &memory)?;
    }
    if let (Some(directory), Some(pids)) = (&trees.pids, limits.pids) {
        // Pid 1 is ours, and does not count.
        write_if_there(&directory.join("pids.max"), &(u64::from(pids) + 1).to_string())?;
    }
    if let (Some(directory), Some(millis)) = (&trees.cpu, limits.cpu_millis) {
        let quota = u64::from(millis) * PERIOD / 1000;
        write_if_there(&directory.join("cpu.cfs_period_us"), &PERIOD.to_string())?;
        write_if_there(&directory.join("cpu.cfs_quota_us"), &quota.max(1000).to_string())?;
    }
    Ok(())
}

pub(super) const NAMES: Names = Names {
    memory: "memory.usage_in_bytes",
    peak: "memory.max_usage_in_bytes",
    oom: "memory.oom_control",
};

/// A cgroup that has never been near its memory limit has had nobody killed for it: then that count
/// need not be read. The kernel charges in batches, hence near.
pub(super) fn facts(counters: &Counters, limited: &Limited) -> Facts {
    let peak_memory = number_in(counters.peak.as_ref());
    let near = match (peak_memory, limited.memory) {
        (Some(peak), Some(limit)) => peak >= limit / 2,
        _ => true,
    };
    let oom = counters.oom.as_ref().filter(|_| near);
    let throttled = counters.throttled.as_ref().filter(|_| limited.cpu_millis.is_some());
    Facts {
        oom_kills: keyed_in(oom, "oom_kill"),
        forks_refused: keyed_in(counters.refused.as_ref(), "max"),
        throttled: Duration::from_nanos(keyed_in(throttled, "throttled_time")),
        peak_memory,
    }
}

/// What may be left charged to a cgroup that another gets: the kernel's own batches, by CPU.
const LEFT: u64 = 2 << 20;

/// Forgets the peak; returns what is counted up for ever. Pages of an image that were first read by
/// the last user stay charged to its cgroup: such a one is not used again.
pub(super) fn reset(trees: &Trees, counters: &Counters, limited: &Limited) -> Option<Facts> {
    let left = limited.memory.map_or(LEFT, |limit| LEFT.min(limit / 16));
    // All of them: those who were killed for the last user are not held against the next.
    let oom_kills = keyed_in(counters.oom.as_ref(), "oom_kill");
    let facts = Facts { oom_kills, ..facts(counters, limited) };
    if let (Some(memory), Some(peak)) = (&counters.memory, &counters.peak) {
        if number_in(Some(memory))? > left {
            return None;
        }
        peak.write("0").ok()?;
    }
    let alone = match (&counters.processes, &trees.memory) {
        (processes @ Some(_), _) => number_in(processes.as_ref()) == Some(0),
        (None, Some(directory)) => {
            let processes = fs_err::read_to_string(directory.join("cgroup.procs"));
            processes.is_ok_and(|text| text.is_empty())
        }
        (None, None) => true,
    };
    alone.then_some(facts)
}
