//! Pid 1 of a sandbox, second half: it starts commands, tells how they ended, and reaps.

use super::proto::{
    At, EndedExec, Exec, Fault, InitReply, InitRequest, Stream, Work, receive, send,
};
use super::sys::{self, Spawn, Spawner};
use super::users::{self, Identity};
use super::{files, pretend, processes};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, Signal};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;
use std::collections::{HashMap, HashSet};
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

/// What starts commands and tells how they ended.
pub(super) struct Server<'a> {
    control: OwnedFd,
    null: OwnedFd,
    spawner: &'a mut Spawner,
    /// Main processes that run, and their commands' numbers.
    running: HashMap<i32, u64>,
    /// Where calls come from that the filter leaves to us: then root is the only user.
    calls: Option<OwnedFd>,
    /// While every process is stopped by us: those that had been stopped before.
    stopped: Option<HashSet<i32>>,
    /// Commands that wait until processes go on.
    held: Vec<(InitRequest, Vec<OwnedFd>)>,
}

/// Serves until the keeper closes the socket; returns the exit code.
pub(super) fn serve(
    control: OwnedFd,
    null: OwnedFd,
    calls: Option<OwnedFd>,
    spawner: &mut Spawner,
) -> i32 {
    let Ok(children) = sys::signal_fd() else { return 2 };
    let mut server = Server::new(control, null, calls, spawner);
    loop {
        let calls = server.calls.as_ref().unwrap_or(&children);
        let mut ready = [&server.control, &children, calls]
            .map(|descriptor| PollFd::new(descriptor, PollFlags::IN));
        match poll(&mut ready, None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(_) => return 3,
        }
        let [asked, ended, called] = ready.map(|fd| !fd.revents().is_empty());
        if let (true, Some(calls)) = (called, &server.calls) {
            pretend::answer(calls);
        }
        if ended && server.reap(&children).is_err() {
            return 4;
        }
        if asked {
            match receive::<InitRequest>(&server.control) {
                Ok(Some((request, descriptors))) => {
                    if server.answer(request, descriptors).is_err() {
                        return 4;
                    }
                }
                Ok(None) => return 0,
                Err(Errno::INTR) => {}
                Err(_) => return 5,
            }
        }
    }
}

impl<'a> Server<'a> {
    /// One that answers over `control`.
    pub(super) fn new(
        control: OwnedFd,
        null: OwnedFd,
        calls: Option<OwnedFd>,
        spawner: &'a mut Spawner,
    ) -> Self {
        let (running, held) = (HashMap::new(), Vec::new());
        Self { control, null, spawner, running, stopped: None, held, calls }
    }

    /// Does what is asked.
    pub(super) fn answer(
        &mut self,
        request: InitRequest,
        descriptors: Vec<OwnedFd>,
    ) -> Result<(), Errno> {
        match request {
            // Whoever takes a snapshot relies on nothing moving.
            InitRequest::Exec(_) if self.stopped.is_some() => {
                self.held.push((request, descriptors));
                Ok(())
            }
            InitRequest::Exec(exec) => match self.exec(&exec, descriptors) {
                Ok(terminal) => {
                    let terminal: Vec<_> = terminal.iter().map(AsFd::as_fd).collect();
                    send(&self.control, &InitReply::Started { id: exec.id }, &terminal)
                }
                Err(fault) => {
                    send(&self.control, &InitReply::NotStarted { id: exec.id, fault }, &[])
                }
            },
            InitRequest::Signal { id, signal, tree } => {
                self.signal(id, signal, tree);
                Ok(())
            }
            InitRequest::Stop { stop: true } => {
                let (stopped, done) = processes::stop_all();
                self.stopped = Some(stopped);
                send(&self.control, &InitReply::Stopped { done }, &[])
            }
            InitRequest::Stop { stop: false } => {
                if let Some(stopped) = self.stopped.take() {
                    processes::let_go_on(&stopped);
                }
                send(&self.control, &InitReply::Stopped { done: true }, &[])?;
                for (request, descriptors) in std::mem::take(&mut self.held) {
                    self.answer(request, descriptors)?;
                }
                Ok(())
            }
        }
    }

    /// Starts a command; returns the other end of its terminal, if it has one.
    fn exec(&mut self, exec: &Exec, descriptors: Vec<OwnedFd>) -> Result<Option<OwnedFd>, Fault> {
        let user = users::identify(&exec.user)?;
        // A call of our own that we are to answer would never be answered.
        let owner = (user.uid != 0 && self.calls.is_none()).then_some((user.uid, user.gid));
        let terminal = exec.terminal.map(|size| open_terminal(size, owner)).transpose()?;
        let mut passed = descriptors.into_iter();
        let mut streams: Vec<OwnedFd> = Vec::with_capacity(3);
        for stream in exec.streams {
            let descriptor = match (&terminal, stream) {
                (Some((_, inner)), _) => inner.try_clone(),
                (None, Stream::Null) => self.null.try_clone(),
                (None, Stream::Stdout) if streams.len() > 1 => streams[1].try_clone(),
                (None, Stream::Stdout) => self.null.try_clone(),
                (None, Stream::Passed) => match passed.next() {
                    Some(descriptor) => Ok(descriptor),
                    None => return Err(Errno::BADF).at("take a stream"),
                },
            };
            streams.push(descriptor.at("take a stream")?);
        }
        if let (true, Some((uid, gid))) = (terminal.is_none(), owner) {
            // So that it may open `/dev/stdout` and the like. A file of the keeper's cannot be
            // given away, and need not be.
            for stream in &streams[..] {
                let _ = rustix::fs::fchown(
                    stream,
                    Some(rustix::fs::Uid::from_raw(uid)),
                    Some(rustix::fs::Gid::from_raw(gid)),
                );
            }
        }
        let pid = match &exec.work {
            Work::Program(argv) => self.start(exec, argv, &user, &streams)?,
            Work::Files(work) => fork_for_files(work, &streams)?,
        };
        self.running.insert(pid, exec.id);
        Ok(terminal.map(|(outer, _)| outer))
    }

