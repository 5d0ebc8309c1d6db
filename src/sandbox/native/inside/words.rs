//! What is said to and by our pid 1 in a container.

use super::super::proto::FileWork;
use serde::{Deserialize, Serialize};

/// Bytes of one stream that may be under way, or wait for who reads them.
pub(in crate::sandbox) const WINDOW: u64 = 512 << 10;

/// Tells apart builds that would misunderstand each other.
pub(in crate::sandbox) const PROTOCOL: u64 = {
    let texts: [&[u8]; 2] = [include_bytes!("words.rs"), include_bytes!("link.rs")];
    let mut hash = super::super::proto::PROTOCOL;
    let mut text = 0;
    while text < texts.len() {
        let mut at = 0;
        while at < texts[text].len() {
            hash = (hash ^ texts[text][at] as u64).wrapping_mul(0x0100_0000_01b3);
            at += 1;
        }
        text += 1;
    }
    hash
};

/// To pid 1.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::sandbox) enum ToInside {
    /// Somebody listens, and has received so many words.
    Hello { received: u64 },
    /// Says only how much was received.
    Heard,
    /// Start a command.
    Exec { id: u64, order: Order },
    /// Bytes of its standard input.
    Input { id: u64, bytes: Vec<u8> },
    /// The end of its standard input.
    InputEnd { id: u64 },
    /// So many bytes of its output (1) or errors (2) have been taken away.
    Taken { id: u64, stream: u8, count: u64 },
    /// Send a signal to it; with `tree` to all it has started.
    Signal { id: u64, signal: i32, tree: bool },
    /// Change the size of its terminal (columns, rows).
    Resize { id: u64, size: (u16, u16) },
    /// End everything.
    Exit,
}

/// What runs.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::sandbox) enum Order {
    /// A program.
    Program {
        argv: Vec<String>,
        env: Vec<String>,
        workdir: String,
        user: String,
        /// Where its standard input, output and errors lead.
        streams: [Place; 3],
        /// A terminal of this size takes their place.
        terminal: Option<(u16, u16)>,
        /// Bytes of output that are sent, of both streams together; the rest is counted.
        keep: u64,
    },
    /// Our own code. Content is its input or its output, what is wrong its errors.
    Files(FileWork),
}

/// Where a stream leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::sandbox) enum Place {
    /// `/dev/null`.
    Null,
    /// Here.
    Carried,
    /// Where standard output leads.
    Stdout,
}

/// From pid 1.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::sandbox) enum FromInside {
    /// Here we are, speak this [`PROTOCOL`], and have received so many words.
    Hello { received: u64, protocol: u64 },
    /// Says only how much was received.
    Heard,
    /// A command runs.
    Started { id: u64 },
    /// A command could not be started.
    NotStarted { id: u64, step: String, errno: i32 },
    /// What it wrote to standard output (1) or errors (2).
    Output { id: u64, stream: u8, bytes: Vec<u8> },
    /// So many bytes of its input have been taken by it.
    Taken { id: u64, count: u64 },
    /// It reads no more.
    InputClosed { id: u64 },
    /// It has written ten times what is kept.
    Flood { id: u64 },
    /// The disk has less room than it had, by so many bytes since the beginning: a reason to look
    /// what was written.
    LessRoom { fallen: u64 },
    /// It has ended, and all it printed was sent.
    Ended { id: u64, ended: Ended },
}

/// How a command ended.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(in crate::sandbox) struct Ended {
    /// As `wait` gives it.
    pub(in crate::sandbox) status: i32,
    /// It was told to be killed before it ended.
    pub(in crate::sandbox) killed: bool,
    /// From its start to the end of its main process, by the clock inside.
    pub(in crate::sandbox) wall_us: u64,
    /// CPU time in user mode.
    pub(in crate::sandbox) user_us: u64,
    /// CPU time in the kernel.
    pub(in crate::sandbox) system_us: u64,
    /// Largest resident size of one process in KiB.
    pub(in crate::sandbox) max_rss_kib: u64,
    /// Bytes it wrote.
    pub(in crate::sandbox) written: u64,
    /// Bytes of these that were sent.
    pub(in crate::sandbox) kept: u64,
    /// What the container's cgroup counted from its start to its end.
    pub(in crate::sandbox) grown: Totals,
    /// What it has counted altogether.
    pub(in crate::sandbox) totals: Totals,
}

/// What the cgroup of a container counts; zero where it does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::sandbox) struct Totals {
    /// Processes killed for memory.
    pub(in crate::sandbox) oom_kills: u64,
    /// Forks refused.
    pub(in crate::sandbox) forks_refused: u64,
    /// Time held back by the limit of CPU.
    pub(in crate::sandbox) throttled_us: u64,
    /// CPU time in user mode.
    pub(in crate::sandbox) user_us: u64,
    /// CPU time in the kernel.
    pub(in crate::sandbox) system_us: u64,
    /// Most memory in bytes; not a count.
    pub(in crate::sandbox) peak_memory: u64,
}

impl Totals {
    /// What was counted since `before`.
    pub(in crate::sandbox) fn since(&self, before: &Self) -> Self {
        Self {
            oom_kills: self.oom_kills.saturating_sub(before.oom_kills),
            forks_refused: self.forks_refused.saturating_sub(before.forks_refused),
            throttled_us: self.throttled_us.saturating_sub(before.throttled_us),
            user_us: self.user_us.saturating_sub(before.user_us),
            system_us: self.system_us.saturating_sub(before.system_us),
            peak_memory: self.peak_memory,
        }
    }
}
