//! The words: what keeper, zygote and pid 1 have to say.

use crate::sandbox::native::setup::Terms;
use crate::sandbox::native::ways::{Way, Ways};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A step of the machinery that failed in a helper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Fault {
    /// What was tried.
    pub(in super::super) step: String,
    /// The system's answer.
    pub(in super::super) errno: i32,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, Errno::from_raw_os_error(self.errno))
    }
}

/// Names the step that failed.
pub(in super::super) trait At<T> {
    /// For results of system calls.
    fn at(self, step: impl Into<String>) -> Result<T, Fault>;
}

impl<T> At<T> for Result<T, Errno> {
    fn at(self, step: impl Into<String>) -> Result<T, Fault> {
        self.map_err(|errno| Fault { step: step.into(), errno: errno.raw_os_error() })
    }
}

impl<T> At<T> for std::io::Result<T> {
    fn at(self, step: impl Into<String>) -> Result<T, Fault> {
        self.map_err(|error| Fault {
            step: step.into(),
            errno: error.raw_os_error().unwrap_or(libc::EIO),
        })
    }
}

/// From the keeper to the zygote.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) enum ZygoteRequest {
    /// The first message: how to settle in. With it come the idmapped clone of the home directory
    /// if there is one.
    Settle(Settle),
    /// Make a sandbox. Descriptors: the control socket, then those of [`Join`], then those of
    /// [`NetnsPlan`], then the binds'.
    Create(Box<Create>),
}

/// How the zygote settles in.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct Settle {
    /// The home directory that layers and uppers are below.
    pub(in super::super) home: String,
    /// The home directory comes as a detached, idmapped mount.
    pub(in super::super) home_is_mount: bool,
    /// Ids inside are these plus this much outside; `None`: only the user itself is mapped.
    pub(in super::super) shift: Option<u32>,
    /// It never leaves the machine's network namespace: an ordinary user could not go back.
    pub(in super::super) stays: bool,
    /// Ways not to take.
    pub(in super::super) avoid: Vec<Way>,
}

/// From the zygote to the keeper.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) enum ZygoteReply {
    /// It has started. Descriptor: a user namespace with the sandboxes' maps, unless rootless.
    Started {
        /// Whether it acts for the machine's root.
        root: bool,
        /// See [`super::PROTOCOL`].
        protocol: u64,
    },
    /// It has settled in.
    Settled {
        /// How it makes sandboxes.
        ways: Ways,
    },
    /// A sandbox is starting. Descriptors: its pid 1, and what is said to come.
    Created {
        /// Pid 1 as this machine sees it.
        pid: i32,
        /// The directory of an upper in memory comes.
        upper: bool,
        /// Two of a new network namespace come.
        netns: bool,
    },
    /// It could not be made.
    Failed(Fault),
}

/// What a new sandbox consists of.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct Create {
    /// Layers, top first, relative to the home directory.
    pub(in super::super) lowers: Vec<String>,
    /// Where it writes.
    pub(in super::super) upper: UpperPlan,
    /// What is shown in it besides.
    pub(in super::super) binds: Vec<Bind>,
    /// Its network namespace.
    pub(in super::super) netns: NetnsPlan,
    /// What decides what pid 1 does before it serves.
    pub(in super::super) terms: Terms,
}

/// Which network namespace a sandbox gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) enum NetnsPlan {
    /// The machine's own.
    Host,
    /// A new one, which comes with the answer.
    New,
    /// One that comes as two descriptors.
    Given,
}

/// Where a sandbox writes.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) enum UpperPlan {
    /// Below this directory, relative to the home directory, that has the subdirectories `u`, `w`.
    Disk(String),
    /// In memory, at most this many bytes.
    Memory(u64),
}

/// How a sandbox joins its cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) enum Join {
    /// It has none.
    None,
    /// By writing 0 to this many `tasks` files (version 1): a process that moves itself does not
    /// wait for the kernel's lock on all processes, a parent that moves it does.
    Tasks(usize),
    /// It is born in this cgroup of version 2.
    Born,
}

