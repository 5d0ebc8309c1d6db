//! A command's streams on our side, and what is known of its end.

use super::super::proto::EndedExec;
use super::words::{Ended, Place, Totals, WINDOW};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::termios::Winsize;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// How long output is read after the main process has ended.
const DRAIN: Duration = Duration::from_millis(200);
/// The most that a pipe can hold: what still holds the other end may go on writing for ever.
const FULL_PIPE: u64 = 1 << 20;
/// A command that writes so many times what is kept is reported.
const PATIENCE: u64 = 10;
/// How much is read at once.
const CHUNK: usize = 32 << 10;

/// What was read of a stream.
#[derive(Default)]
pub(super) struct Read {
    /// To be sent.
    pub(super) bytes: Vec<u8>,
    /// The command has just written too much.
    pub(super) flooded: bool,
    /// Nothing is there now, or nothing will come any more.
    pub(super) empty: bool,
}

/// A command.
pub(super) struct Carried {
    began: Instant,
    before: Totals,
    input: Option<OwnedFd>,
    waiting: VecDeque<Vec<u8>>,
    /// Its input ends after what waits.
    input_ends: bool,
    outputs: [Option<OwnedFd>; 2],
    /// Bytes sent and not taken away.
    under_way: [u64; 2],
    /// Bytes read after it was drained.
    late: u64,
    keep: u64,
    written: u64,
    kept: u64,
    flooded: bool,
    terminal: Option<OwnedFd>,
    awaits_terminal: bool,
    killed: bool,
    end: Option<(Instant, Ended)>,
}

fn nonblocking(end: OwnedFd) -> Result<OwnedFd, Errno> {
    let flags = rustix::fs::fcntl_getfl(&end)?;
    rustix::fs::fcntl_setfl(&end, flags | OFlags::NONBLOCK)?;
    Ok(end)
}

impl Carried {
    /// Makes the pipes; gives the command's ends too, in the order of its streams.
    pub(super) fn new(
        places: [Place; 3],
        terminal: bool,
        keep: u64,
        before: Totals,
    ) -> Result<(Self, Vec<OwnedFd>), Errno> {
        let mut theirs = Vec::new();
        let mut input = None;
        if places[0] == Place::Carried {
            let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
            theirs.push(read);
            input = Some(nonblocking(write)?);
        }
        let mut outputs = [None, None];
        for (place, ours) in places[1..].iter().zip(&mut outputs) {
            if *place == Place::Carried {
                let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
                theirs.push(write);
                *ours = Some(nonblocking(read)?);
            }
        }
        let carried = Self {
            began: Instant::now(),
            before,
            input,
            waiting: VecDeque::new(),
            input_ends: false,
            outputs,
            under_way: [0; 2],
            late: 0,
            keep,
            written: 0,
            kept: 0,
            flooded: false,
            terminal: None,
            awaits_terminal: terminal,
            killed: false,
            end: None,
        };
        Ok((carried, theirs))
    }

    /// It has a terminal: that is its input and its output.
    pub(super) fn has_terminal(&mut self, terminal: OwnedFd) {
        self.awaits_terminal = false;
        let copies = [terminal.try_clone(), terminal.try_clone()].map(Result::ok);
        let [input, output] = copies.map(|copy| copy.and_then(|copy| nonblocking(copy).ok()));
        self.input = input;
        self.outputs[0] = output;
        self.terminal = Some(terminal);
    }

    pub(super) fn resize(&self, (columns, rows): (u16, u16)) {
        if let Some(terminal) = &self.terminal {
            let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
            // One whose command is gone has no size.
            let _ = rustix::termios::tcsetwinsize(terminal, size);
        }
    }

