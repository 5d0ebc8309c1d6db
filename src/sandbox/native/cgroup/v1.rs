//! Cgroups of version 1: a tree for each controller.

use super::{Facts, Trees, read_keyed, read_number, write_if_there};
use crate::sandbox::Limits;
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

pub(super) fn limit(trees: &Trees, limits: &Limits) -> io::Result<()> {
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

/// A cgroup that has never been near its memory limit has had nobody killed for it: then that count
/// need not be read. The kernel charges in batches, hence near.
pub(super) fn facts(trees: &Trees, limit: Option<u64>) -> Facts {
    let peak_memory = read_number(trees.memory.as_ref(), "memory.max_usage_in_bytes");
    let near = match (peak_memory, limit) {
        (Some(peak), Some(limit)) => peak >= limit / 2,
        _ => true,
    };
    Facts {
        oom_kills: match near {
            true => read_keyed(trees.memory.as_ref(), "memory.oom_control", "oom_kill"),
            false => 0,
        },
        forks_refused: read_keyed(trees.pids.as_ref(), "pids.events", "max"),
        throttled: Duration::from_nanos(read_keyed(
            trees.cpu.as_ref(),
            "cpu.stat",
            "throttled_time",
        )),
        peak_memory,
    }
}

/// What may be left charged to a cgroup that another gets: the kernel's own batches, by CPU.
const LEFT: u64 = 2 << 20;

/// Forgets the peak; returns what is counted up for ever. Pages of an image that were first read by
/// the last user stay charged to its cgroup: such a one is not used again.
pub(super) fn reset(trees: &Trees, limit: Option<u64>) -> Option<Facts> {
    let left = limit.map_or(LEFT, |limit| LEFT.min(limit / 16));
    if let Some(directory) = &trees.memory {
        if read_number(trees.memory.as_ref(), "memory.usage_in_bytes")? > left {
            return None;
        }
        write_if_there(&directory.join("memory.max_usage_in_bytes"), "0").ok()?;
    }
    // The peak is forgotten, so all counts are read.
    let facts = facts(trees, None);
    let alone = |directory: &PathBuf| {
        fs_err::read_to_string(directory.join("cgroup.procs")).is_ok_and(|text| text.is_empty())
    };
    trees.pids.as_ref().or(trees.memory.as_ref()).is_none_or(alone).then_some(facts)
}
