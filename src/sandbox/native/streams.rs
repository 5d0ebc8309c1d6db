//! Pipes and terminals as asynchronous streams, and the count of what comes out of them.

use super::sys;
use crate::sandbox::SandboxError;
use rustix::fs::{Gid, OFlags, Uid};
use rustix::io::Errno;
use std::fs::File;
use std::future::Future;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::sync::{oneshot, watch};

/// How much is read at once; on the stack, and only while something is there.
const CHUNK: usize = 32 << 10;
/// The most that a pipe can hold: who has an end of it may make it as large as this.
const FULL_PIPE: usize = 1 << 20;
/// A command that writes this many times its limit is ended.
const PATIENCE: u64 = 10;

/// A pipe, closed on exec: reading end, writing end. It belongs to root inside, so that what a
/// command has as its output can be opened anew as `/dev/stdout`.
pub(super) fn pipe(owner: Option<u32>) -> Result<(OwnedFd, OwnedFd), SandboxError> {
    let failed = |errno: Errno| SandboxError::step("make a pipe")(errno.into());
    let (read, write) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(failed)?;
    if let Some(owner) = owner {
        let (user, group) = (Uid::from_raw(owner), Gid::from_raw(owner));
        rustix::fs::fchown(&write, Some(user), Some(group)).map_err(failed)?;
    }
    Ok((read, write))
}

/// Our end only: the flag belongs to the end, not to the pipe. A terminal's ends are one thing to
/// us, and its other end is another to the command.
fn asynchronous(end: OwnedFd, interest: Interest) -> Result<AsyncFd<OwnedFd>, SandboxError> {
    let failed = SandboxError::step("watch a stream");
    let set = rustix::fs::fcntl_getfl(&end)
        .and_then(|flags| rustix::fs::fcntl_setfl(&end, flags | OFlags::NONBLOCK));
    match set {
        Ok(()) => sys::watched(end, interest).map_err(failed),
        Err(errno) => Err(failed(errno.into())),
    }
}

/// What a command may write, and what it wrote.
pub(super) struct Budget {
    limit: u64,
    written: AtomicU64,
    kept: AtomicU64,
    over: Mutex<Over>,
}

/// Both ends, until each is taken.
struct Over {
    tell: Option<oneshot::Sender<()>>,
    told: Option<oneshot::Receiver<()>>,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub(super) fn new(limit: u64) -> Arc<Self> {
        let (tell, told) = oneshot::channel();
        Arc::new(Self {
            limit,
            written: AtomicU64::new(0),
            kept: AtomicU64::new(0),
            over: Mutex::new(Over { tell: Some(tell), told: Some(told) }),
        })
    }

    /// Told when the budget is exceeded ten times. For one to ask.
    pub(super) fn overflow(&self) -> Option<oneshot::Receiver<()>> {
        self.over.lock().ok()?.told.take()
    }

    /// Counts bytes that someone else keeps.
    fn pass(&self, count: usize) {
        self.written(count as u64);
        self.kept.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Counts bytes; returns how many of them are within the limit.
    fn spend(&self, count: usize) -> usize {
        let count = count as u64;
        let before = self.written(count);
        let kept = self.limit.saturating_sub(before).min(count);
        self.kept.fetch_add(kept, Ordering::Relaxed);
        usize::try_from(kept).expect("no more than was counted")
    }

    /// Counts bytes written; returns how many were before.
    fn written(&self, count: u64) -> u64 {
        let before = self.written.fetch_add(count, Ordering::Relaxed);
        if before + count > self.limit.saturating_mul(PATIENCE)
            && let Some(over) = self.over.lock().ok().and_then(|mut over| over.tell.take())
        {
            let _ = over.send(());
        }
        before
    }

    /// Bytes written, and bytes left out.
    pub(super) fn counted(&self) -> (u64, u64) {
        let written = self.written.load(Ordering::Relaxed);
        (written, written.saturating_sub(self.kept.load(Ordering::Relaxed)))
    }
}

/// Reads; the end of a terminal whose command is gone is an end, not an error.
fn read(end: &OwnedFd, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match rustix::io::read(end, &mut *buffer) {
            Err(Errno::INTR) => {}
            Err(Errno::IO) => return Ok(0),
            other => return Ok(other?),
        }
    }
}

/// Carries output to a file.
pub(super) struct Pump {
    end: AsyncFd<OwnedFd>,
    file: Option<File>,
    budget: Arc<Budget>,
}

impl Pump {
    /// A pump from this end to this file, or to nowhere.
    pub(super) fn new(
        end: OwnedFd,
        file: Option<File>,
        budget: Arc<Budget>,
    ) -> Result<Self, SandboxError> {
        Ok(Self { end: asynchronous(end, Interest::READABLE)?, file, budget })
    }

    /// Until the output ends, or `closing` turns true: then what stands in the pipe is carried
    /// still, but nothing is waited for. On a crowded machine we may come to it late.
    pub(super) async fn run(mut self, mut closing: watch::Receiver<bool>) -> io::Result<()> {
        loop {
            let mut ready = tokio::select! {
                biased;
                ready = self.end.readable() => ready?,
                _ = closing.wait_for(|closing| *closing) => return self.rest(),
            };
            match ready.try_io(|end| once(end.get_ref(), self.file.as_mut(), &self.budget)) {
                Ok(Ok(0)) => return Ok(()),
                Ok(Ok(_)) | Err(_) => {}
                Ok(Err(error)) => return Err(error),
            }
        }
    }

