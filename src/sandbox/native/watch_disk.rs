//! What goes to disk where the file system does not limit it: measured when there may be too much.

use super::handle::{EndReason, Shared};
use super::quota;
use super::watch::{PERIOD, Tree, next_look};
use crate::model::DiskLimit;
use std::collections::{HashMap, HashSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A directory is measured again only after this many times as long as measuring took.
const REST: u32 = 20;
/// Each is measured at least this often while it lives.
const SELDOM: Duration = Duration::from_secs(30);
/// `OVERLAYFS_SUPER_MAGIC`.
const OVERLAY: u64 = 0x794c_7630;

/// Bytes and files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) bytes: u64,
    pub(super) files: u64,
}

impl Amount {
    /// What is left of so much once that is gone.
    fn less(self, gone: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(gone.bytes),
            files: self.files.saturating_sub(gone.files),
        }
    }

    /// What may be written where so many bytes may be.
    fn limit(bytes: u64) -> Self {
        Self { bytes, files: quota::inodes(bytes) }
    }

    fn is_none(self) -> bool {
        self.bytes == 0 || self.files == 0
    }
}

/// When each was measured last, how long that took, and what it had left.
#[derive(Default)]
pub(super) struct Disks {
    measured: HashMap<String, (Instant, Duration, Amount)>,
}

impl Disks {
    /// Measures those that may have written too much, ends those that have; says when to look again.
    pub(super) async fn watch(&mut self, live: &[Arc<Shared>], free: Amount) -> Duration {
        self.measured.retain(|name, _| live.iter().any(|shared| shared.name == *name));
        let mut pause = PERIOD;
        for shared in live {
            let Some(limit) = shared.limits.disk else { continue };
            if shared.disk_limit() != DiskLimit::Watch || shared.end_reason().is_some() {
                continue;
            }
            let limit = Amount::limit(limit);
            // It may be all of what the whole file system has lost since.
            let room = limit.less(shared.free_at_start.less(free));
            let last = self.measured.get(&shared.name).copied();
            if !is_due(room, shared.begun().elapsed(), last) {
                let (took, left) = match last {
                    Some((_, took, left)) if room.is_none() => (took, left),
                    _ => (Duration::ZERO, room),
                };
                pause = pause.min(look_again(left, took));
                continue;
            }
            let began = Instant::now();
            let room = measure(shared.clone(), limit).await;
            let took = began.elapsed();
            self.measured.insert(shared.name.clone(), (Instant::now(), took, room));
            pause = pause.min(look_again(room, took));
        }
        pause
    }
}

/// When to look at one again that has so much left.
fn look_again(room: Amount, took: Duration) -> Duration {
    // A new file takes about as long as four kilobytes of one.
    next_look(Some(room.bytes.min(room.files.saturating_mul(4096))), took)
}

/// As long as the file system has not lost as much as one may write, measuring can wait.
fn is_due(room: Amount, lived: Duration, last: Option<(Instant, Duration, Amount)>) -> bool {
    match last {
        None => room.is_none() || lived > SELDOM,
        Some((at, took, _)) if !room.is_none() => {
            at.elapsed() > SELDOM && at.elapsed() > took * REST * REST
        }
        // What it had left could not have been filled yet.
        Some((at, took, left)) => {
            at.elapsed() >= look_again(left, Duration::ZERO) && at.elapsed() > took * REST
        }
    }
}

/// Measures one, and ends it if it has more than it may; what it has left.
async fn measure(shared: Arc<Shared>, limit: Amount) -> Amount {
    let Some(directory) = shared.directory.clone() else { return limit };
    let measuring = tokio::task::spawn_blocking(move || {
        let (there, gone) = (below(&directory), without_a_name(shared.pid));
        let used = Amount { bytes: there.bytes + gone.bytes, files: there.files + gone.files };
        let left = limit.less(used);
        if used.bytes > limit.bytes || used.files > limit.files {
            shared.end(EndReason::Disk);
        }
        left
    });
    // A task of ours that fails here leaves the limit to the next round.
    measuring.await.unwrap_or_default()
}

/// What is on disk below a directory; what goes away meanwhile does not count.
fn below(directory: &Path) -> Amount {
    let mut sum = Amount::default();
    for about in walkdir::WalkDir::new(directory).into_iter().flatten() {
        sum.files += 1;
        sum.bytes += about.metadata().map_or(0, |about| about.blocks() * 512);
    }
    sum
}

/// What the processes below this one have open on the sandbox's disk that is in no directory any
/// more.
fn without_a_name(pid: i32) -> Amount {
    let mut sum = Amount::default();
    let mut seen = HashSet::new();
    for pid in Tree::below(pid).pids {
        let Ok(descriptors) = fs_err::read_dir(format!("/proc/{pid}/fd")) else { continue };
        for descriptor in descriptors.flatten() {
            let path = descriptor.path();
            let Ok(about) = fs_err::metadata(&path) else { continue };
            let nameless = about.is_file() && about.nlink() == 0;
            // Those in memory are memory.
            let on_disk = || {
                rustix::fs::statfs(&path).is_ok_and(|fs| u64::try_from(fs.f_type) == Ok(OVERLAY))
            };
            if nameless && seen.insert((about.dev(), about.ino())) && on_disk() {
                sum.files += 1;
                sum.bytes += about.blocks() * 512;
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    const MUCH: Amount = Amount { bytes: 1 << 40, files: 1 << 30 };

    #[test]
    fn one_is_measured_when_it_may_have_written_too_much() {
        let young = Duration::from_secs(1);
        assert!(!is_due(MUCH, young, None));
        assert!(is_due(Amount { bytes: 0, ..MUCH }, young, None));
        assert!(is_due(Amount { files: 0, ..MUCH }, young, None));
        assert!(is_due(MUCH, SELDOM * 2, None), "what others remove may hide what it writes");
        let now = (Instant::now(), Duration::from_millis(10), MUCH);
        assert!(!is_due(Amount::default(), young, Some(now)), "it has just been measured");
    }

    #[test]
    fn a_directory_is_measured_with_its_files() {
        let directory = tempfile::tempdir().unwrap();
        fs_err::write(directory.path().join("file"), vec![1; 100_000]).unwrap();
        let amount = below(directory.path());
        assert_eq!(amount.files, 2);
        assert!(amount.bytes >= 100_000, "{amount:?}");
    }
}