    fn start(
        &mut self,
        exec: &Exec,
        argv: &[String],
        user: &Identity,
        streams: &[OwnedFd],
    ) -> Result<i32, Fault> {
        let c_string =
            |text: &str| CString::new(text).map_err(|_| Errno::INVAL).at("take an argument");
        let c_strings = |texts: &[String]| {
            texts.iter().map(|text| c_string(text)).collect::<Result<Vec<_>, Fault>>()
        };
        let program = argv.first().ok_or(Errno::INVAL).at("take an argument")?;
        let mut env = c_strings(&exec.env)?;
        if !exec.env.iter().any(|variable| variable.starts_with("HOME=")) {
            env.push(c_string(&format!("HOME={}", user.home))?);
        }
        let argv = c_strings(argv)?;
        let spawn = Spawn {
            programs: &c_strings(&candidates(program, &exec.env))?,
            argv: &argv,
            env: &env,
            workdir: &c_string(&exec.workdir)?,
            streams: [streams[0].as_fd(), streams[1].as_fd(), streams[2].as_fd()],
            terminal: exec.terminal.is_some(),
            ids: (user.uid != 0 || user.gid != 0 || !user.groups.is_empty()).then_some((
                user.uid,
                user.gid,
                &user.groups[..],
            )),
        };
        self.spawner.start(&spawn).map_err(|error| Fault {
            step: error.step.to_owned(),
            errno: error.errno.raw_os_error(),
        })
    }

    /// Takes every child that has ended, and tells of those that were commands.
    pub(super) fn reap(&mut self, children: &OwnedFd) -> Result<(), Errno> {
        let mut record = [0; 128];
        while rustix::io::read(children, &mut record).is_ok() {}
        while let Some(ended) = sys::wait_any() {
            let Some(id) = self.running.remove(&ended.pid) else { continue };
            let micros =
                |time: std::time::Duration| time.as_micros().try_into().unwrap_or(u64::MAX);
            let reply = InitReply::Ended(EndedExec {
                id,
                status: ended.status,
                user_us: micros(ended.user),
                system_us: micros(ended.system),
                max_rss_kib: ended.max_rss,
            });
            send(&self.control, &reply, &[])?;
        }
        Ok(())
    }

    /// Sends a signal. A command that has ended meanwhile is no error.
    pub(super) fn signal(&self, id: u64, signal: i32, tree: bool) {
        let Some(pid) = self.running.iter().find(|(_, other)| **other == id).map(|(pid, _)| *pid)
        else {
            return;
        };
        let (Some(pid), Some(signal)) = (Pid::from_raw(pid), Signal::from_named_raw(signal)) else {
            return;
        };
        if tree {
            let others: Vec<i32> =
                self.running.keys().copied().filter(|other| *other != pid.as_raw_pid()).collect();
            processes::signal_tree(pid, signal, &others);
        } else {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }
}

/// The paths at which a program may be.
fn candidates(program: &str, env: &[String]) -> Vec<String> {
    if program.contains('/') {
        return vec![program.to_owned()];
    }
    let path = env.iter().rev().find_map(|variable| variable.strip_prefix("PATH="));
    path.unwrap_or("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .split(':')
        .map(|directory| match directory {
            "" => program.to_owned(),
            directory => format!("{directory}/{program}"),
        })
        .collect()
}

/// A terminal of the sandbox's own: the end for the keeper, and the end for the command.
fn open_terminal(size: (u16, u16), owner: Option<(u32, u32)>) -> Result<(OwnedFd, OwnedFd), Fault> {
    let step = "open a terminal";
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let outer = rustix::fs::open("/dev/pts/ptmx", flags, Mode::empty()).at(step)?;
    rustix::pty::unlockpt(&outer).at(step)?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let inner = rustix::pty::ioctl_tiocgptpeer(&outer, flags).at(step)?;
    let (columns, rows) = size;
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&outer, size).at(step)?;
    if let Some((uid, _)) = owner {
        rustix::fs::fchown(&inner, Some(rustix::fs::Uid::from_raw(uid)), None).at(step)?;
    }
    Ok((outer, inner))
}

/// Our own code in a process of its own: what it meets inside cannot hold up pid 1.
fn fork_for_files(work: &super::proto::FileWork, streams: &[OwnedFd]) -> Result<i32, Fault> {
    match sys::fork().at("fork")? {
        Some(pid) => Ok(pid),
        None => {
            let _ = rustix::process::setsid();
            let placed = rustix::stdio::dup2_stdin(&streams[0])
                .and_then(|()| rustix::stdio::dup2_stdout(&streams[1]))
                .and_then(|()| rustix::stdio::dup2_stderr(&streams[2]));
            if placed.is_err() || sys::close_from(3).is_err() {
                sys::exit_now(126);
            }
            sys::exit_now(files::run(work))
        }
    }
}
