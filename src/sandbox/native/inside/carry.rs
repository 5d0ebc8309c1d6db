//! One loop that carries words and streams between the daemon's side and the server of commands.

use super::super::proto::{
    EndedExec, Exec, FileWork, InitReply, InitRequest, Stream, Work, receive,
};
use super::super::serve::Server;
use super::command::{Carried, Read};
use super::facts;
use super::link::Link;
use super::words::{FromInside, Order, PROTOCOL, Place, ToInside};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// How often it is looked while commands run whether the disk has less room.
const TICK: Duration = Duration::from_millis(250);
/// More than so many bytes under way are more than the other side takes; commands wait.
const BACKLOG: usize = 2 << 20;

/// The server's socket, and our end of it.
pub(super) fn pair() -> Option<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).ok()
}

/// What is ready.
enum Ready {
    Heard,
    Said,
    Children,
    Server,
    Input(u64),
    Output(u64, usize),
}

/// The loop.
pub(super) struct Carrier<'a> {
    heard: OwnedFd,
    said: OwnedFd,
    children: OwnedFd,
    replies: OwnedFd,
    server: Server<'a>,
    link: Link,
    /// Frames to be written.
    out: Vec<u8>,
    commands: BTreeMap<u64, Carried>,
    /// Free bytes when it was looked last, and how many have gone since the beginning.
    free: u64,
    fallen: u64,
    looked: Instant,
    over: bool,
}

impl<'a> Carrier<'a> {
    pub(super) fn new(
        heard: OwnedFd,
        said: OwnedFd,
        children: OwnedFd,
        replies: OwnedFd,
        server: Server<'a>,
    ) -> Self {
        Self {
            heard,
            said,
            children,
            replies,
            server,
            link: Link::default(),
            out: Vec::new(),
            commands: BTreeMap::new(),
            free: facts::free(),
            fallen: 0,
            looked: Instant::now(),
            over: false,
        }
    }

    /// Until it is told to end, or the stream has.
    pub(super) fn run(mut self) {
        while !self.over {
            for ready in self.wait() {
                match ready {
                    Ready::Heard => self.hear(),
                    Ready::Said => self.write(),
                    Ready::Children => {
                        if self.server.reap(&self.children).is_err() {
                            return;
                        }
                    }
                    Ready::Server => self.reply(),
                    Ready::Input(id) => self.feed(id),
                    Ready::Output(id, stream) => self.read(id, stream),
                }
            }
            self.settle();
            self.look();
            if self.link.owes_answer() {
                let answer = self.link.aside(&FromInside::Heard);
                self.out.extend(answer);
            }
        }
    }

