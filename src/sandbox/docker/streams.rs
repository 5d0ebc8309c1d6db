//! Streams of commands on our side: how far they may run ahead of whoever takes them.

use super::wire::Wire;
use crate::sandbox::native::inside::{ToInside, WINDOW};
use crate::sandbox::{ByteSink, ByteStream};
use bytes::Bytes;
use std::fs::File;
use std::io::{self, Write as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Taken bytes are reported when there are so many.
const REPORT: u64 = WINDOW / 8;
/// Bytes of input in one word.
const CHUNK: usize = 32 << 10;

/// Where output goes.
pub(super) struct Sink {
    to: To,
    taken: u64,
}

enum To {
    Nowhere,
    File(File),
    Reader(UnboundedSender<Bytes>),
}

impl Sink {
    pub(super) fn nowhere() -> Self {
        Self { to: To::Nowhere, taken: 0 }
    }

    pub(super) fn file(file: File) -> Self {
        Self { to: To::File(file), taken: 0 }
    }

    /// For a reader, which is connected to its command when that has a number.
    pub(super) fn reader() -> (Self, UnboundedReceiver<Bytes>) {
        let (sender, receiver) = unbounded_channel();
        (Self { to: To::Reader(sender), taken: 0 }, receiver)
    }

    /// Takes bytes; gives how many are to be reported as taken away.
    pub(super) fn take(&mut self, bytes: Vec<u8>) -> Result<u64, (io::Error, u64)> {
        let count = bytes.len() as u64;
        let result = match &mut self.to {
            To::Nowhere => Ok(()),
            // Writing to a file of our own does not wait for anyone but the disk.
            To::File(file) => file.write_all(&bytes),
            To::Reader(sender) => match sender.send(bytes.into()) {
                // Reported by the reader.
                Ok(()) => return Ok(0),
                // Who does not read any more wants nothing more.
                Err(_) => Ok(()),
            },
        };
        self.taken += count;
        let report = match self.taken >= REPORT {
            true => std::mem::take(&mut self.taken),
            false => 0,
        };
        if let Err(error) = result {
            self.to = To::Nowhere;
            return Err((error, report));
        }
        Ok(report)
    }
}

/// Output as a stream.
pub(super) struct Reader {
    wire: Arc<Wire>,
    id: u64,
    stream: u8,
    pieces: UnboundedReceiver<Bytes>,
    rest: Bytes,
    taken: u64,
}

impl Reader {
    pub(super) fn stream(
        wire: &Arc<Wire>,
        id: u64,
        stream: u8,
        pieces: UnboundedReceiver<Bytes>,
    ) -> ByteStream {
        let (wire, rest) = (wire.clone(), Bytes::new());
        Box::new(Self { wire, id, stream, pieces, rest, taken: 0 })
    }
}

impl AsyncRead for Reader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.rest.is_empty() {
            match ready!(self.pieces.poll_recv(context)) {
                Some(bytes) => self.rest = bytes,
                None => return Poll::Ready(Ok(())),
            }
        }
        let count = self.rest.len().min(buffer.remaining());
        let now = self.rest.split_to(count);
        buffer.put_slice(&now);
        self.taken += count as u64;
        if self.taken >= REPORT {
            let count = std::mem::take(&mut self.taken);
            self.wire.say(&ToInside::Taken { id: self.id, stream: self.stream, count });
        }
        Poll::Ready(Ok(()))
    }
}

/// Whoever does not read any more must not hold up the command.
impl Drop for Reader {
    fn drop(&mut self) {
        self.pieces.close();
        let mut count = self.taken + self.rest.len() as u64;
        while let Ok(bytes) = self.pieces.try_recv() {
            count += bytes.len() as u64;
        }
        if count > 0 {
            self.wire.say(&ToInside::Taken { id: self.id, stream: self.stream, count });
        }
    }
}

/// How much input may be said now.
pub(super) struct Credit(Semaphore);

impl Credit {
    pub(super) fn new() -> Arc<Self> {
        let window = usize::try_from(WINDOW).expect("the window is small");
        Arc::new(Self(Semaphore::new(window)))
    }

    pub(super) fn give(&self, count: u64) {
        self.0.add_permits(usize::try_from(count).unwrap_or(0));
    }

    /// Nobody reads any more.
    pub(super) fn close(&self) {
        self.0.close();
    }

    /// Waits until so much may be said; false if nobody reads it.
    async fn take(&self, count: usize) -> bool {
        let count = u32::try_from(count).expect("chunks are small");
        self.0.acquire_many(count).await.map(tokio::sync::SemaphorePermit::forget).is_ok()
    }
}

/// A credit that ends with the command it is for.
pub(super) struct CommandCredit(pub(super) Arc<Credit>);

impl Drop for CommandCredit {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Says these bytes as the input of a command, and then its end.
pub(super) fn feed(wire: Arc<Wire>, id: u64, credit: Arc<Credit>, bytes: Bytes) {
    tokio::spawn(async move {
        for chunk in bytes.chunks(CHUNK) {
            // A command that does not read its input has a right to.
            if !credit.take(chunk.len()).await {
                return;
            }
            wire.say(&ToInside::Input { id, bytes: chunk.to_vec() });
        }
        wire.say(&ToInside::InputEnd { id });
    });
}

/// The way to a command's input. It breaks when the command reads no more.
pub(super) fn input(wire: Arc<Wire>, id: u64, credit: Arc<Credit>) -> ByteSink {
    let (ours, theirs) = tokio::io::duplex(CHUNK);
    tokio::spawn(async move {
        let (mut ours, mut buffer) = (ours, vec![0; CHUNK]);
        loop {
            let read = tokio::select! {
                read = ours.read(&mut buffer) => read,
                // The semaphore has permits again only when it is closed.
                () = closed(&credit) => return,
            };
            match read {
                Ok(0) | Err(_) => break,
                Ok(count) => {
                    if !credit.take(count).await {
                        return;
                    }
                    wire.say(&ToInside::Input { id, bytes: buffer[..count].to_vec() });
                }
            }
        }
        wire.say(&ToInside::InputEnd { id });
    });
    Box::new(theirs)
}

/// Waits until nobody reads any more.
async fn closed(credit: &Credit) {
    // More than there ever is: only closing ends the wait.
    let _ = credit.0.acquire_many(u32::MAX >> 3).await;
}
