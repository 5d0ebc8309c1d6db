//! What no cgroup and no file system limits is looked at now and then.

use super::backend::Inner;
use super::handle::{EndReason, Shared};
use super::watch_disk::Disks;
use crate::model::DiskLimit;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How often everything is looked at, at least.
pub(super) const PERIOD: Duration = Duration::from_millis(250);
/// How often anything is looked at, at most.
const HASTE: Duration = Duration::from_millis(10);
/// Bytes of memory that a machine fills in a second, at most, what is on its way to disk included: no
/// look comes later than what is left could be filled.
const FASTEST: u64 = 4 << 30;
/// Looking at memory may take this part of the time.
const SHARE: u32 = 50;
/// Watches until the back-end is gone.
pub(super) async fn watch(inner: Weak<Inner>) {
    let mut disks = Disks::default();
    let mut pause = PERIOD;
    let mut full_looked_at = Instant::now();
    loop {
        tokio::time::sleep(pause).await;
        let Some(inner) = inner.upgrade() else { return };
        let live = inner.live();
        let memory = match inner.cgroups.limits_memory() {
            true => PERIOD,
            false => watch_memory(live.clone()).await,
        };
        pause = memory.min(disks.watch(&live, inner.free_on_disk()).await);
        if full_looked_at.elapsed() >= PERIOD {
            full_looked_at = Instant::now();
            // It remembers what it sees.
            live.iter().filter(|one| one.disk_limit() == DiskLimit::FileSystem).for_each(|one| {
                one.is_disk_full();
            });
        }
    }
}

/// Looks at the memory of all, and says when to look again.
async fn watch_memory(live: Vec<Arc<Shared>>) -> Duration {
    let looking = tokio::task::spawn_blocking(move || {
        let began = Instant::now();
        let room = live.iter().filter_map(|shared| look(shared)).min();
        next_look(room, began.elapsed())
    });
    looking.await.unwrap_or(PERIOD)
}

/// When to look again, if so many bytes are left where the least are, and looking took so long.
pub(super) fn next_look(room: Option<u64>, took: Duration) -> Duration {
    let Some(room) = room else { return PERIOD };
    let until_full = Duration::from_micros(room / (FASTEST / 1_000_000));
    until_full.clamp(HASTE, PERIOD).max(took * SHARE)
}

/// Looks at the memory of one, and ends it if it has more than it may; how much it has left.
fn look(shared: &Shared) -> Option<u64> {
    let limit = shared.limits.memory?;
    let files = shared.memory_upper.as_ref().map_or(0, bytes_in_memory);
    let tree = Tree::below(shared.pid);
    let mut used = tree.memory(resident).with_files(files, &tree);
    if used > limit {
        // What processes share after a fork was counted for each of them.
        used = tree.memory(proportional).with_files(files, &tree);
    }
    shared.watched_peak.fetch_max(used, Ordering::Relaxed);
    if used > limit {
        shared.end(EndReason::Memory);
        return None;
    }
    Some(limit - used)
}

/// Memory in bytes: what is processes' own, and what more than one may see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Memory {
    own: u64,
    shared: u64,
}

impl Memory {
    /// All, with files in memory, which count whether or not a process has them mapped.
    fn with_files(self, upper: u64, tree: &Tree) -> u64 {
        self.own + self.shared.max(upper + tree.files())
    }
}

/// A process and all below it.
pub(super) struct Tree {
    pub(super) pids: Vec<i32>,
}

impl Tree {
    pub(super) fn below(pid: i32) -> Self {
        let mut pids = vec![pid];
        let mut next = 0;
        while let Some(pid) = pids.get(next).copied() {
            next += 1;
            let Ok(tasks) = fs_err::read_dir(format!("/proc/{pid}/task")) else { continue };
            for task in tasks.flatten() {
                let children = fs_err::read_to_string(task.path().join("children"));
                let children = children.unwrap_or_default();
                pids.extend(children.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
            }
        }
        Self { pids }
    }

    fn memory(&self, of: impl Fn(i32) -> Memory) -> Memory {
        self.pids.iter().map(|pid| of(*pid)).fold(Memory::default(), |sum, one| Memory {
            own: sum.own + one.own,
            shared: sum.shared + one.shared,
        })
    }

    /// Bytes of files in shared memory. Pid 1 lets nobody look through its eyes; its children do.
    fn files(&self) -> u64 {
        let seen = self
            .pids
            .iter()
            .skip(1)
            .take(8)
            .find_map(|pid| rustix::fs::statvfs(format!("/proc/{pid}/root/dev/shm")).ok());
        seen.map_or(0, |stat| stat.f_blocks.saturating_sub(stat.f_bfree) * stat.f_frsize)
    }
}

fn bytes_in_memory(upper: &OwnedFd) -> u64 {
    let stat = rustix::fs::fstatvfs(upper);
    stat.map_or(0, |stat| stat.f_blocks.saturating_sub(stat.f_bfree) * stat.f_frsize)
}

/// What of a process is in memory, by the kernel's running count: cheap, and what it shares with
/// its parent since a fork is in it.
fn resident(pid: i32) -> Memory {
    let text = fs_err::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    // What was swapped out is memory that it asked for: sandboxes have no swap of their own.
    let own = field(&text, "RssAnon:") + field(&text, "VmSwap:");
    Memory { own, shared: field(&text, "RssShmem:") }
}

/// Its part of what it shares, by a walk through its page tables: dear, and true. Where we may not
/// look, the running count stands.
fn proportional(pid: i32) -> Memory {
    match fs_err::read_to_string(format!("/proc/{pid}/smaps_rollup")) {
        Ok(text) if !text.is_empty() => {
            let own = field(&text, "Pss_Anon:") + field(&text, "SwapPss:");
            Memory { own, shared: field(&text, "Pss_Shmem:") }
        }
        _ => resident(pid),
    }
}

/// A number of KiB in a file of `/proc`, in bytes.
fn field(text: &str, name: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    let kib =
        value.and_then(|value| value.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_look_comes_before_what_is_left_can_be_filled() {
        let quick = Duration::from_micros(20);
        assert_eq!(next_look(None, quick), PERIOD);
        assert_eq!(next_look(Some(100 << 30), quick), PERIOD);
        assert_eq!(next_look(Some(0), quick), HASTE);
        let near = next_look(Some(256 << 20), quick);
        assert!(near > HASTE && near < Duration::from_millis(70), "{near:?}");
        // Never more than a small part of the time.
        assert_eq!(next_look(Some(0), Duration::from_millis(10)), Duration::from_millis(500));
    }

    #[test]
    fn fields_are_read_with_their_unit() {
        let text = "VmRSS:\t    1000 kB\nRssAnon:\t      12 kB\nRssShmem:\t       0 kB\n";
        assert_eq!(field(text, "RssAnon:"), 12 << 10);
        assert_eq!((field(text, "RssShmem:"), field(text, "Pss_Anon:")), (0, 0));
    }

    #[test]
    fn our_own_memory_is_counted_once() {
        let pid = std::process::id().cast_signed();
        let (running, true_part) = (resident(pid), proportional(pid));
        assert!(running.own > 0 && true_part.own > 0);
        assert!(Tree::below(pid).pids.contains(&pid));
    }
}
