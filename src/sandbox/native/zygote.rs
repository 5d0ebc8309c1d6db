//! The zygote: a small, single-threaded process that clones sandboxes for the keeper. It runs from
//! a sealed copy of our program in memory, so no sandbox ever has a way to the program's file.

use super::den::{become_root, build_root, write_maps};
use super::init::{self, Birth};
use super::netns::{Maker, Netns};
use super::proto::{
    At, Create, Fault, Join, NetnsPlan, PROTOCOL, ZygoteReply, ZygoteRequest, receive, send,
};
use super::root::{self, Materials};
use super::seccomp;
use super::setup::{self, SetupOp, Terms};
use super::sys::{self, CloneRequest, Cloned, Spawner};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};
use rustix::io::Errno;
use rustix::process::Signal;
use rustix::thread::CapabilitiesSecureBits;
use std::io::Write as _;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

/// How the zygote, and pid 1 of every sandbox, is named in lists of processes.
pub(super) const NAME: &str = "evalrun-zygote";
/// The argument of the one that runs from memory.
const SEALED: &str = "sealed";
/// How many network namespaces are made ahead when there is nothing else to do.
const AHEAD: usize = 4;

/// The user id range that sandboxes get outside.
pub(super) const SHIFT: u32 = 100_000;
/// How many ids they have.
pub(super) const IDS: u32 = 65_536;

/// A sandbox whose pid 1 goes its way.
struct Newborn {
    pid: i32,
    upper: bool,
    netns: bool,
    /// For the keeper.
    descriptors: Vec<OwnedFd>,
    /// To be let go of when there is time.
    scaffold: Vec<OwnedFd>,
}

/// If this process was started as a zygote: its whole life.
pub(super) fn run_if_asked() -> Option<ExitCode> {
    let mut arguments = std::env::args_os();
    if arguments.next()? != NAME {
        return None;
    }
    let result = match arguments.next() {
        Some(argument) if argument == SEALED => live(),
        _ => seal(),
    };
    Some(match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    })
}

/// Goes on from a copy of the program that nobody can write to.
fn seal() -> Result<(), Fault> {
    die_with_keeper()?;
    let step = "copy the program into memory";
    let mut program = fs_err::File::open("/proc/self/exe").at(step)?;
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let copy = rustix::fs::memfd_create(NAME, flags).at(step)?;
    let mut copy = std::fs::File::from(copy);
    std::io::copy(&mut program, &mut copy).at(step)?;
    rustix::fs::fcntl_add_seals(
        &copy,
        SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE,
    )
    .at(step)?;
    let path = format!("/proc/self/fd/{}", copy.as_raw_fd());
    Err(Command::new(path).arg0(NAME).arg(SEALED).exec()).at("run the copy")
}

fn die_with_keeper() -> Result<(), Fault> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .at("set the parent's death signal")
}

struct Zygote {
    control: OwnedFd,
    materials: Materials,
    shift: Option<u32>,
    netns: Maker,
    /// How many network namespaces are made ahead.
    ahead: usize,
    /// What the last sandbox's pid 1 had to do, and why.
    plan: Option<(Terms, Vec<SetupOp>)>,
    /// For pid 1s: what they are born with they need not make.
    spawner: Spawner,
}

fn live() -> Result<(), Fault> {
    die_with_keeper()?;
    sys::reset_signals();
    // An interrupt typed at the keeper's terminal, or a signal to all of a batch job, is the
    // keeper's to answer: sandboxes end when it says so, or when it ends.
    sys::block_signals();
    rustix::process::setsid().at("begin a session")?;
    let control = take_control()?;
    let settled = settle(&control);
    let mut zygote = match settled {
        Ok(zygote) => zygote,
        Err(fault) => {
            send(&control, &ZygoteReply::Failed(fault.clone()), &[]).at("answer")?;
            return Err(fault);
        }
    };
    let ways = zygote.materials.ways.clone();
    send(&control, &ZygoteReply::Settled { ways }, &[]).at("answer")?;
    loop {
        zygote.wait_for_request()?;
        match receive::<ZygoteRequest>(&control) {
            Ok(Some((request, descriptors))) => zygote.answer(request, descriptors)?,
            Ok(None) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno).at("receive a request"),
        }
    }
}

/// The keeper's socket comes as standard input; moved away, so that no child has it there.
fn take_control() -> Result<OwnedFd, Fault> {
    let step = "take the control socket";
    let stdin = sys::inherited(0).ok_or(Errno::BADF).at(step)?;
    let control = rustix::io::fcntl_dupfd_cloexec(&stdin, 3).at(step)?;
    let null =
        rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).at(step)?;
    rustix::stdio::dup2_stdin(&null).at(step)?;
    std::mem::forget(stdin);
    Ok(control)
}

