//! Clears away what is left of sandboxes that have ended, out of the way of those that come.

use super::cgroup::{Cgroup, Cgroups};
use crate::layers::remove_tree;
use crate::sandbox::SandboxError;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio_util::task::task_tracker::TaskTrackerToken;

/// How many threads.
const THREADS: usize = 2;
/// How long they wait for more: what comes at once is done at once, and a sandbox that is made
/// right after another has ended finds the machine free.
const GATHER: Duration = Duration::from_millis(3);
/// How often what could not be removed is tried again.
const AGAIN: Duration = Duration::from_millis(2);
/// How long a cgroup may take to be empty after its last process has ended.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is left of a sandbox.
pub(super) struct Remains {
    /// Its directory.
    pub(super) directory: Option<PathBuf>,
    /// Its cgroups.
    pub(super) cgroup: Option<Cgroup>,
    /// Tells those who wait that it is not cleared away yet.
    pub(super) token: TaskTrackerToken,
}

/// Threads that clear away.
pub(super) struct Reaper {
    /// `None` only while it ends.
    queue: Option<Sender<Remains>>,
    threads: Vec<JoinHandle<()>>,
}

impl Reaper {
    /// Starts it.
    pub(super) fn start(cgroups: &Arc<Cgroups>) -> Result<Self, SandboxError> {
        let (queue, inbox) = channel();
        let inbox = Arc::new(Mutex::new(inbox));
        let threads = (0..THREADS).map(|_| {
            let (inbox, cgroups) = (inbox.clone(), cgroups.clone());
            std::thread::Builder::new()
                .name("evalrun-reaper".to_owned())
                .stack_size(256 << 10)
                .spawn(move || work(&inbox, &cgroups))
        });
        let threads = threads.collect::<std::io::Result<_>>();
        let threads = threads.map_err(SandboxError::step("start a thread"))?;
        Ok(Self { queue: Some(queue), threads })
    }

    /// Has something cleared away.
    pub(super) fn take(&self, remains: Remains) {
        if let Some(queue) = &self.queue {
            // What is sent after its end is found by the next sweep.
            let _ = queue.send(remains);
        }
    }
}

/// Finishes what it has.
impl Drop for Reaper {
    fn drop(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// A cgroup that is still in use, until when to try, and whom to tell.
type Stubborn = (Cgroup, Instant, TaskTrackerToken);

fn work(inbox: &Mutex<Receiver<Remains>>, cgroups: &Cgroups) {
    let mut stubborn: Vec<Stubborn> = Vec::new();
    loop {
        let next = next(inbox, !stubborn.is_empty());
        match next {
            Ok(batch) => stubborn.extend(batch.into_iter().filter_map(|one| bury(one, cgroups))),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) if stubborn.is_empty() => return,
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(AGAIN),
        }
        stubborn.retain(|(cgroup, until, _)| !cgroup.remove() && Instant::now() < *until);
    }
}

/// What there is to do, gathered for a moment. The other threads wait meanwhile for the next.
fn next(inbox: &Mutex<Receiver<Remains>>, hurry: bool) -> Result<Vec<Remains>, RecvTimeoutError> {
    let Ok(inbox) = inbox.lock() else { return Err(RecvTimeoutError::Disconnected) };
    let first = match hurry {
        true => inbox.recv_timeout(AGAIN)?,
        false => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected)?,
    };
    std::thread::sleep(GATHER);
    Ok(std::iter::once(first).chain(inbox.try_iter().take(16)).collect())
}

/// Clears away what is left of a sandbox; returns what is still in use.
fn bury(remains: Remains, cgroups: &Cgroups) -> Option<Stubborn> {
    if let Some(directory) = &remains.directory {
        // What cannot be removed now is found by the next sweep.
        let _ = remove_tree(directory);
    }
    let left = cgroups.take_back(remains.cgroup?)?;
    Some((left, Instant::now() + PATIENCE, remains.token))
}
