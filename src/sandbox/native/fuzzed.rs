//! The protocol in a fuzzer's hands: packets as the other side, gone bad, could send them. Only in
//! builds for fuzzing and tests, and no part of the library's interface.

use super::handle::{EndReason, Parts, Shared, Waiter};
use super::proto::{
    EndedExec, Fault, InitReply, InitRequest, ZygoteReply, ZygoteRequest, receive, send,
    send_packet,
};
use super::sys;
use crate::sandbox::Limits;
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use tokio::io::Interest;

/// One packet.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// How many descriptors of no use come before the file.
    pub descriptors: u8,
    /// A file in memory that is passed last, and whether it is sealed.
    pub file: Option<(Vec<u8>, bool)>,
}

impl Packet {
    /// A sound word of pid 1's, by number.
    #[must_use]
    pub fn said(word: u8, id: u64, number: i32, text: String, descriptors: u8) -> Self {
        let fault = Fault { step: text, errno: number };
        let reply = match word % 5 {
            0 => InitReply::SetupFailed(fault),
            1 => InitReply::Started { id },
            2 => InitReply::NotStarted { id, fault },
            3 => InitReply::Ended(EndedExec {
                id,
                status: number,
                user_us: id,
                system_us: u64::MAX,
                max_rss_kib: u64::MAX,
            }),
            _ => InitReply::Stopped { done: number == 0 },
        };
        let bytes = super::proto::packed(&reply).expect("our own words can be written");
        Self { bytes, descriptors, file: None }
    }

    /// Sends it. What no socket carries is left out.
    fn send(&self, socket: &OwnedFd) {
        let null = null();
        let file = self.file.as_ref().map(|(bytes, sealed)| memory(bytes, *sealed));
        let count = usize::from(self.descriptors % 70);
        let mut descriptors: Vec<BorrowedFd<'_>> = vec![null.as_fd(); count];
        descriptors.extend(file.iter().map(AsFd::as_fd));
        let _ = send_packet(socket.as_fd(), &self.bytes, &descriptors);
    }
}

fn null() -> OwnedFd {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    rustix::fs::open("/dev/null", flags, Mode::empty()).expect("every machine has it")
}

fn memory(bytes: &[u8], sealed: bool) -> OwnedFd {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = rustix::fs::memfd_create("fuzzed", flags).expect("memory is there");
    let mut rest = bytes;
    while !rest.is_empty() {
        let written = rustix::io::write(&file, rest).expect("memory is there");
        rest = &rest[written..];
    }
    if sealed {
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
        rustix::fs::fcntl_add_seals(&file, seals).expect("it takes seals");
    }
    file
}

fn pair() -> (OwnedFd, OwnedFd) {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).expect("sockets are there")
}

fn open_descriptors() -> usize {
    fs_err::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// A fuzzer's process has one thread; other tests open what they like meanwhile.
fn nothing_left(before: usize) {
    if cfg!(fuzzing) {
        assert_eq!(open_descriptors(), before, "descriptors stayed behind");
    }
}

/// Every word of the protocol from these bytes: what is understood must say the same when it is
/// sent on, and no descriptor may stay behind.
pub fn decode(packet: &Packet) {
    let before = open_descriptors();
    decode_as::<ZygoteRequest>(packet);
    decode_as::<ZygoteReply>(packet);
    decode_as::<InitRequest>(packet);
    decode_as::<InitReply>(packet);
    nothing_left(before);
}

fn decode_as<T: Serialize + DeserializeOwned + Debug>(packet: &Packet) {
    let (one, other) = pair();
    packet.send(&one);
    let Ok(Some((message, descriptors))) = receive::<T>(&other) else { return };
    assert!(descriptors.len() <= 70, "descriptors came from nowhere");
    if send(&one, &message, &[]).is_err() {
        return;
    }
    let again = receive::<T>(&other).expect("our own words are understood");
    let (again, _) = again.expect("both ends are open");
    assert_eq!(format!("{again:?}"), format!("{message:?}"));
}

/// A keeper that hears these packets from a pid 1 while it waits for news of `asked` commands: it
/// must come to an end when the socket does, and leave nobody waiting.
pub fn hear(packets: &[Packet], asked: u8) {
    let before = open_descriptors();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be made").block_on(async {
        let (ours, theirs) = pair();
        let shared = Arc::new(keeper(ours));
        let waiters: Vec<Waiter> =
            (0..asked % 8).map(|_| shared.register(shared.next_id())).collect();
        let listening = tokio::spawn(shared.clone().listen());
        for packet in packets.iter().take(64) {
            packet.send(&theirs);
            tokio::task::yield_now().await;
        }
        drop(theirs);
        listening.await.expect("the keeper does not panic");
        for waiter in waiters {
            let _ = (waiter.started.await, waiter.ended.await);
        }
        shared.end(EndReason::Asked);
        let _ = (shared.used(), shared.read_facts(), shared.gone().to_string());
    });
    nothing_left(before);
}

/// What a keeper holds of a sandbox, with a process descriptor that no signal can be sent by.
fn keeper(control: OwnedFd) -> Shared {
    let interest = Interest::READABLE | Interest::WRITABLE;
    Shared::new(Parts {
        name: "fuzzed".to_owned(),
        limits: Limits::default(),
        pid: 0,
        pidfd: null(),
        netns: None,
        zygote: None,
        directory: None,
        memory_upper: None,
        quota: None,
        memory_shift: 0,
        cgroup: None,
        shift: None,
        free_at_start: super::watch_disk::Amount::default(),
        control: sys::watched(control, interest).expect("the runtime watches sockets"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn packet() -> impl Strategy<Value = Packet> {
        let bytes = prop_oneof![
            vec(any::<u8>(), 1..64),
            vec(0..9_u8, 1..64).prop_map(|bytes| [b"P", &bytes[..]].concat()),
        ];
        let file = proptest::option::of((vec(any::<u8>(), 0..64), any::<bool>()));
        let any_packet = (bytes, any::<u8>(), file).prop_map(|(bytes, descriptors, file)| Packet {
            bytes,
            descriptors,
            file,
        });
        let sound = (any::<u8>(), 0..9_u64, any::<i32>(), any::<String>(), any::<u8>()).prop_map(
            |(word, id, number, text, descriptors)| {
                Packet::said(word, id, number, text, descriptors)
            },
        );
        prop_oneof![any_packet, sound]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn a_pid_1_gone_bad_keeps_nobody_waiting(
            packets in vec(packet(), 0..12),
            asked in any::<u8>(),
        ) {
            packets.iter().for_each(decode);
            hear(&packets, asked);
        }
    }
}