impl Join {
    /// How many descriptors come for it.
    pub(in super::super) fn descriptors(self) -> usize {
        match self {
            Self::None => 0,
            Self::Tasks(count) => count,
            Self::Born => 1,
        }
    }
}

/// A file or directory of the machine that is shown inside.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Bind {
    /// Where: relative to the sandbox's root.
    pub(in super::super) target: String,
    /// What.
    pub(in super::super) source: BindSource,
}

/// What is shown.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) enum BindSource {
    /// The next descriptor, a detached mount.
    Mount {
        /// It is a directory, not a file.
        directory: bool,
    },
    /// This path of the machine, for a zygote that has the machine's files in its view.
    Path {
        /// The path.
        path: String,
        /// It is a directory, not a file.
        directory: bool,
        /// The sandbox may write to it.
        writable: bool,
    },
    /// A symbolic link is made instead, where nothing is.
    Link(String),
}

/// From the keeper to pid 1.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) enum InitRequest {
    /// Start a command. Descriptors: those of its streams that are [`Stream::Passed`].
    Exec(Box<Exec>),
    /// Send a signal.
    Signal {
        /// The command's number.
        id: u64,
        /// The signal.
        signal: i32,
        /// To every process it started, as far as can be told, not to its main process only.
        tree: bool,
    },
    /// Stop (or let go on) every process but pid 1. Commands that are asked for while they stand are
    /// started when they go on.
    Stop {
        /// Stop, not go on.
        stop: bool,
    },
}

/// A command to start.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) struct Exec {
    /// Its number.
    pub(in super::super) id: u64,
    /// What runs.
    pub(in super::super) work: Work,
    /// Environment.
    pub(in super::super) env: Vec<String>,
    /// Working directory.
    pub(in super::super) workdir: String,
    /// `name`, `uid`, `uid:gid` or `name:group`; empty: root.
    pub(in super::super) user: String,
    /// Standard input, output and error.
    pub(in super::super) streams: [Stream; 3],
    /// A terminal of this size takes the place of the streams; its other end comes back.
    pub(in super::super) terminal: Option<(u16, u16)>,
}

/// What runs.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) enum Work {
    /// A program of the sandbox.
    Program(Vec<String>),
    /// Our own code, in a process of its own inside.
    Files(FileWork),
}

/// What our own code does with files inside. Content comes on standard input or goes to standard
/// output, what is wrong to standard error.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::sandbox) enum FileWork {
    /// Write a file.
    Write {
        /// Absolute path.
        path: String,
        /// Permission bits.
        mode: u32,
    },
    /// Unpack a tar stream below a directory.
    Unpack {
        /// Absolute path.
        path: String,
    },
    /// Send a file or a tree, after one line that says which.
    Send {
        /// Absolute path.
        path: String,
        /// Most bytes of content.
        limit: u64,
    },
}

/// Where a stream of a command leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) enum Stream {
    /// `/dev/null`.
    Null,
    /// The next descriptor.
    Passed,
    /// The same place as standard output.
    Stdout,
}

/// From pid 1 to the keeper.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) enum InitReply {
    /// The sandbox could not be set up; pid 1 ends.
    SetupFailed(Fault),
    /// A command runs. Descriptor: the other end of its terminal, if it has one.
    Started {
        /// The command's number.
        id: u64,
    },
    /// A command could not be started.
    NotStarted {
        /// The command's number.
        id: u64,
        /// Why.
        fault: Fault,
    },
    /// A command's main process has ended.
    Ended(EndedExec),
    /// Every process has been stopped or let go on.
    Stopped {
        /// They all stand, or go, as was asked.
        done: bool,
    },
}

/// How a command ended.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(in super::super) struct EndedExec {
    /// The command's number.
    pub(in super::super) id: u64,
    /// As `wait` gives it.
    pub(in super::super) status: i32,
    /// CPU time in user mode in microseconds.
    pub(in super::super) user_us: u64,
    /// CPU time in the kernel in microseconds.
    pub(in super::super) system_us: u64,
    /// Largest resident size of one process in KiB.
    pub(in super::super) max_rss_kib: u64,
}
