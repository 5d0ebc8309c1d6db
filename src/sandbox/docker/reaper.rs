//! Takes containers away, also those that were dropped and cannot wait for it.

use super::{Daemon, failed, is_not_found};
use crate::sandbox::SandboxError;
use bollard::query_parameters::RemoveContainerOptionsBuilder;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::watch;

/// The task that removes dropped containers.
pub(super) struct Reaper {
    daemon: Arc<Daemon>,
    queue: UnboundedSender<String>,
    pending: watch::Sender<usize>,
}

impl Reaper {
    pub(super) fn start(daemon: Arc<Daemon>) -> Self {
        let (queue, mut dropped) = unbounded_channel::<String>();
        let (pending, _) = watch::channel(0);
        let (worker, left) = (daemon.clone(), pending.clone());
        tokio::spawn(async move {
            while let Some(id) = dropped.recv().await {
                if let Err(error) = remove(&worker, &id).await {
                    tracing::warn!("container {id} stays behind: {error}");
                }
                left.send_modify(|count| *count -= 1);
            }
        });
        Self { daemon, queue, pending }
    }

    /// A container that is removed when the lease ends.
    pub(super) fn lease(&self, id: String) -> Lease {
        Lease {
            id,
            daemon: self.daemon.clone(),
            queue: self.queue.clone(),
            pending: self.pending.clone(),
            ended: AtomicBool::new(false),
        }
    }

    /// Waits until nothing is left to remove.
    pub(super) async fn drain(&self) {
        let mut left = self.pending.subscribe();
        // The sender lives in `self`, so this cannot fail.
        let _ = left.wait_for(|count| *count == 0).await;
    }
}

/// A container, and the duty to remove it.
pub(super) struct Lease {
    id: String,
    daemon: Arc<Daemon>,
    queue: UnboundedSender<String>,
    pending: watch::Sender<usize>,
    ended: AtomicBool,
}

impl Lease {
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) async fn end(&self) -> Result<(), SandboxError> {
        remove(&self.daemon, &self.id).await?;
        self.ended.store(true, Ordering::SeqCst);
        Ok(())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !*self.ended.get_mut() {
            self.pending.send_modify(|count| *count += 1);
            if self.queue.send(std::mem::take(&mut self.id)).is_err() {
                self.pending.send_modify(|count| *count -= 1);
            }
        }
    }
}

/// Kills and removes a container; one that is gone is fine.
pub(super) async fn remove(daemon: &Daemon, id: &str) -> Result<(), SandboxError> {
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    let _turn = daemon.turn().await;
    match daemon.docker.remove_container(id, Some(options)).await {
        Ok(()) => Ok(()),
        Err(error) if is_not_found(&error) => Ok(()),
        // Somebody else is at it.
        Err(bollard::errors::Error::DockerResponseServerError { status_code: 409, .. }) => Ok(()),
        Err(error) => Err(failed("remove a container", error)),
    }
}