fn settle(control: &OwnedFd) -> Result<Zygote, Fault> {
    let userns = become_root()?;
    let descriptors: Vec<_> = userns.iter().map(AsFd::as_fd).collect();
    let started = ZygoteReply::Started { root: userns.is_some(), protocol: PROTOCOL };
    send(control, &started, &descriptors).at("answer")?;
    let (request, mut descriptors) =
        receive::<ZygoteRequest>(control).at("receive")?.ok_or(Errno::PIPE).at("receive")?;
    let ZygoteRequest::Settle(settle) = request else {
        return Err(Errno::PROTO).at("settle in");
    };
    let materials = build_root(&settle, descriptors.pop(), userns)?;
    let netns = Maker::new()?;
    if let Some(shift) = settle.shift {
        // The overlay works on its upper as this user; without the bit it would do so without the
        // capabilities that root has over files.
        rustix::thread::set_capabilities_secure_bits(CapabilitiesSecureBits::NO_SETUID_FIXUP)
            .at("set the secure bits")?;
        sys::set_fs_ids(shift);
    }
    sys::reset_sigchld(true);
    // Every sandbox is born with it.
    seccomp::program(materials.userns.is_none());
    let control = control.try_clone().at("keep the socket")?;
    let ahead = if settle.stays { 0 } else { AHEAD };
    let (plan, spawner) = (None, Spawner::new());
    Ok(Zygote { control, materials, shift: settle.shift, netns, ahead, plan, spawner })
}

impl Zygote {
    /// Waits; with nothing else to do, makes network namespaces ahead.
    fn wait_for_request(&mut self) -> Result<(), Fault> {
        while self.netns.ready() < self.ahead {
            let mut ready = [PollFd::new(&self.control, PollFlags::IN)];
            let soon = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };
            match poll(&mut ready, Some(&soon)) {
                Ok(0) => {}
                _ => return Ok(()),
            }
            if self.netns.prepare().is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn answer(&mut self, request: ZygoteRequest, descriptors: Vec<OwnedFd>) -> Result<(), Fault> {
        match request {
            ZygoteRequest::Settle(_) => Err(Errno::PROTO).at("settle in"),
            ZygoteRequest::Create(create) => match self.create(&create, descriptors) {
                Ok(born) => {
                    let Newborn { pid, upper, netns, descriptors, scaffold } = born;
                    let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
                    let answer = ZygoteReply::Created { pid, upper, netns };
                    let sent = send(&self.control, &answer, &descriptors).at("answer");
                    // Now that nobody waits for it.
                    drop(scaffold);
                    sent
                }
                Err(fault) => send(&self.control, &ZygoteReply::Failed(fault), &[]).at("answer"),
            },
        }
    }

    fn create(&mut self, create: &Create, mut descriptors: Vec<OwnedFd>) -> Result<Newborn, Fault> {
        let joins = create.terms.join.descriptors();
        let given = if create.netns == NetnsPlan::Given { 2 } else { 0 };
        if descriptors.len() < 1 + joins + given {
            return Err(Errno::BADF).at("take the descriptors");
        }
        if self.plan.as_ref().is_none_or(|(terms, _)| *terms != create.terms) {
            self.plan = Some((create.terms.clone(), setup::plan(&create.terms)));
        }
        let control = descriptors.remove(0);
        let mut others = descriptors.split_off(joins).into_iter();
        let mut made = None;
        match (create.netns, others.len().checked_sub(2)) {
            (NetnsPlan::Host, _) => self.netns.enter_host()?,
            (NetnsPlan::Given, Some(_)) => {
                let given = [(); 2].map(|()| others.next().expect("there are at least two"));
                self.netns.enter(&Netns::from_descriptors(given))?;
            }
            _ => made = Some(self.netns.enter_new()?),
        }
        let sysfs = self.netns.sysfs(create.netns == NetnsPlan::Host);
        let root = root::assemble(create, &self.materials, sysfs, others.collect())?;
        let mut born = self.give_birth(create.terms.join, control, root, &descriptors)?;
        if let Some(netns) = made {
            born.netns = true;
            born.descriptors.extend(netns.into_descriptors());
        }
        Ok(born)
    }

    fn give_birth(
        &mut self,
        join: Join,
        control: OwnedFd,
        root: root::Root,
        joins: &[OwnedFd],
    ) -> Result<Newborn, Fault> {
        let mapped = rustix::event::eventfd(0, EventfdFlags::CLOEXEC).at("make an event")?;
        let born_in = matches!(join, Join::Born).then(|| joins[0].as_fd());
        let request = CloneRequest {
            namespaces: libc::CLONE_NEWUSER
                | libc::CLONE_NEWNS
                | libc::CLONE_NEWPID
                | libc::CLONE_NEWIPC
                | libc::CLONE_NEWUTS,
            cgroup: born_in,
        };
        match sys::clone_process(&request).at("clone a sandbox")? {
            Cloned::Child => init::run(Birth {
                control,
                root: root.mount,
                tasks: joins,
                mapped,
                setup: self.plan.as_ref().map_or(&[], |(_, plan)| plan),
                spawner: &mut self.spawner,
            }),
            Cloned::Parent(pid, pidfd) => {
                if let Err(fault) = write_maps(pid, self.shift) {
                    let _ = rustix::process::pidfd_send_signal(&pidfd, Signal::KILL);
                    return Err(fault);
                }
                let mut event = std::fs::File::from(mapped);
                event.write_all(&1_u64.to_ne_bytes()).at("let the sandbox go on")?;
                let upper = root.upper.is_some();
                let descriptors = std::iter::once(pidfd).chain(root.upper).collect();
                Ok(Newborn { pid, upper, netns: false, descriptors, scaffold: root.scaffold })
            }
        }
    }
}
