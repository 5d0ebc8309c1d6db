//! What is said is what is heard, whatever it is.

use super::*;
use crate::sandbox::native::setup::Terms;
use crate::sandbox::native::ways::{Way, Ways};
use proptest::collection::vec;
use proptest::prelude::*;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::fmt::Debug;

/// Text as programs make it: quotes, control characters, all planes.
fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z/=_]{0,20}", any::<String>(), "\\PC{0,8}", "[\\x00-\\x1f\"\\\\]{0,8}"]
}

fn fault() -> impl Strategy<Value = Fault> {
    (text(), any::<i32>()).prop_map(|(step, errno)| Fault { step, errno })
}

fn stream() -> impl Strategy<Value = Stream> {
    prop_oneof![Just(Stream::Null), Just(Stream::Passed), Just(Stream::Stdout)]
}

fn work() -> impl Strategy<Value = Work> {
    let files = prop_oneof![
        (text(), any::<u32>()).prop_map(|(path, mode)| FileWork::Write { path, mode }),
        text().prop_map(|path| FileWork::Unpack { path }),
        (text(), any::<u64>()).prop_map(|(path, limit)| FileWork::Send { path, limit }),
    ];
    prop_oneof![vec(text(), 0..6).prop_map(Work::Program), files.prop_map(Work::Files)]
}

fn asked_of_init() -> impl Strategy<Value = InitRequest> {
    let exec = (
        any::<u64>(),
        work(),
        vec(text(), 0..6),
        (text(), text()),
        [stream(), stream(), stream()],
        any::<Option<(u16, u16)>>(),
    );
    prop_oneof![
        exec.prop_map(|(id, work, env, (workdir, user), streams, terminal)| {
            InitRequest::Exec(Box::new(Exec { id, work, env, workdir, user, streams, terminal }))
        }),
        (any::<u64>(), any::<i32>(), any::<bool>())
            .prop_map(|(id, signal, tree)| InitRequest::Signal { id, signal, tree }),
        any::<bool>().prop_map(|stop| InitRequest::Stop { stop }),
    ]
}

fn said_by_init() -> impl Strategy<Value = InitReply> {
    prop_oneof![
        fault().prop_map(InitReply::SetupFailed),
        any::<u64>().prop_map(|id| InitReply::Started { id }),
        (any::<u64>(), fault()).prop_map(|(id, fault)| InitReply::NotStarted { id, fault }),
        (any::<u64>(), any::<i32>(), any::<[u64; 3]>()).prop_map(|(id, status, numbers)| {
            let [user_us, system_us, max_rss_kib] = numbers;
            InitReply::Ended(EndedExec { id, status, user_us, system_us, max_rss_kib })
        }),
        any::<bool>().prop_map(|done| InitReply::Stopped { done }),
    ]
}

fn terms() -> impl Strategy<Value = Terms> {
    let join = prop_oneof![Just(Join::None), (0..9_usize).prop_map(Join::Tasks), Just(Join::Born),];
    let limits = (any::<Option<u64>>(), any::<Option<u32>>(), any::<Option<u64>>());
    (limits, any::<bool>(), join, text()).prop_map(|(limits, many_ids, join, hostname)| {
        let (memory, pids, disk) = limits;
        Terms { memory, pids, disk, many_ids, join, hostname }
    })
}

fn said_by_zygote() -> impl Strategy<Value = ZygoteReply> {
    prop_oneof![
        (any::<bool>(), any::<u64>())
            .prop_map(|(root, protocol)| ZygoteReply::Started { root, protocol }),
        proptest::sample::subsequence(Way::ALL.to_vec(), 0..=Way::ALL.len())
            .prop_map(|ways| ZygoteReply::Settled { ways: Ways(ways) }),
        (any::<i32>(), any::<bool>(), any::<bool>())
            .prop_map(|(pid, upper, netns)| ZygoteReply::Created { pid, upper, netns }),
        fault().prop_map(ZygoteReply::Failed),
    ]
}

/// Sends a message with so many descriptors, and has it arrive.
fn passes<T: Serialize + DeserializeOwned + Debug>(message: &T, count: usize) {
    let flags = SocketFlags::CLOEXEC;
    let (one, other) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
    send(&one, message, &vec![one.as_fd(); count]).unwrap();
    let (heard, descriptors) = receive::<T>(&other).unwrap().unwrap();
    assert_eq!(format!("{heard:?}"), format!("{message:?}"));
    assert_eq!(descriptors.len(), count);
}

/// Cuts and changes a message; what is made of it may be anything but a panic.
fn survives<T: Serialize + DeserializeOwned + Debug>(message: &T, at: usize, byte: u8) {
    let flags = SocketFlags::CLOEXEC;
    let (one, other) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
    let mut bytes = packed(message).unwrap();
    let at = at % bytes.len();
    bytes[at] = byte;
    for bytes in [&bytes[..], &bytes[..at]].into_iter().filter(|bytes| !bytes.is_empty()) {
        if send_packet(one.as_fd(), bytes, &[]).is_ok() {
            let _ = receive::<T>(&other);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn what_is_said_is_heard(
        request in asked_of_init(),
        reply in said_by_init(),
        other in said_by_zygote(),
        count in 0..60_usize,
    ) {
        passes(&request, count);
        passes(&reply, count);
        passes(&other, count);
    }

    #[test]
    fn terms_arrive_as_they_were_decided(terms in terms()) {
        passes(&terms, 0);
    }

    #[test]
    fn broken_messages_are_refused(
        request in asked_of_init(),
        reply in said_by_init(),
        at in any::<usize>(),
        byte in any::<u8>(),
    ) {
        survives(&request, at, byte);
        survives(&reply, at, byte);
    }
}
