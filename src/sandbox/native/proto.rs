//! What keeper, zygote and pid 1 say to each other, and how it travels: one message a packet of a
//! `SOCK_SEQPACKET` socket, in postcard's form, with descriptors beside it. Long messages go in a
//! sealed memory file that is passed as the last descriptor.

#[cfg(test)]
mod laws;
mod words;

pub(in crate::sandbox) use words::FileWork;
pub(super) use words::{
    At, Bind, BindSource, Create, EndedExec, Exec, Fault, InitReply, InitRequest, Join, NetnsPlan,
    Settle, Stream, UpperPlan, Work, ZygoteReply, ZygoteRequest,
};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::cell::RefCell;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Longest message that goes in the packet itself.
const INLINE: usize = 16 << 10;
/// Longest message at all: the kernel's own limit on arguments and environment is 2 MiB a string
/// area.
const LONGEST: u64 = 8 << 20;
/// Most descriptors with one message.
const DESCRIPTORS: usize = 64;
const TAG_INLINE: u8 = b'P';
const TAG_FILE: u8 = b'M';

/// Tells apart builds that would misunderstand each other: the text of all that both sides rely on.
pub(super) const PROTOCOL: u64 = {
    let texts: [&[u8]; 5] = [
        include_bytes!("proto.rs"),
        include_bytes!("proto/words.rs"),
        include_bytes!("setup.rs"),
        include_bytes!("ways.rs"),
        include_bytes!("files.rs"),
    ];
    // FNV-1a.
    let mut hash = 0xcbf2_9ce4_8422_2325;
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

thread_local! {
    /// Where packets arrive. Made once: a new process would have to fault in the pages of another.
    static ARRIVAL: RefCell<Vec<u8>> = RefCell::new(vec![0; INLINE + 1]);
}

/// Sends one message. With a non-blocking socket [`Errno::AGAIN`] says to try again later.
pub(super) fn send(
    socket: impl AsFd,
    message: &impl Serialize,
    descriptors: &[BorrowedFd<'_>],
) -> Result<(), Errno> {
    let bytes = packed(message)?;
    if bytes.len() <= INLINE + 1 {
        return send_packet(socket.as_fd(), &bytes, descriptors);
    }
    let file = memory_file(&bytes[1..])?;
    let mut descriptors = descriptors.to_vec();
    descriptors.push(file.as_fd());
    send_packet(socket.as_fd(), &[TAG_FILE], &descriptors)
}

/// A message as it stands in a packet, however long.
pub(super) fn packed(message: &impl Serialize) -> Result<Vec<u8>, Errno> {
    postcard::to_extend(message, vec![TAG_INLINE]).map_err(|_| Errno::INVAL)
}

/// Sends bytes as they are.
pub(super) fn send_packet(
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
    ARRIVAL.with_borrow_mut(|bytes| receive_in(bytes, socket.as_fd()))
}

fn receive_in<T: DeserializeOwned>(
    bytes: &mut [u8],
    socket: BorrowedFd<'_>,
) -> Result<Option<Received<T>>, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::net::recvmsg(
        socket,
        &mut [IoSliceMut::new(bytes)],
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
    let message = if bytes[0] == TAG_FILE {
        let file = descriptors.pop().ok_or(Errno::BADMSG)?;
        understood(&read_memory_file(&file)?)?
    } else {
        understood(&bytes[1..received.bytes])?
    };
    Ok(Some((message, descriptors)))
}

fn understood<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Errno> {
    match postcard::take_from_bytes(bytes) {
        Ok((message, [])) => Ok(message),
        _ => Err(Errno::BADMSG),
    }
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
        send_packet(one.as_fd(), b"P\xff\xffnonsense", &[]).unwrap();
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
        rustix::io::write(&file, b"\x04text").unwrap();
        send_packet(one.as_fd(), &[TAG_FILE], &[file.as_fd()]).unwrap();
        assert_eq!(receive::<String>(&other).unwrap_err(), Errno::BADMSG);
    }
}
