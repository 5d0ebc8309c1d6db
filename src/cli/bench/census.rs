//! What there is on the machine before and after, to be compared.

use serde::Serialize;
use std::collections::BTreeSet;
use std::path::Path;

/// All that a sandbox could leave behind.
pub(super) struct Census {
    kinds: [(&'static str, BTreeSet<String>); 6],
}

/// One kind of thing, counted before and after.
#[derive(Debug, Serialize)]
pub(super) struct Change {
    /// What was counted.
    pub(super) what: &'static str,
    /// How many there were before.
    pub(super) before: usize,
    /// How many there are now.
    pub(super) after: usize,
    /// Those that were not there before, whoever they belong to.
    pub(super) new: Vec<String>,
}

impl Census {
    /// Counts. `home`: the folder that sandboxes have their directories in.
    pub(super) fn take(home: &Path) -> Self {
        Self {
            kinds: [
                ("mounts", mounts()),
                ("namespaces", namespaces()),
                ("cgroups", cgroups()),
                ("processes", processes()),
                ("descriptors", descriptors()),
                ("directories", entries(&home.join("sandboxes-v1")).into_iter().collect()),
            ],
        }
    }

    /// What has changed since `before`.
    pub(super) fn since(self, before: &Self) -> Vec<Change> {
        let pairs = before.kinds.iter().zip(self.kinds);
        pairs
            .map(|((what, before), (_, after))| Change {
                what,
                before: before.len(),
                after: after.len(),
                new: after.difference(before).cloned().collect(),
            })
            .collect()
    }
}

fn mounts() -> BTreeSet<String> {
    let text = fs_err::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn entries(folder: &Path) -> Vec<String> {
    let entries = fs_err::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn pids() -> Vec<String> {
    let mut pids = entries(Path::new("/proc"));
    pids.retain(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    pids
}

/// Namespaces that a process is in.
fn namespaces() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for pid in pids() {
        let folder = format!("/proc/{pid}/ns");
        for kind in ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"] {
            // A process that has gone meanwhile is in none.
            if let Ok(name) = fs_err::read_link(format!("{folder}/{kind}")) {
                found.insert(name.to_string_lossy().into_owned());
            }
        }
    }
    found
}

fn cgroups() -> BTreeSet<String> {
    let folders = walkdir::WalkDir::new("/sys/fs/cgroup").into_iter().flatten();
    let folders = folders.filter(|entry| entry.file_type().is_dir());
    folders.map(|entry| entry.path().to_string_lossy().into_owned()).collect()
}

/// Processes of ours and of the other contenders'.
fn processes() -> BTreeSet<String> {
    let names = ["evalrun", "bwrap", "crun", "runc", "true"];
    let named = pids().into_iter().filter_map(|pid| {
        let name = fs_err::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        let ours = names.iter().any(|ours| name.starts_with(ours));
        ours.then(|| format!("{pid} {}", name.trim()))
    });
    named.collect()
}

/// This process's own.
fn descriptors() -> BTreeSet<String> {
    let numbers = entries(Path::new("/proc/self/fd")).into_iter();
    let named = numbers.filter_map(|number| {
        let what = fs_err::read_link(format!("/proc/self/fd/{number}")).ok()?;
        Some(format!("{number} {}", what.display()))
    });
    named.filter(|line| !line.contains("/proc/")).collect()
}
