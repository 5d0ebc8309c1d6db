//! A sandbox of the native back-end: the trait's verbs over a [`Shared`].

use super::backend::Inner;
use super::handle::{EndReason, Shared};
use super::keeper::{self, Order};
use super::proto::{FileWork, Work};
use super::{copy, stubs};
use crate::layers::{ImageConfig, ImageKey, LayerKey, NewImage};
use crate::model::{Digest, Disk, Usage};
use crate::sandbox::carried::{self, Carrier};
use crate::sandbox::{
    Command, Content, Output, Process, Sandbox, SandboxError, SandboxOptions, Stdin,
};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::OnceCell;

/// A live sandbox; ends when it is dropped.
pub(super) struct NativeSandbox {
    pub(super) shared: Arc<Shared>,
    pub(super) inner: Arc<Inner>,
    pub(super) image: ImageKey,
    pub(super) config: ImageConfig,
    /// Variables of every command.
    pub(super) env: BTreeMap<String, String>,
    pub(super) finished: Arc<OnceCell<Usage>>,
    /// Where something of the machine is shown, by path inside.
    pub(super) shown: Vec<String>,
}

impl NativeSandbox {
    /// Ends it and waits until nothing of it is left; in a task of its own, so that a caller who
    /// loses patience does not leave it half done.
    fn finish(&self, reason: EndReason) -> tokio::task::JoinHandle<Usage> {
        self.shared.end(reason);
        let (shared, inner) = (self.shared.clone(), self.inner.clone());
        let finished = self.finished.clone();
        self.inner.tasks.spawn_on(
            async move { *finished.get_or_init(|| inner.clear_away(shared)).await },
            &self.inner.runtime,
        )
    }
}

impl Drop for NativeSandbox {
    fn drop(&mut self) {
        if !self.finished.initialized() {
            self.finish(EndReason::Asked);
        }
    }
}

#[async_trait]
impl Carrier for NativeSandbox {
    async fn start(&self, work: FileWork, stdin: &Stdin) -> Result<Process, SandboxError> {
        let order = Order {
            work: Work::Files(work),
            env: Vec::new(),
            workdir: "/".to_owned(),
            user: String::new(),
            stdin,
            stdout: &Output::Pipe,
            stderr: &Output::Pipe,
            timeout: None,
            terminal: None,
        };
        keeper::start(&self.shared, order).await
    }
}

#[async_trait]
impl Sandbox for NativeSandbox {
    async fn exec(&self, command: &Command) -> Result<Process, SandboxError> {
        let order = Order {
            work: Work::Program(command.argv.clone()),
            env: command.variables(&self.env),
            workdir: command.workdir_in(&self.config),
            user: command.user_in(&self.config),
            stdin: &command.stdin,
            stdout: &command.stdout,
            stderr: &command.stderr,
            timeout: command.timeout,
            terminal: command.pty,
        };
        keeper::start(&self.shared, order).await
    }

    async fn copy_in(&self, path: &str, content: Content) -> Result<(), SandboxError> {
        carried::copy_in(self, path, content).await
    }

    async fn copy_out(&self, path: &str, limit: u64) -> Result<Content, SandboxError> {
        carried::copy_out(self, path, limit).await
    }

    async fn snapshot(
        &self,
        key: Option<LayerKey>,
        config: &ImageConfig,
        last: bool,
    ) -> Result<ImageKey, SandboxError> {
        let durable = key.is_some();
        let key = key.unwrap_or_else(|| self.made_up_key());
        let image =
            NewImage { key, parent: Some(self.image), config: config.clone(), binds: Vec::new() };
        if last {
            self.shared.end(EndReason::Asked);
        }
        // In a task of its own: a caller who loses patience must not leave it standing still.
        let (inner, shared) = (self.inner.clone(), self.shared.clone());
        let taken = take(inner, shared, self.shown.clone(), (image, copy::How { last, durable }));
        let taken = self.inner.tasks.spawn_on(taken, &self.inner.runtime).await;
        if last {
            self.finish(EndReason::Asked);
        }
        taken.map_err(|error| SandboxError::Protocol(format!("taking the layer: {error}")))?
    }

    fn disk(&self) -> Disk {
        self.shared.disk()
    }

    async fn terminate(&self) -> Result<Usage, SandboxError> {
        let finished = self.finish(EndReason::Asked).await;
        finished.map_err(|error| SandboxError::Protocol(format!("ending the sandbox: {error}")))
    }
}

impl NativeSandbox {
    /// A key that nothing else has.
    fn made_up_key(&self) -> LayerKey {
        let what =
            format!("snapshot {} {} {:?}", self.image, self.shared.name, jiff::Timestamp::now());
        LayerKey(Digest::of(what))
    }
}

/// Takes what a sandbox wrote, which has ended or is made to stand still for as long as that takes.
async fn take(
    inner: Arc<Inner>,
    shared: Arc<Shared>,
    shown: Vec<String>,
    (image, how): (NewImage, copy::How),
) -> Result<ImageKey, SandboxError> {
    let _alone = shared.standstill.lock().await;
    if how.last {
        inner.wait_for_end(&shared).await?;
    } else if let Err(error) = shared.freeze(true).await {
        // What stands already must not stay so.
        let _ = shared.freeze(false).await;
        return Err(error);
    }
    let (store, of) = (inner.store.clone(), shared.clone());
    let taken = tokio::task::spawn_blocking(move || {
        if how.last {
            let removed = stubs::remove(&copy::upper_path(&of)?, &shown);
            removed.map_err(|errno| {
                SandboxError::step("take away the places of mounts")(errno.into())
            })?;
        }
        copy::take(&store, &of, image, how)
    });
    let taken = taken.await;
    if !how.last {
        shared.freeze(false).await?;
    }
    taken.map_err(|error| SandboxError::Protocol(format!("taking the layer: {error}")))?
}

/// The variables of every command: what comes later stands.
pub(super) fn environment(
    image: &ImageConfig,
    network: BTreeMap<String, String>,
    options: &SandboxOptions,
) -> BTreeMap<String, String> {
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let mut env = BTreeMap::from([("PATH".to_owned(), path.to_owned())]);
    env.extend(image.env.clone());
    env.extend(network);
    env.extend(options.env.clone());
    env
}
