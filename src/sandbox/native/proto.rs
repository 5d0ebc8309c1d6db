//! What keeper, zygote and pid 1 say to each other, and how it travels: one message a packet of a
//! `SOCK_SEQPACKET` socket, as JSON, with descriptors beside it. Long messages go in a sealed
//! memory file that is passed as the last descriptor.

use super::setup::SetupOp;
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Longest message that goes in the packet itself.
const INLINE: usize = 16 << 10;
/// Longest message at all: the kernel's own limit on arguments and environment is 2 MiB a string
/// area; JSON may need twice that.
const LONGEST: u64 = 8 << 20;
/// Most descriptors with one message.
const DESCRIPTORS: usize = 64;
const TAG_INLINE: u8 = b'J';
const TAG_FILE: u8 = b'M';

/// A step of the machinery that failed in a helper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fault {
    /// What was tried.
    pub(super) step: String,
    /// The system's answer.
    pub(super) errno: i32,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, Errno::from_raw_os_error(self.errno))
    }
}

/// Names the step that failed.
pub(super) trait At<T> {
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
pub(super) enum ZygoteRequest {
    /// The first message: how to settle in. With it come the idmapped clone of the home directory
    /// if there is one.
    Settle(Settle),
    /// Make a sandbox. Descriptors: the control socket, then those of [`Join`], then the binds'.
    Create(Box<Create>),
    /// A network namespace is free again.
    Release {
        /// Its number.
        netns: u32,
    },
}

/// How the zygote settles in.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Settle {
    /// The home directory that layers and uppers are below.
    pub(super) home: String,
    /// The home directory comes as a detached, idmapped mount.
    pub(super) home_is_mount: bool,
    /// Ids inside are these plus this much outside; `None`: only the user itself is mapped.
    pub(super) shift: Option<u32>,
}

/// From the zygote to the keeper.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ZygoteReply {
    /// It has started. Descriptor: a user namespace with the sandboxes' maps, unless rootless.
    Started {
        /// Whether it acts for the machine's root.
        root: bool,
    },
    /// It has settled in.
    Settled,
    /// A sandbox is starting. Descriptors: its pid 1; for uppers in memory, their directory.
    Created {
        /// Pid 1 as this machine sees it.
        pid: i32,
        /// The pooled network namespace it got.
        netns: Option<u32>,
    },
    /// It could not be made.
    Failed(Fault),
}

/// What a new sandbox consists of.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Create {
    /// Layers, top first, relative to the home directory.
    pub(super) lowers: Vec<String>,
    /// Where it writes.
    pub(super) upper: UpperPlan,
    /// What is shown in it besides.
    pub(super) binds: Vec<Bind>,
    /// Whether it shares the machine's network.
    pub(super) host_network: bool,
    /// How it joins its cgroups.
    pub(super) join: Join,
    /// What pid 1 does before it serves.
    pub(super) setup: Vec<SetupOp>,
}

/// Where a sandbox writes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum UpperPlan {
    /// Below this directory, relative to the home directory, that has the subdirectories `u`, `w`.
    Disk(String),
    /// In memory, at most this many bytes.
    Memory(u64),
}

/// How a sandbox joins its cgroups.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Join {
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
    pub(super) fn descriptors(self) -> usize {
        match self {
            Self::None => 0,
            Self::Tasks(count) => count,
            Self::Born => 1,
        }
    }
}

/// A file or directory of the machine that is shown inside.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bind {
    /// Where: relative to the sandbox's root.
    pub(super) target: String,
    /// What.
    pub(super) source: BindSource,
}

/// What is shown.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum BindSource {
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
pub(super) enum InitRequest {
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
    /// Stop (or let go on) every process but pid 1.
    Stop {
        /// Stop, not go on.
        stop: bool,
    },
}

/// A command to start.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Exec {
    /// Its number.
    pub(super) id: u64,
    /// What runs.
    pub(super) work: Work,
    /// Environment.
    pub(super) env: Vec<String>,
    /// Working directory.
    pub(super) workdir: String,
    /// `name`, `uid`, `uid:gid` or `name:group`; empty: root.
    pub(super) user: String,
    /// Standard input, output and error.
    pub(super) streams: [Stream; 3],
    /// A terminal of this size takes the place of the streams; its other end comes back.
    pub(super) terminal: Option<(u16, u16)>,
}

/// What runs.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Work {
    /// A program of the sandbox.
    Program(Vec<String>),
    /// Our own code, in a process of its own inside.
    Files(FileWork),
}

/// What our own code does with files inside. Content comes on standard input or goes to standard
/// output, what is wrong to standard error.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FileWork {
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
pub(super) enum Stream {
    /// `/dev/null`.
    Null,
    /// The next descriptor.
    Passed,
    /// The same place as standard output.
    Stdout,
}

/// From pid 1 to the keeper.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum InitReply {
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
    Stopped,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct EndedExec {
    /// The command's number.
    pub(super) id: u64,
    /// As `wait` gives it.
    pub(super) status: i32,
    /// CPU time in user mode in microseconds.
    pub(super) user_us: u64,
    /// CPU time in the kernel in microseconds.
    pub(super) system_us: u64,
    /// Largest resident size of one process in KiB.
    pub(super) max_rss_kib: u64,
}

