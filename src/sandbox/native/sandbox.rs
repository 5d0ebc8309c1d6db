//! A sandbox of the native back-end: the trait's verbs over a [`Shared`].

use super::backend::Inner;
use super::files::{FILE_HEADER, TOO_LARGE, TREE_HEADER};
use super::handle::{EndReason, Shared};
use super::keeper::{self, Order};
use super::proto::{FileWork, Work};
use super::{copy, stubs};
use crate::layers::{ImageConfig, ImageKey, LayerKey, NewImage};
use crate::model::{Digest, Disk, Outcome, Status, Usage};
use crate::sandbox::{
    Command, Content, Output, Process, Sandbox, SandboxError, SandboxOptions, Stdin,
};
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader, ReadBuf};
use tokio::sync::OnceCell;

/// Longest complaint of our own code inside that is quoted.
const COMPLAINT: u64 = 4 << 10;

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
    /// The environment of a command: what comes later stands.
    fn env(&self, command: &Command) -> Vec<String> {
        let mut env = self.env.clone();
        if command.pty.is_some() {
            env.entry("TERM".to_owned()).or_insert_with(|| "xterm".to_owned());
        }
        env.extend(command.env.iter().map(|(name, value)| (name.clone(), value.clone())));
        env.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    /// Starts our own code inside.
    async fn files(&self, work: FileWork, stdin: &Stdin) -> Result<Process, SandboxError> {
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
impl Sandbox for NativeSandbox {
    async fn exec(&self, command: &Command) -> Result<Process, SandboxError> {
        let workdir = command.workdir.clone().unwrap_or_else(|| self.config.workdir.clone());
        let order = Order {
            work: Work::Program(command.argv.clone()),
            env: self.env(command),
            workdir: if workdir.is_empty() { "/".to_owned() } else { workdir },
            user: command.user.clone().unwrap_or_else(|| self.config.user.clone()),
            stdin: &command.stdin,
            stdout: &command.stdout,
            stderr: &command.stderr,
            timeout: command.timeout,
            terminal: command.pty,
        };
        keeper::start(&self.shared, order).await
    }

    async fn copy_in(&self, path: &str, content: Content) -> Result<(), SandboxError> {
        let absolute = absolute(path)?;
        let process = match content {
            Content::File { bytes, mode } => {
                let work = FileWork::Write { path: absolute, mode };
                self.files(work, &Stdin::Bytes(bytes)).await?
            }
            Content::Tar(mut stream) => {
                let mut process =
                    self.files(FileWork::Unpack { path: absolute }, &Stdin::Pipe).await?;
                let mut stdin = process.stdin.take().expect("a pipe was asked for");
                let copied = tokio::io::copy(&mut stream, &mut stdin).await;
                drop(stdin);
                // The other side's complaint says more than that it stopped reading.
                if let Err(error) = copied
                    && error.kind() != std::io::ErrorKind::BrokenPipe
                {
                    return Err(SandboxError::step(format!("copy to {path}"))(error));
                }
                process
            }
        };
        check(path, 0, process).await
    }

    async fn copy_out(&self, path: &str, limit: u64) -> Result<Content, SandboxError> {
        let work = FileWork::Send { path: absolute(path)?, limit };
        let mut process = self.files(work, &Stdin::Null).await?;
        let mut stdout = BufReader::new(process.stdout.take().expect("a pipe was asked for"));
        let mut header = String::new();
        let failed = || SandboxError::step(format!("copy from {path}"));
        stdout.read_line(&mut header).await.map_err(failed())?;
        let header = header.trim_end();
        if header == TREE_HEADER {
            return Ok(Content::Tar(Box::new(Checked::new(
                path.to_owned(),
                limit,
                stdout,
                process,
            ))));
        }
        let mode = header.strip_prefix(FILE_HEADER).and_then(|mode| mode.trim().parse().ok());
        let Some(mode) = mode else {
            check(path, limit, process).await?;
            return Err(SandboxError::Protocol(format!("no header before `{path}`")));
        };
        let mut bytes = Vec::new();
        let read = stdout.take(limit.saturating_add(1)).read_to_end(&mut bytes).await;
        read.map_err(failed())?;
        check(path, limit, process).await?;
        if bytes.len() as u64 > limit {
            return Err(SandboxError::TooLarge { path: path.to_owned(), limit });
        }
        Ok(Content::File { bytes: Bytes::from(bytes), mode })
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

/// An absolute path without a NUL in it. Where it leads is the sandbox's affair.
fn absolute(path: &str) -> Result<String, SandboxError> {
    let why = match path {
        _ if !Path::new(path).is_absolute() => "is not absolute",
        _ if path.contains('\0') => "has a NUL in it",
        _ => return Ok(path.to_owned()),
    };
    Err(SandboxError::Path { path: path.to_owned(), why: why.to_owned() })
}

/// Waits for our own code inside and makes its complaint an error.
async fn check(path: &str, limit: u64, mut process: Process) -> Result<(), SandboxError> {
    let mut complaint = Vec::new();
    if let Some(stderr) = process.stderr.take() {
        // A complaint that cannot be read leaves the status.
        let _ = stderr.take(COMPLAINT).read_to_end(&mut complaint).await;
    }
    let outcome = process.wait().await?;
    verdict(path, limit, &outcome, &complaint)
}

fn verdict(
    path: &str,
    limit: u64,
    outcome: &Outcome,
    complaint: &[u8],
) -> Result<(), SandboxError> {
    match outcome.status {
        Status::Code(0) => Ok(()),
        Status::Code(TOO_LARGE) => Err(SandboxError::TooLarge { path: path.to_owned(), limit }),
        Status::Code(_) if !complaint.is_empty() => Err(SandboxError::Path {
            path: path.to_owned(),
            why: String::from_utf8_lossy(complaint).into_owned(),
        }),
        status => Err(SandboxError::Path {
            path: path.to_owned(),
            why: format!("copying was cut short: {status:?}"),
        }),
    }
}

type Judged = Pin<Box<dyn Future<Output = Result<(), SandboxError>> + Send>>;

/// A tree as a stream, whose end is an error if our code inside did not come to its own.
struct Checked<R> {
    stream: R,
    judged: Option<Judged>,
}

impl<R: AsyncRead + Unpin> Checked<R> {
    fn new(path: String, limit: u64, stream: R, process: Process) -> Self {
        let judged = Box::pin(async move { check(&path, limit, process).await });
        Self { stream, judged: Some(judged) }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Checked<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        std::task::ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        if buffer.filled().len() > before || buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let Some(judged) = &mut this.judged else { return Poll::Ready(Ok(())) };
        let result = std::task::ready!(judged.as_mut().poll(context));
        this.judged = None;
        Poll::Ready(result.map_err(std::io::Error::other))
    }
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
