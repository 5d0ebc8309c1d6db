//! Cgroups of version 2: one tree, whose controllers must be handed down level by level, and only
//! from cgroups that have no processes of their own.

use super::{Facts, Trees, read_keyed, read_number, write_if_there};
use crate::sandbox::Limits;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Length of the period that CPU time is measured out in, in microseconds.
const PERIOD: u64 = 100_000;
/// Where this process goes when its own cgroup is to hand down controllers.
const ASIDE: &str = "evalrun.main";

/// Where the tree is mounted, and this process's own place in it.
fn place() -> Option<(PathBuf, PathBuf)> {
    let mounts = fs_err::read_to_string("/proc/self/mountinfo").ok()?;
    let (root, point) = mounts.lines().find_map(|line| {
        let (left, _) = line.split_once(" - cgroup2 ")?;
        let left: Vec<&str> = left.split(' ').collect();
        let [_, _, _, root, point, ..] = left[..] else { return None };
        Some((root.to_owned(), PathBuf::from(point)))
    })?;
    let own = fs_err::read_to_string("/proc/self/cgroup").ok()?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    let inner = own.strip_prefix(root.as_str()).unwrap_or("").trim_start_matches('/');
    let own = point.join(inner);
    // A process that went aside before belongs one level up.
    let own = match own.file_name() {
        Some(name) if name == ASIDE => own.parent().map(Path::to_owned).unwrap_or(own),
        _ => own,
    };
    Some((point, own))
}

/// Directories that cgroups of evalrun processes may be in.
pub(super) fn bases() -> Vec<PathBuf> {
    place().map(|(point, own)| vec![own, point]).unwrap_or_default()
}

/// Makes a directory of this name with controllers; else says why not.
pub(super) fn find(name: &str) -> Result<Trees, String> {
    let (point, own) = place().ok_or("cgroup v2 is not mounted")?;
    let available = fs_err::read_to_string(own.join("cgroup.controllers")).unwrap_or_default();
    if !available.split_whitespace().any(|controller| controller == "memory") {
        return Err(
            "cgroup v2 has no memory controller for this process (a delegated scope would: \
             `systemd-run --user --scope -p Delegate=yes …`)"
                .to_owned(),
        );
    }
    let mut why = String::new();
    for base in [own, point] {
        match establish(&base, name) {
            Ok(trees) => return Ok(trees),
            Err(error) => why = format!("{}: {error}", base.display()),
        }
    }
    Err(why)
}

fn establish(base: &Path, name: &str) -> io::Result<Trees> {
    hand_down(base).or_else(|error| {
        // EBUSY: it has processes. If this one is the only one, it can go aside.
        let procs = fs_err::read_to_string(base.join("cgroup.procs"))?;
        if procs.trim() != std::process::id().to_string() {
            return Err(error);
        }
        let aside = base.join(ASIDE);
        let _ = fs_err::create_dir(&aside);
        fs_err::write(aside.join("cgroup.procs"), procs.trim())?;
        hand_down(base)
    })?;
    let directory = base.join(name);
    match fs_err::create_dir(&directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    hand_down(&directory)?;
    let has = |controller: &str| {
        let list = fs_err::read_to_string(directory.join("cgroup.subtree_control"));
        let has = list.is_ok_and(|list| list.split_whitespace().any(|one| one == controller));
        has.then(|| directory.clone())
    };
    Ok(Trees { version: 2, memory: has("memory"), pids: has("pids"), cpu: has("cpu") })
}

/// Lets the cgroups below have the controllers. Memory must be among them.
fn hand_down(directory: &Path) -> io::Result<()> {
    let file = directory.join("cgroup.subtree_control");
    for controller in ["+pids", "+cpu"] {
        // Without them their limits are reported as missing.
        let _ = fs_err::write(&file, controller);
    }
    fs_err::write(&file, "+memory")
}

pub(super) fn limit(trees: &Trees, limits: &Limits) -> io::Result<()> {
    if let (Some(directory), Some(memory)) = (&trees.memory, limits.memory) {
        write_if_there(&directory.join("memory.max"), &memory.to_string())?;
        write_if_there(&directory.join("memory.swap.max"), "0")?;
    }
    if let (Some(directory), Some(pids)) = (&trees.pids, limits.pids) {
        // Pid 1 is ours, and does not count.
        write_if_there(&directory.join("pids.max"), &(u64::from(pids) + 1).to_string())?;
    }
    if let (Some(directory), Some(millis)) = (&trees.cpu, limits.cpu_millis) {
        let quota = (u64::from(millis) * PERIOD / 1000).max(1000);
        write_if_there(&directory.join("cpu.max"), &format!("{quota} {PERIOD}"))?;
    }
    Ok(())
}

pub(super) fn facts(trees: &Trees) -> Facts {
    Facts {
        oom_kills: read_keyed(trees.memory.as_ref(), "memory.events", "oom_kill"),
        forks_refused: read_keyed(trees.pids.as_ref(), "pids.events", "max"),
        throttled: Duration::from_micros(read_keyed(
            trees.cpu.as_ref(),
            "cpu.stat",
            "throttled_usec",
        )),
        peak_memory: read_number(trees.memory.as_ref(), "memory.peak"),
    }
}
