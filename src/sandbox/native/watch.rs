//! What no cgroup and no file system limits is looked at now and then.

use super::backend::Inner;
use super::handle::{EndReason, Shared};
use rustix::process::Pid;
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How often.
const PERIOD: Duration = Duration::from_millis(250);
/// A directory is measured again only after this many times as long as measuring took.
const REST: u32 = 20;
/// Each is measured at least this often while it lives.
const SELDOM: Duration = Duration::from_secs(30);

/// Watches until the back-end is gone.
pub(super) async fn watch(inner: Weak<Inner>) {
    let mut measured: HashMap<String, (Instant, Duration)> = HashMap::new();
    loop {
        tokio::time::sleep(PERIOD).await;
        let Some(inner) = inner.upgrade() else { return };
        let live = inner.live();
        measured.retain(|name, _| live.iter().any(|shared| shared.name == *name));
        if !inner.cgroups.limits_memory() {
            watch_memory(live.clone()).await;
        }
        let free = inner.free_bytes();
        for shared in live {
            let last = measured.get(&shared.name).copied();
            if !is_due(&shared, free, last) {
                continue;
            }
            let began = Instant::now();
            measure(shared.clone()).await;
            measured.insert(shared.name.clone(), (Instant::now(), began.elapsed()));
        }
    }
}

/// As long as the whole file system has not lost as much as one may write, measuring can wait.
fn is_due(shared: &Shared, free: u64, last: Option<(Instant, Duration)>) -> bool {
    let Some(limit) = shared.limits.disk else { return false };
    if shared.memory_upper.is_some() || shared.end_reason().is_some() {
        return false;
    }
    let (since, took) =
        last.map_or((shared.born.elapsed(), Duration::ZERO), |(at, took)| (at.elapsed(), took));
    if shared.free_at_start.saturating_sub(free) < limit {
        return since > SELDOM && since > took * REST * REST;
    }
    last.is_none() || since > took * REST
}

async fn measure(shared: Arc<Shared>) {
    let Some(limit) = shared.limits.disk else { return };
    // A task of ours that fails here leaves the limit to the next round.
    let _ = tokio::task::spawn_blocking(move || {
        if bytes_below(&shared.directory) > limit {
            shared.end(EndReason::Disk);
        }
    })
    .await;
}

/// Bytes on disk below a directory; what goes away meanwhile does not count.
fn bytes_below(directory: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    walkdir::WalkDir::new(directory)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.metadata().ok())
        .map(|about| about.blocks() * 512)
        .sum()
}

async fn watch_memory(live: Vec<Arc<Shared>>) {
    let _ = tokio::task::spawn_blocking(move || {
        for shared in live {
            let Some(limit) = shared.limits.memory else { continue };
            let used = memory_of_tree(shared.pid);
            shared.watched_peak.fetch_max(used, Ordering::Relaxed);
            if used > limit {
                shared.end(EndReason::Memory);
            }
        }
    })
    .await;
}

/// Memory of a process and all below it, in bytes: what is its own and what it shares by shared
/// memory.
fn memory_of_tree(pid: i32) -> u64 {
    let mut total = 0;
    let mut processes = vec![pid];
    while let Some(pid) = processes.pop() {
        if Pid::from_raw(pid).is_none() {
            continue;
        }
        let status = fs_err::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        for line in status.lines() {
            if let Some(value) =
                line.strip_prefix("RssAnon:").or_else(|| line.strip_prefix("RssShmem:"))
            {
                let kib = value.trim().trim_end_matches(" kB").trim();
                total += kib.parse::<u64>().unwrap_or(0) << 10;
            }
        }
        let Ok(tasks) = fs_err::read_dir(format!("/proc/{pid}/task")) else { continue };
        for task in tasks.flatten() {
            let children = fs_err::read_to_string(task.path().join("children"));
            let children = children.unwrap_or_default();
            processes.extend(children.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
        }
    }
    total
}
