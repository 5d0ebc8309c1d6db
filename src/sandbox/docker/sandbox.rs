//! A container as a sandbox: the trait's verbs over its [`Wire`].

use super::daemon::{Daemon, failed};
use super::exec::{self, Wanted, places};
use super::reaper::Reaper;
use super::wire::{End, Wire};
use super::{REPOSITORY, container};
use crate::layers::{ImageConfig, ImageKey, LayerKey};
use crate::model::{Digest, Disk, DiskLimit, Usage};
use crate::sandbox::carried;
use crate::sandbox::native::inside::Order;
use crate::sandbox::{Command, Content, Limits, Process, Sandbox, SandboxError};
use async_trait::async_trait;
use bollard::query_parameters::{CommitContainerOptionsBuilder, InspectContainerOptionsBuilder};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long pid 1 may take to end all before the daemon is asked to.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks at what was written.
const LOOKS: Duration = Duration::from_millis(200);

/// A container that somebody holds, or that stands ready for somebody.
pub(super) struct Held {
    pub(super) wire: Arc<Wire>,
    pub(super) reaper: Arc<Reaper>,
    pub(super) created: Instant,
    pub(super) disk: Disk,
}

/// Whoever holds it no more has it removed.
impl Drop for Held {
    fn drop(&mut self) {
        self.wire.is_to_end(End::Asked);
        self.reaper.take(self.wire.container.clone());
    }
}

impl Held {
    /// Ends a sandbox of these limits when it has written more than it may, as far as the daemon
    /// does not see to that.
    pub(super) fn watch_disk(&self, limits: &Limits) {
        let (Some(limit), DiskLimit::Watch) = (limits.disk, self.disk.limited_by) else { return };
        let wire = self.wire.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = wire.over() => {}
                () = watch_disk(&wire, limit) => {}
            }
        });
    }

    pub(super) fn end_after(&self, lifetime: Duration) {
        let wire = self.wire.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = wire.over() => {}
                () = tokio::time::sleep(lifetime) => {
                    wire.exit(End::Lifetime);
                    end(&wire).await;
                }
            }
        });
    }
}

/// Waits for the end that was asked of pid 1; else the daemon brings it about.
async fn end(wire: &Wire) {
    if tokio::time::timeout(PATIENCE, wire.over()).await.is_err() {
        // Its removal kills it too.
        let _ = wire.kill(End::Asked).await;
    }
}

/// Looks how much was written whenever the disk has lost so much room that it could be too much.
async fn watch_disk(wire: &Arc<Wire>, limit: u64) {
    let mut fallen = wire.watch_disk();
    let (mut written, mut at) = (0_u64, 0_u64);
    loop {
        let room = limit.saturating_sub(written) / 2;
        let Ok(now) = fallen.wait_for(|now| now.saturating_sub(at) >= room).await.map(|now| *now)
        else {
            return;
        };
        at = now;
        match size(&wire.daemon, &wire.container).await {
            Ok(size) if size > limit => {
                wire.is_to_end(End::Disk);
                let _ = wire.kill(End::Disk).await;
                return;
            }
            Ok(size) => written = size,
            Err(error) => tracing::debug!("{error}"),
        }
        tokio::time::sleep(LOOKS).await;
    }
}

/// Bytes that a container has written.
async fn size(daemon: &Daemon, name: &str) -> Result<u64, SandboxError> {
    let asked = daemon.ask(|docker| {
        let options = InspectContainerOptionsBuilder::new().size(true).build();
        let name = name.to_owned();
        async move { docker.inspect_container(&name, Some(options)).await }
    });
    let about = asked.await.map_err(|error| failed("inspect a container", error))?;
    Ok(about.size_rw.unwrap_or(0).unsigned_abs())
}

/// A sandbox.
pub(super) struct DockerSandbox {
    pub(super) held: Held,
    pub(super) limits: Limits,
    pub(super) config: ImageConfig,
    /// Given to each command and not to the container: a commit would freeze them.
    pub(super) env: BTreeMap<String, String>,
}

impl DockerSandbox {
    fn wire(&self) -> &Arc<Wire> {
        &self.held.wire
    }
}

#[async_trait]
impl Sandbox for DockerSandbox {
    async fn exec(&self, command: &Command) -> Result<Process, SandboxError> {
        let order = Order::Program {
            argv: command.argv.clone(),
            env: command.variables(&self.env),
            workdir: command.workdir_in(&self.config),
            user: command.user_in(&self.config),
            streams: places(&command.stdin, &command.stdout, &command.stderr),
            terminal: command.pty,
            keep: self.limits.output,
        };
        let wanted = Wanted {
            order,
            stdin: &command.stdin,
            stdout: &command.stdout,
            stderr: &command.stderr,
            timeout: command.timeout,
        };
        exec::start(self.wire(), wanted).await
    }

    async fn copy_in(&self, path: &str, content: Content) -> Result<(), SandboxError> {
        carried::copy_in(self.wire(), path, content).await
    }

    async fn copy_out(&self, path: &str, limit: u64) -> Result<Content, SandboxError> {
        carried::copy_out(self.wire(), path, limit).await
    }

    async fn snapshot(
        &self,
        key: Option<LayerKey>,
        config: &ImageConfig,
        last: bool,
    ) -> Result<ImageKey, SandboxError> {
        let key = key.unwrap_or_else(|| LayerKey(Digest::of(rand::random::<[u8; 32]>())));
        let image = ImageKey::from(key);
        if last {
            // What stands still by itself need not be made to.
            self.wire().exit(End::Asked);
            end(self.wire()).await;
        }
        let committed = self.wire().daemon.ask_for_work(|docker| {
            let options = CommitContainerOptionsBuilder::new()
                .container(&self.wire().container)
                .repo(REPOSITORY)
                .tag(&image.to_string())
                .pause(!last)
                .build();
            let config = container::for_image(config);
            async move { docker.commit_container(options, config).await }
        });
        committed.await.map_err(|error| failed("commit a container", error))?;
        Ok(image)
    }

    fn disk(&self) -> Disk {
        self.held.disk
    }

    async fn terminate(&self) -> Result<Usage, SandboxError> {
        self.wire().exit(End::Asked);
        end(self.wire()).await;
        let totals = self.wire().totals();
        Ok(Usage {
            wall: self.held.created.elapsed(),
            user: Duration::from_micros(totals.user_us),
            system: Duration::from_micros(totals.system_us),
            peak_memory: totals.peak_memory,
            ..Usage::default()
        })
    }
}