    /// Bytes for its input.
    pub(super) fn give(&mut self, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.waiting.push_back(bytes);
        }
    }

    pub(super) fn end_input(&mut self) {
        self.input_ends = true;
    }

    pub(super) fn taken(&mut self, stream: u8, count: u64) {
        let at = usize::from(stream == 2);
        self.under_way[at] = self.under_way[at].saturating_sub(count);
    }

    /// Its input, if something waits for it.
    pub(super) fn wanted_input(&self) -> Option<&OwnedFd> {
        self.input.as_ref().filter(|_| !self.waiting.is_empty())
    }

    /// Its output (0) or errors (1), if they may be read now.
    pub(super) fn wanted_output(&self, stream: usize) -> Option<&OwnedFd> {
        self.outputs[stream].as_ref().filter(|_| self.under_way[stream] < WINDOW)
    }

    /// Writes to its input what waits; how much was taken, and whether it reads no more.
    pub(super) fn feed(&mut self) -> (u64, bool) {
        let mut count = 0;
        while let (Some(input), Some(bytes)) = (&self.input, self.waiting.front_mut()) {
            match rustix::io::write(input, bytes) {
                Ok(written) => {
                    count += written as u64;
                    bytes.drain(..written);
                    if bytes.is_empty() {
                        self.waiting.pop_front();
                    }
                }
                Err(Errno::AGAIN) => return (count, false),
                Err(Errno::INTR) => {}
                Err(_) => {
                    self.input = None;
                    self.waiting.clear();
                    return (count, true);
                }
            }
        }
        if self.input.is_none() && !self.waiting.is_empty() && !self.awaits_terminal {
            self.waiting.clear();
            return (count, true);
        }
        if self.input_ends && self.waiting.is_empty() {
            // A terminal's input has no end but a sign of it.
            if let (Some(terminal), Some(input)) = (&self.terminal, &self.input) {
                let _ = (terminal, rustix::io::write(input, &[4]));
            }
            self.input = None;
        }
        (count, false)
    }

    /// Reads once.
    pub(super) fn read(&mut self, stream: usize) -> Read {
        let Some(output) = &self.outputs[stream] else {
            return Read { empty: true, ..Read::default() };
        };
        let mut bytes = vec![0; CHUNK];
        let count = match rustix::io::read(output, &mut bytes) {
            // The end of a terminal whose command is gone is an error to the kernel.
            Ok(0) | Err(Errno::IO) => {
                self.outputs[stream] = None;
                return Read { empty: true, ..Read::default() };
            }
            Ok(count) => count,
            Err(Errno::INTR) => return Read::default(),
            Err(_) => return Read { empty: true, ..Read::default() },
        };
        let room = usize::try_from(self.keep.saturating_sub(self.written)).unwrap_or(usize::MAX);
        bytes.truncate(count.min(room));
        self.written += count as u64;
        self.kept += bytes.len() as u64;
        self.under_way[stream] += bytes.len() as u64;
        let too_much = self.written > self.keep.saturating_mul(PATIENCE);
        let flooded = too_much && !std::mem::replace(&mut self.flooded, too_much);
        let mut empty = false;
        if self.is_drained() {
            self.late += count as u64;
            empty = self.late > FULL_PIPE;
        }
        Read { bytes, flooded, empty }
    }

    pub(super) fn close(&mut self, stream: usize) {
        self.outputs[stream] = None;
    }

    /// It is about to be killed.
    pub(super) fn kill(&mut self) {
        self.killed = true;
    }

    /// Its main process has ended.
    pub(super) fn ended(&mut self, how: &EndedExec, totals: Totals) {
        let wall = self.began.elapsed().as_micros();
        let ended = Ended {
            status: how.status,
            killed: self.killed,
            wall_us: u64::try_from(wall).unwrap_or(u64::MAX),
            user_us: how.user_us,
            system_us: how.system_us,
            max_rss_kib: how.max_rss_kib,
            written: 0,
            kept: 0,
            grown: totals.since(&self.before),
            totals,
        };
        self.end = Some((Instant::now() + DRAIN, ended));
    }

    /// When its output is waited for no longer.
    pub(super) fn drained_at(&self) -> Option<Instant> {
        let open = (0..2).any(|stream| self.wanted_output(stream).is_some());
        self.end.as_ref().filter(|_| open).map(|(at, _)| *at)
    }

    pub(super) fn is_drained(&self) -> bool {
        self.end.as_ref().is_some_and(|(at, _)| Instant::now() >= *at)
    }

    /// How it ended, if nothing more comes of it.
    pub(super) fn is_over(&self) -> Option<Ended> {
        let (_, ended) = self.end.as_ref()?;
        let closed = self.outputs.iter().all(Option::is_none);
        closed.then_some(Ended { written: self.written, kept: self.kept, ..*ended })
    }
}
