//! What keeper, zygote and pid 1 say to each other, and how it travels: one message a packet of a
//! `SOCK_SEQPACKET` socket, as JSON, with descriptors beside it. Long messages go in a sealed
//! memory file that is passed as the last descriptor.

#[cfg(test)]
mod laws;
mod words;

pub(super) use words::{
    At, Bind, BindSource, Create, EndedExec, Exec, Fault, FileWork, InitReply, InitRequest, Join,
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

/// Sends one message. With a non-blocking socket [`Errno::AGAIN`] says to try again later.
pub(super) fn send(
    socket: impl AsFd,
    message: &impl Serialize,
    descriptors: &[BorrowedFd<'_>],
) -> Result<(), Errno> {
    let bytes = packed(message)?;
    if bytes.len() <= INLINE {
        return send_packet(socket.as_fd(), &bytes, descriptors);
    }
    let file = memory_file(&bytes[1..])?;
    let mut descriptors = descriptors.to_vec();
    descriptors.push(file.as_fd());
    send_packet(socket.as_fd(), &[TAG_FILE], &descriptors)
}

/// A message as it stands in a packet, however long.
pub(super) fn packed(message: &impl Serialize) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![TAG_INLINE];
    serde_json::to_writer(&mut bytes, message).map_err(|_| Errno::INVAL)?;
    Ok(bytes)
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