    /// Carries what stands in the pipe, and no more than a pipe can hold: what still holds the
    /// other end may go on writing for ever.
    fn rest(&mut self) -> io::Result<()> {
        let mut left = FULL_PIPE;
        while left > 0 {
            match once(self.end.get_ref(), self.file.as_mut(), &self.budget) {
                Ok(0) => break,
                Ok(count) => left = left.saturating_sub(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Carries one chunk.
fn once(end: &OwnedFd, file: Option<&mut File>, budget: &Budget) -> io::Result<usize> {
    let mut chunk = [0; CHUNK];
    let count = read(end, &mut chunk)?;
    let kept = budget.spend(count);
    match file {
        // Writing to a file of our own does not wait for anyone but the disk.
        Some(file) if kept > 0 => file.write_all(&chunk[..kept])?,
        _ => {}
    }
    Ok(count)
}

type Closing = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Output as a stream. It ends when the command has been over for a while, even if something still
/// holds the other end.
pub(super) struct Tap {
    end: AsyncFd<OwnedFd>,
    budget: Arc<Budget>,
    /// `None` when it has come.
    closing: Option<Closing>,
    /// Bytes that may still be read once it has come.
    left: usize,
}

impl Tap {
    /// A stream from this end; it ends when `closing` turns true.
    pub(super) fn new(
        end: OwnedFd,
        budget: Arc<Budget>,
        mut closing: watch::Receiver<bool>,
    ) -> Result<Self, SandboxError> {
        let closing: Closing = Box::pin(async move {
            // A sender that is gone without a word says the same.
            let _ = closing.wait_for(|closing| *closing).await;
        });
        Ok(Self {
            end: asynchronous(end, Interest::READABLE)?,
            budget,
            closing: Some(closing),
            left: 0,
        })
    }
}

impl Tap {
    /// Reads what stands in the pipe although nobody told us yet; nothing where it is empty.
    fn rest(&mut self, buffer: &mut ReadBuf<'_>) -> io::Result<()> {
        let space = buffer.initialize_unfilled();
        let most = space.len().min(self.left);
        let count = match read(self.end.get_ref(), &mut space[..most]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            other => other?,
        };
        self.left -= count;
        buffer.advance(count);
        self.budget.pass(count);
        Ok(())
    }
}

impl AsyncRead for Tap {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            let Poll::Ready(ready) = this.end.poll_read_ready(context) else {
                if let Some(closing) = &mut this.closing {
                    ready!(closing.as_mut().poll(context));
                    this.closing = None;
                    this.left = FULL_PIPE;
                }
                return Poll::Ready(this.rest(buffer));
            };
            let space = buffer.initialize_unfilled();
            if let Ok(result) = ready?.try_io(|end| read(end.get_ref(), space)) {
                let count = result?;
                if count == 0 {
                    this.closing = None;
                }
                buffer.advance(count);
                this.budget.pass(count);
                return Poll::Ready(Ok(()));
            }
        }
    }
}

/// Standard input as a stream.
pub(super) struct Sink {
    end: Option<AsyncFd<OwnedFd>>,
}

impl Sink {
    /// A stream into this end.
    pub(super) fn new(end: OwnedFd) -> Result<Self, SandboxError> {
        Ok(Self { end: Some(asynchronous(end, Interest::WRITABLE)?) })
    }
}

impl AsyncWrite for Sink {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Some(end) = &self.end else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        loop {
            let mut ready = ready!(end.poll_write_ready(context))?;
            let written = ready.try_io(|end| Ok(rustix::io::write(end.get_ref(), bytes)?));
            if let Ok(written) = written {
                return Poll::Ready(written);
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end = None;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_keeps_the_beginning_and_tells_once() {
        let budget = Budget::new(10);
        let mut told = budget.overflow().unwrap();
        assert_eq!(budget.spend(4), 4);
        assert_eq!(budget.spend(8), 6);
        assert_eq!(budget.spend(80), 0);
        assert!(told.try_recv().is_err());
        assert_eq!(budget.spend(9), 0);
        assert!(told.try_recv().is_ok());
        budget.spend(1);
        assert_eq!(budget.counted(), (102, 92));
    }

    fn rest_of(text: &[u8]) -> (OwnedFd, OwnedFd, watch::Sender<bool>) {
        let (read, write) = pipe(None).unwrap();
        rustix::io::write(&write, text).unwrap();
        let (tell, _) = watch::channel(true);
        (read, write, tell)
    }

    /// The writing end stays open, and that there is something was never told: what stands in the
    /// pipe is read all the same.
    #[tokio::test]
    async fn what_stands_in_a_pipe_at_the_end_is_not_lost() {
        let (read, _write, tell) = rest_of(b"PASSED late");
        let file = tempfile::NamedTempFile::new().unwrap();
        let budget = Budget::new(100);
        let pump = Pump::new(read, Some(file.reopen().unwrap()), budget.clone()).unwrap();
        pump.run(tell.subscribe()).await.unwrap();
        assert_eq!(fs_err::read(file.path()).unwrap(), b"PASSED late");

        let (read, _write, tell) = rest_of(b"PASSED late");
        let mut tap = Tap::new(read, budget.clone(), tell.subscribe()).unwrap();
        let mut text = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut tap, &mut text).await.unwrap();
        assert_eq!(text, b"PASSED late");
        assert_eq!(budget.counted(), (22, 0));
    }
}
