//! From what a sandbox wrote to a layer: by rename when nothing more is done in it, else by copy.

mod tree;

use super::handle::Shared;
use crate::layers::owners::open_up;
use crate::layers::{ImageKey, Marks, NewImage, Store};
use crate::sandbox::SandboxError;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::task::JoinHandle;

/// How a layer is taken.
#[derive(Clone, Copy)]
pub(super) struct How {
    /// Nothing more is done in the sandbox.
    pub(super) last: bool,
    /// It must still be there after a crash of the machine.
    pub(super) durable: bool,
}

/// Where what a sandbox wrote is.
pub(super) fn upper_path(shared: &Shared) -> Result<PathBuf, SandboxError> {
    match (&shared.memory_upper, &shared.directory) {
        (Some(upper), _) => Ok(PathBuf::from(format!("/proc/self/fd/{}", upper.as_raw_fd()))),
        (None, Some(directory)) => Ok(directory.join("u")),
        (None, None) => Err(SandboxError::Gone),
    }
}

/// Takes what a sandbox wrote as a layer. Its processes have ended or stand still.
pub(super) fn take(
    store: &Store,
    shared: &Shared,
    image: NewImage,
    how: How,
) -> Result<ImageKey, SandboxError> {
    let store_failed = |error| SandboxError::Store(Box::new(error));
    let upper = upper_path(shared)?;
    if how.last && shared.memory_upper.is_none() {
        let adopted = match how.durable {
            true => store.adopt(&upper, image),
            false => store.adopt_unsynced(&upper, image),
        };
        return adopted.map_err(store_failed);
    }
    let layer = store.begin().map_err(store_failed)?;
    if store.marks() == Marks::User {
        // What a sandbox closed is closed to us too.
        open_up(&upper).map_err(SandboxError::step("open what a sandbox closed"))?;
    }
    tree::copy_tree(&upper, layer.root(), shared.memory_shift)
        .map_err(SandboxError::step(format!("copy what sandbox {} wrote", shared.name)))?;
    layer.commit(image).map_err(store_failed)
}

/// A stream whose writer's error is an error at its end.
pub(super) struct Joined<R> {
    stream: R,
    writing: Option<JoinHandle<io::Result<()>>>,
}

impl<R> Joined<R> {
    pub(super) fn new(stream: R, writing: JoinHandle<io::Result<()>>) -> Self {
        Self { stream, writing: Some(writing) }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Joined<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        std::task::ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        if buffer.filled().len() > before || buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let Some(writing) = &mut this.writing else { return Poll::Ready(Ok(())) };
        let written = std::task::ready!(Pin::new(writing).poll(context));
        this.writing = None;
        Poll::Ready(written.unwrap_or_else(|error| Err(io::Error::other(error))))
    }
}
