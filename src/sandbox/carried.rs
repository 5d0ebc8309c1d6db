//! Files into and out of a sandbox, carried by our own code inside, so that a link leads nowhere but
//! inside: what every back-end that has it there does around it.

use super::native::{FILE_HEADER, FileWork, TOO_LARGE, TREE_HEADER};
use super::{Content, Process, SandboxError, Stdin};
use crate::model::Status;
use async_trait::async_trait;
use bytes::Bytes;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader, ReadBuf};

/// Longest complaint of our own code inside that is quoted.
const COMPLAINT: u64 = 4 << 10;

/// Has our own code inside.
#[async_trait]
pub(super) trait Carrier: Sync {
    /// Starts it, with pipes for its output and its complaints.
    async fn start(&self, work: FileWork, stdin: &Stdin) -> Result<Process, SandboxError>;
}

pub(super) async fn copy_in(
    carrier: &impl Carrier,
    path: &str,
    content: Content,
) -> Result<(), SandboxError> {
    let absolute = absolute(path)?;
    let process = match content {
        Content::File { bytes, mode } => {
            let work = FileWork::Write { path: absolute, mode };
            carrier.start(work, &Stdin::Bytes(bytes)).await?
        }
        Content::Tar(mut stream) => {
            let work = FileWork::Unpack { path: absolute };
            let mut process = carrier.start(work, &Stdin::Pipe).await?;
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
    carrier: &impl Carrier,
    path: &str,
    limit: u64,
) -> Result<Content, SandboxError> {
    let work = FileWork::Send { path: absolute(path)?, limit };
    let mut process = carrier.start(work, &Stdin::Null).await?;
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
    // A stream that nobody reads would be waited for.
    drop(process.stdout.take());
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