    /// Waits until something can be done.
    fn wait(&self) -> Vec<Ready> {
        let mut all = vec![
            (Ready::Heard, PollFd::new(&self.heard, PollFlags::IN)),
            (Ready::Children, PollFd::new(&self.children, PollFlags::IN)),
            (Ready::Server, PollFd::new(&self.replies, PollFlags::IN)),
        ];
        if !self.out.is_empty() {
            all.push((Ready::Said, PollFd::new(&self.said, PollFlags::OUT)));
        }
        for (id, command) in &self.commands {
            if let Some(input) = command.wanted_input() {
                all.push((Ready::Input(*id), PollFd::new(input, PollFlags::OUT)));
            }
            for stream in 0..2 {
                if let Some(output) = command.wanted_output(stream)
                    && self.out.len() < BACKLOG
                {
                    all.push((Ready::Output(*id, stream), PollFd::new(output, PollFlags::IN)));
                }
            }
        }
        let drains = self.commands.values().filter_map(Carried::drained_at).min();
        let running = (!self.commands.is_empty()).then(|| self.looked + TICK);
        let until = drains.into_iter().chain(running).min();
        let timeout = until.map(|until| {
            let left = until.saturating_duration_since(Instant::now());
            Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()).max(1),
            }
        });
        let (ready, mut descriptors): (Vec<_>, Vec<_>) = all.into_iter().unzip();
        if poll(&mut descriptors, timeout.as_ref()).is_err() {
            return Vec::new();
        }
        let told = descriptors.iter().map(|fd| !fd.revents().is_empty());
        ready.into_iter().zip(told).filter_map(|(what, told)| told.then_some(what)).collect()
    }

    fn say(&mut self, word: &FromInside) {
        let frame = self.link.say(word);
        self.out.extend(frame);
    }

    fn write(&mut self) {
        match rustix::io::write(&self.said, &self.out) {
            Ok(count) => drop(self.out.drain(..count)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.over = true,
        }
    }

    fn hear(&mut self) {
        let mut chunk = [0; 64 << 10];
        match rustix::io::read(&self.heard, &mut chunk) {
            Ok(0) => self.over = true,
            Ok(count) => {
                for word in self.link.hear::<ToInside>(&chunk[..count]) {
                    self.obey(word);
                }
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.over = true,
        }
    }

    fn obey(&mut self, word: ToInside) {
        match word {
            ToInside::Hello { received } => {
                // What was half written went to whoever listened before.
                self.out = vec![0];
                let ours = self.link.received();
                let hello = FromInside::Hello { received: ours, protocol: PROTOCOL };
                let hello = self.link.aside(&hello);
                self.out.extend(hello);
                let again = self.link.again(received);
                self.out.extend(again);
            }
            ToInside::Heard => {}
            ToInside::Exec { id, order } => self.start(id, order),
            ToInside::Input { id, bytes } => {
                if let Some(command) = self.commands.get_mut(&id) {
                    command.give(bytes);
                }
                self.feed(id);
            }
            ToInside::InputEnd { id } => {
                if let Some(command) = self.commands.get_mut(&id) {
                    command.end_input();
                }
                self.feed(id);
            }
            ToInside::Taken { id, stream, count } => {
                if let Some(command) = self.commands.get_mut(&id) {
                    command.taken(stream, count);
                }
            }
            ToInside::Signal { id, signal, tree } => {
                if let (true, Some(command)) = (tree, self.commands.get_mut(&id)) {
                    command.kill();
                }
                self.server.signal(id, signal, tree);
            }
            ToInside::Resize { id, size } => {
                if let Some(command) = self.commands.get(&id) {
                    command.resize(size);
                }
            }
            ToInside::Exit => self.over = true,
        }
    }

    fn start(&mut self, id: u64, order: Order) {
        let before = facts::totals();
        let keep = match &order {
            Order::Program { keep, .. } => *keep,
            Order::Files(_) => u64::MAX,
        };
        let (exec, places, terminal) = exec(id, order);
        let (carried, theirs) = match Carried::new(places, terminal, keep, before) {
            Ok(made) => made,
            Err(errno) => {
                let (step, errno) = ("make a pipe".to_owned(), errno.raw_os_error());
                return self.say(&FromInside::NotStarted { id, step, errno });
            }
        };
        self.commands.insert(id, carried);
        if self.server.answer(InitRequest::Exec(Box::new(exec)), theirs).is_err() {
            self.over = true;
        }
        // Its answer is there already, and what follows needs it.
        self.reply();
    }

    /// Takes what the server says.
    fn reply(&mut self) {
        loop {
            let mut ready = [PollFd::new(&self.replies, PollFlags::IN)];
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            if !matches!(poll(&mut ready, Some(&now)), Ok(1)) {
                return;
            }
            match receive::<InitReply>(&self.replies) {
                Ok(Some((reply, descriptors))) => self.pass(reply, descriptors),
                Err(Errno::INTR) => {}
                _ => {
                    self.over = true;
                    return;
                }
            }
        }
    }

    fn pass(&mut self, reply: InitReply, descriptors: Vec<OwnedFd>) {
        match reply {
            InitReply::Started { id } => {
                if let (Some(command), Some(terminal)) =
                    (self.commands.get_mut(&id), descriptors.into_iter().next())
                {
                    command.has_terminal(terminal);
                }
                self.say(&FromInside::Started { id });
            }
            InitReply::NotStarted { id, fault } => {
                self.commands.remove(&id);
                self.say(&FromInside::NotStarted { id, step: fault.step, errno: fault.errno });
            }
            InitReply::Ended(EndedExec { id, .. }) => {
                if let (Some(command), InitReply::Ended(ended)) =
                    (self.commands.get_mut(&id), reply)
                {
                    command.ended(&ended, facts::totals());
                }
            }
            InitReply::Stopped { .. } | InitReply::SetupFailed(_) => {}
        }
    }

    fn feed(&mut self, id: u64) {
        let Some(command) = self.commands.get_mut(&id) else { return };
        let (count, closed) = command.feed();
        if count > 0 {
            self.say(&FromInside::Taken { id, count });
        }
        if closed {
            self.say(&FromInside::InputClosed { id });
        }
    }

    fn read(&mut self, id: u64, stream: usize) {
        let Some(command) = self.commands.get_mut(&id) else { return };
        let Read { bytes, flooded, .. } = command.read(stream);
        self.pass_on(id, stream, bytes, flooded);
    }

    fn pass_on(&mut self, id: u64, stream: usize, bytes: Vec<u8>, flooded: bool) {
        if !bytes.is_empty() {
            let stream = if stream == 0 { 1 } else { 2 };
            self.say(&FromInside::Output { id, stream, bytes });
        }
        if flooded {
            self.say(&FromInside::Flood { id });
        }
    }

    /// Tells of commands that have ended, once all they printed is on its way.
    fn settle(&mut self) {
        let ids: Vec<u64> = self.commands.keys().copied().collect();
        for id in ids {
            for stream in 0..2 {
                // What stands in its pipes is taken; what still holds them is not waited for.
                while let Some(command) = self.commands.get_mut(&id)
                    && command.is_drained()
                    && command.wanted_output(stream).is_some()
                {
                    let Read { bytes, flooded, empty } = command.read(stream);
                    if empty {
                        command.close(stream);
                    }
                    self.pass_on(id, stream, bytes, flooded);
                }
            }
            if let Some(ended) = self.commands.get(&id).and_then(Carried::is_over) {
                self.commands.remove(&id);
                self.say(&FromInside::Ended { id, ended });
            }
        }
    }

    fn look(&mut self) {
        if self.commands.is_empty() || self.looked.elapsed() < TICK {
            return;
        }
        self.looked = Instant::now();
        let free = facts::free();
        let fallen = self.free.saturating_sub(free);
        self.free = free;
        if fallen > 0 {
            self.fallen += fallen;
            self.say(&FromInside::LessRoom { fallen: self.fallen });
        }
    }
}

/// An order as the server takes it, where its streams lead, and whether it has a terminal.
fn exec(id: u64, order: Order) -> (Exec, [Place; 3], bool) {
    match order {
        Order::Program { argv, env, workdir, user, streams, terminal, keep: _ } => {
            let places = match terminal {
                Some(_) => [Place::Null; 3],
                None => streams,
            };
            let streams = places.map(|place| match place {
                Place::Null => Stream::Null,
                Place::Carried => Stream::Passed,
                Place::Stdout => Stream::Stdout,
            });
            let work = Work::Program(argv);
            let is_terminal = terminal.is_some();
            (Exec { id, work, env, workdir, user, streams, terminal }, places, is_terminal)
        }
        Order::Files(work) => {
            let places = match work {
                FileWork::Send { .. } => [Place::Null, Place::Carried, Place::Carried],
                _ => [Place::Carried, Place::Null, Place::Carried],
            };
            let work = Work::Files(work);
            let streams = places.map(|place| match place {
                Place::Carried => Stream::Passed,
                _ => Stream::Null,
            });
            let (env, workdir, user) = (Vec::new(), "/".to_owned(), String::new());
            (Exec { id, work, env, workdir, user, streams, terminal: None }, places, false)
        }
    }
}
