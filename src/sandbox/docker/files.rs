//! Files into and out of a container, carried by our own code inside: a link leads nowhere but
//! inside.

use super::exec::{self, Wanted};
use super::wire::Wire;
use crate::model::Status;
use crate::sandbox::native::inside::{FileTask, Order};
use crate::sandbox::native::{FILE_HEADER, TOO_LARGE, TREE_HEADER};
use crate::sandbox::{ByteStream, Content, Output, Process, SandboxError, Stdin};
use bytes::Bytes;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader, ReadBuf};
use tokio_util::io::SyncIoBridge;

/// Longest complaint of our own code inside that is quoted.
const COMPLAINT: u64 = 4 << 10;

/// A directory as a tar stream, made while it is read.
pub(super) fn tar_of_directory(path: PathBuf) -> ByteStream {
    let (reader, writer) = tokio::io::duplex(1 << 16);
    tokio::task::spawn_blocking(move || {
        let mut archive = tar::Builder::new(SyncIoBridge::new(writer));
        archive.follow_symlinks(false);
        // The daemon does not know the sparse form.
        archive.sparse(false);
        // A reader that finds the archive cut off reports it.
        if let Err(error) = archive.append_dir_all(".", path).and_then(|()| archive.finish()) {
            tracing::warn!("reading a root file system: {error}");
        }
    });
    Box::new(reader)
}

/// Starts our own code inside.
async fn task(wire: &Arc<Wire>, task: FileTask, stdin: &Stdin) -> Result<Process, SandboxError> {
    let wanted = Wanted {
        order: Order::Files(task),
        stdin,
        stdout: &Output::Pipe,
        stderr: &Output::Pipe,
        timeout: None,
    };
    exec::start(wire, wanted).await
}

pub(super) async fn copy_in(
    wire: &Arc<Wire>,
    path: &str,
    content: Content,
) -> Result<(), SandboxError> {
    let absolute = absolute(path)?;
    let process = match content {
        Content::File { bytes, mode } => {
            let write = FileTask::Write { path: absolute, mode };
            task(wire, write, &Stdin::Bytes(bytes)).await?
        }
        Content::Tar(mut stream) => {
            let unpack = FileTask::Unpack { path: absolute };
            let mut process = task(wire, unpack, &Stdin::Pipe).await?;
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

pub(super) async fn copy_out(
    wire: &Arc<Wire>,
    path: &str,
    limit: u64,
) -> Result<Content, SandboxError> {
    let send = FileTask::Send { path: absolute(path)?, limit };
    let mut process = task(wire, send, &Stdin::Null).await?;
    let mut stdout = BufReader::new(process.stdout.take().expect("a pipe was asked for"));
    let mut header = String::new();
    let failed = || SandboxError::step(format!("copy from {path}"));
    stdout.read_line(&mut header).await.map_err(failed())?;
    let header = header.trim_end();
    if header == TREE_HEADER {
        let judged = Checked::new(path.to_owned(), limit, stdout, process);
        return Ok(Content::Tar(Box::new(judged)));
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
    match process.wait().await?.status {
        Status::Code(0) => Ok(()),
        Status::Code(TOO_LARGE) => Err(SandboxError::TooLarge { path: path.to_owned(), limit }),
        Status::Code(_) if !complaint.is_empty() => Err(SandboxError::Path {
            path: path.to_owned(),
            why: String::from_utf8_lossy(&complaint).into_owned(),
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