/// Sends one message. With a non-blocking socket [`Errno::AGAIN`] says to try again later.
pub(super) fn send(
    socket: impl AsFd,
    message: &impl Serialize,
    descriptors: &[BorrowedFd<'_>],
) -> Result<(), Errno> {
    let mut bytes = vec![TAG_INLINE];
    serde_json::to_writer(&mut bytes, message).map_err(|_| Errno::INVAL)?;
    if bytes.len() <= INLINE {
        return send_packet(socket.as_fd(), &bytes, descriptors);
    }
    let file = memory_file(&bytes[1..])?;
    let mut descriptors = descriptors.to_vec();
    descriptors.push(file.as_fd());
    send_packet(socket.as_fd(), &[TAG_FILE], &descriptors)
}

fn send_packet(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> Result<(), Errno> {
    if descriptors.len() > DESCRIPTORS {
        return Err(Errno::TOOMANYREFS);
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        let fits = ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
        debug_assert!(fits, "the space was made for that many");
    }
    rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL)
        .map(drop)
}

/// A file in memory that nobody can change any more.
fn memory_file(bytes: &[u8]) -> Result<OwnedFd, Errno> {
    let file =
        rustix::fs::memfd_create("message", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut rest = bytes;
    while !rest.is_empty() {
        let written = rustix::io::write(&file, rest)?;
        rest = &rest[written..];
    }
    rustix::fs::fcntl_add_seals(
        &file,
        SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL,
    )?;
    Ok(file)
}

/// A received message and the descriptors that came with it.
pub(super) type Received<T> = (T, Vec<OwnedFd>);

/// Receives one message; `None` when the other side is gone.
pub(super) fn receive<T: DeserializeOwned>(
    socket: impl AsFd,
) -> Result<Option<Received<T>>, Errno> {
    let mut bytes = vec![0; INLINE];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::net::recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut bytes)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let mut descriptors: Vec<OwnedFd> = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    if received.bytes == 0 {
        return Ok(None);
    }
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(Errno::MSGSIZE);
    }
    bytes.truncate(received.bytes);
    if bytes[0] == TAG_FILE {
        let file = descriptors.pop().ok_or(Errno::BADMSG)?;
        bytes = read_memory_file(&file)?;
    } else {
        bytes.remove(0);
    }
    let message = serde_json::from_slice(&bytes).map_err(|_| Errno::BADMSG)?;
    Ok(Some((message, descriptors)))
}

/// Reads a message's file, which must be sealed: one that still changes could say two things.
fn read_memory_file(file: &OwnedFd) -> Result<Vec<u8>, Errno> {
    let seals = rustix::fs::fcntl_get_seals(file)?;
    if !seals.contains(SealFlags::SHRINK | SealFlags::WRITE) {
        return Err(Errno::BADMSG);
    }
    let size = rustix::fs::fstat(file)?.st_size.unsigned_abs();
    if size > LONGEST {
        return Err(Errno::MSGSIZE);
    }
    let mut bytes = vec![0; usize::try_from(size).map_err(|_| Errno::MSGSIZE)?];
    let mut at = 0;
    while at < bytes.len() {
        match rustix::io::pread(file, &mut bytes[at..], at as u64)? {
            0 => return Err(Errno::BADMSG),
            read => at += read,
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    fn pair() -> (OwnedFd, OwnedFd) {
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap()
    }

    #[test]
    fn short_and_long_messages_arrive_with_their_descriptors() {
        let (one, other) = pair();
        let (first, second) = pair();
        for length in [0, 100, INLINE - 3, INLINE, 1 << 20] {
            let text = "x".repeat(length);
            send(&one, &text, &[first.as_fd(), second.as_fd()]).unwrap();
            let (received, descriptors) = receive::<String>(&other).unwrap().unwrap();
            assert_eq!(received, text);
            assert_eq!(descriptors.len(), 2);
        }
    }

    #[test]
    fn the_end_and_nonsense_are_told_apart() {
        let (one, other) = pair();
        send_packet(one.as_fd(), b"J{nonsense", &[]).unwrap();
        assert_eq!(receive::<InitReply>(&other).unwrap_err(), Errno::BADMSG);
        send_packet(one.as_fd(), &[TAG_FILE], &[]).unwrap();
        assert_eq!(receive::<InitReply>(&other).unwrap_err(), Errno::BADMSG);
        drop(one);
        assert!(receive::<InitReply>(&other).unwrap().is_none());
    }

    #[test]
    fn a_file_that_can_still_change_is_refused() {
        let (one, other) = pair();
        let file = rustix::fs::memfd_create("x", MemfdFlags::CLOEXEC).unwrap();
        rustix::io::write(&file, b"\"text\"").unwrap();
        send_packet(one.as_fd(), &[TAG_FILE], &[file.as_fd()]).unwrap();
        assert_eq!(receive::<String>(&other).unwrap_err(), Errno::BADMSG);
    }
}
