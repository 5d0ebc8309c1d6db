//! Our own pid 1 in a container that somebody else has made: what serves a native sandbox, with its
//! words carried in a stream instead of a socket, and the commands' streams along with them.
//!
//! A container's daemon has the other end of that stream, and may lose the connection to whoever
//! reads it. Nothing that was said is lost by that (see [`link`]), and nothing ends: the commands
//! go on, as long as what they print has room.

mod carry;
mod command;
mod facts;
pub(in crate::sandbox) mod link;
mod words;

pub(in crate::sandbox) use words::{
    Ended, FromInside, Order, PROTOCOL, Place, ToInside, Totals, WINDOW,
};

use super::serve::Server;
use super::sys::{self, Spawner};
use rustix::fs::{Mode, OFlags};
use rustix::process::DumpableBehavior;
use std::os::fd::AsFd as _;
use std::process::ExitCode;

/// The argument that asks for this.
pub(in crate::sandbox) const WORD: &str = "sandbox-inside";

/// If this process was started as the first of a container: its whole life.
pub(super) fn run_if_asked() -> Option<ExitCode> {
    let asked = std::env::args_os().nth(1).is_some_and(|argument| argument == WORD);
    // Elsewhere its signals would hit others.
    if !asked || std::process::id() != 1 {
        return None;
    }
    Some(match live() {
        Some(()) => ExitCode::SUCCESS,
        None => ExitCode::FAILURE,
    })
}

fn live() -> Option<()> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).ok()?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).ok()?;
    // Commands get their own; ours are where no command has any.
    let heard = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 10).ok()?;
    let said = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 10).ok()?;
    rustix::stdio::dup2_stdin(&null).ok()?;
    rustix::stdio::dup2_stdout(&null).ok()?;
    rustix::stdio::dup2_stderr(&null).ok()?;
    for end in [&heard, &said] {
        rustix::io::ioctl_fionbio(end.as_fd(), true).ok()?;
    }
    let children = sys::signal_fd().ok()?;
    let mut spawner = Spawner::new();
    let (control, link) = carry::pair()?;
    let server = Server::new(control, null, None, &mut spawner);
    carry::Carrier::new(heard, said, children, link, server).run();
    sys::kill_everyone(9);
    Some(())
}
