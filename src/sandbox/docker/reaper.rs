//! Takes containers away, also those that were dropped and cannot wait for it.

use super::daemon::{Daemon, failed, is_not_found, status};
use crate::sandbox::SandboxError;
use bollard::query_parameters::RemoveContainerOptionsBuilder;
use std::sync::Arc;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;

/// Containers that are removed at once: removing is work for the disk.
const WORKERS: usize = 4;
/// How often a removal is looked after that somebody else is at.
const LOOKS: u32 = 200;

/// The tasks that remove containers nobody needs any more.
pub(super) struct Reaper {
    queue: UnboundedSender<String>,
    pending: watch::Sender<usize>,
}

impl Reaper {
    pub(super) fn start(daemon: &Arc<Daemon>) -> Arc<Self> {
        let (queue, dropped) = unbounded_channel::<String>();
        let dropped = Arc::new(tokio::sync::Mutex::new(dropped));
        let (pending, _) = watch::channel(0);
        for _ in 0..WORKERS {
            tokio::spawn(work(daemon.clone(), dropped.clone(), pending.clone()));
        }
        Arc::new(Self { queue, pending })
    }

    /// Has a container removed.
    pub(super) fn take(&self, name: String) {
        self.pending.send_modify(|count| *count += 1);
        if self.queue.send(name).is_err() {
            self.pending.send_modify(|count| *count -= 1);
        }
    }

    /// Waits until nothing is left to remove.
    pub(super) async fn drain(&self) {
        let mut left = self.pending.subscribe();
        // The sender lives in `self`, so this cannot fail.
        let _ = left.wait_for(|count| *count == 0).await;
    }
}

async fn work(
    daemon: Arc<Daemon>,
    queue: Arc<tokio::sync::Mutex<UnboundedReceiver<String>>>,
    pending: watch::Sender<usize>,
) {
    loop {
        let next = queue.lock().await.recv().await;
        let Some(name) = next else { return };
        if let Err(error) = remove(&daemon, &name).await {
            tracing::warn!("container {name} stays behind: {error}");
        }
        pending.send_modify(|count| *count -= 1);
    }
}

/// Kills and removes a container; returns when it is gone.
pub(super) async fn remove(daemon: &Daemon, name: &str) -> Result<(), SandboxError> {
    for _ in 0..LOOKS {
        let removed = daemon.ask(|docker| {
            let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
            let name = name.to_owned();
            async move { docker.remove_container(&name, Some(options)).await }
        });
        match removed.await {
            Ok(()) => return Ok(()),
            Err(error) if is_not_found(&error) => return Ok(()),
            // Somebody else is at it, or our own request of before: until it is gone.
            Err(error) if status(&error) == Some(409) => {}
            Err(error) => return Err(failed("remove a container", error)),
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    Err(SandboxError::Protocol(format!("container {name} is being removed, without end")))
}
