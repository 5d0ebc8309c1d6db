//! Processes: raw clones, waiting with resource usage, the signal that says a child has ended.

use super::checked;
use rustix::io::Errno;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// libc's constant of this name has lost its bit.
const CLONE_INTO_CGROUP: u64 = 1 << 33;

/// How to clone.
#[derive(Default)]
pub(in super::super) struct CloneRequest<'a> {
    /// `CLONE_NEW*`.
    pub(in super::super) namespaces: libc::c_int,
    /// A cgroup of version 2 that the child starts in.
    pub(in super::super) cgroup: Option<BorrowedFd<'a>>,
}

/// Which side of a clone this is.
pub(in super::super) enum Cloned {
    /// The child.
    Child,
    /// The parent, with the child's pid and a descriptor of it.
    Parent(i32, OwnedFd),
}

/// Copies this process, as `fork` does. For single-threaded helpers only: in the child of a
/// threaded process a lock could be held by a thread that is not there.
pub(in super::super) fn clone_process(request: &CloneRequest<'_>) -> Result<Cloned, Errno> {
    let mut pidfd: libc::c_int = -1;
    let flags = request.namespaces | libc::CLONE_PIDFD;
    let into = request.cgroup.map_or(0, |_| CLONE_INTO_CGROUP);
    let mut args = libc::clone_args {
        flags: u64::from(flags.cast_unsigned()) | into,
        pidfd: (&raw mut pidfd) as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: libc::SIGCHLD as u64,
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: request.cgroup.map_or(0, |fd| fd.as_raw_fd() as u64),
    };
    // SAFETY: without CLONE_VM and with no stack given this is a fork: the child goes on with a
    // copy of this memory. `args` and `pidfd` live over the call, the size is true; the older call
    // takes the place of the descriptor where it takes the parent's copy of the pid. Callers are
    // single-threaded, so the copy's allocator and locks are in a sound state.
    let answer = unsafe {
        if request.cgroup.is_some() {
            libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>())
        } else {
            // The filter of system calls, under which the first process of a sandbox forks, lets
            // this one through: it can see its flags.
            let flags = libc::c_long::from(flags | libc::SIGCHLD);
            libc::syscall(libc::SYS_clone, flags, 0_usize, &raw mut pidfd, 0_usize, 0_usize)
        }
    };
    match checked(answer)? {
        0 => Ok(Cloned::Child),
        pid => {
            // SAFETY: the call succeeded with CLONE_PIDFD, so the kernel put a new descriptor
            // here that nothing else owns.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Cloned::Parent(i32::try_from(pid).map_err(|_| Errno::OVERFLOW)?, pidfd))
        }
    }
}

/// Copies this process under a filter that does not know `clone3`; the child's pid, or `None` in the
/// child. For single-threaded helpers only.
pub(in super::super) fn fork() -> Result<Option<i32>, Errno> {
    // SAFETY: callers are single-threaded, so the child's copy of this memory is in a sound state.
    let pid = checked(unsafe { libc::fork() }.into())?;
    Ok(i32::try_from(pid).ok().filter(|pid| *pid != 0))
}

/// Ends this process without running destructors or exit handlers, which belong to its parent.
pub(in super::super) fn exit_now(code: i32) -> ! {
    // SAFETY: ends the process; nothing runs afterwards.
    unsafe { libc::_exit(code) }
}

/// Sends a signal to every process of this pid namespace but this one, which is its pid 1.
pub(in super::super) fn kill_everyone(signal: i32) {
    debug_assert_eq!(std::process::id(), 1, "outside a sandbox this would hit the machine");
    if std::process::id() != 1 {
        return;
    }
    // SAFETY: plain integers.
    unsafe {
        libc::kill(-1, signal);
    }
}

/// A child that has ended.
pub(in super::super) struct Ended {
    /// Its pid.
    pub(in super::super) pid: i32,
    /// As `wait` gives it.
    pub(in super::super) status: i32,
    /// CPU time in user mode, of it and its waited-for children.
    pub(in super::super) user: Duration,
    /// CPU time in the kernel.
    pub(in super::super) system: Duration,
    /// Largest resident size of one of them, in KiB.
    pub(in super::super) max_rss: u64,
}

/// Takes one child that has ended, if there is one.
pub(in super::super) fn wait_any() -> Option<Ended> {
    let mut status = 0;
    // SAFETY: `rusage` is plain data for which all zeroes is a valid value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to locals that live over the call.
    let pid =
        unsafe { libc::wait4(-1, &raw mut status, libc::WNOHANG | libc::__WALL, &raw mut usage) };
    if pid <= 0 {
        return None;
    }
    let time = |value: libc::timeval| {
        Duration::from_secs(value.tv_sec.unsigned_abs())
            + Duration::from_micros(value.tv_usec.unsigned_abs())
    };
    Some(Ended {
        pid,
        status,
        user: time(usage.ru_utime),
        system: time(usage.ru_stime),
        max_rss: usage.ru_maxrss.unsigned_abs(),
    })
}

/// Makes ended children wait for `wait` again after a parent ignored them.
pub(in super::super) fn reset_sigchld(ignored: bool) {
    let handler = if ignored { libc::SIG_IGN } else { libc::SIG_DFL };
    // SAFETY: neither is a function of ours; no code runs on the signal.
    unsafe {
        libc::signal(libc::SIGCHLD, handler);
    }
}

/// Blocks every signal that can be blocked. What is started with [`super::Spawner`] begins with none
/// blocked.
pub(in super::super) fn block_signals() {
    // SAFETY: `sigset_t` is plain data that `sigfillset` makes valid; the pointer is to a local.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
    }
}

/// Gives every signal its default action: what whoever started us ignores (`nohup` does) would stay
/// ignored in every sandbox. The C library ignores its own two signals while it spawns, and refuses
/// to change them, so the kernel is asked. Writing to a closed socket must not end the zygote, so
/// that one stays as it is until a command begins.
pub(in super::super) fn reset_signals() {
    // Larger than the kernel's `sigaction` anywhere; all zeroes is the default action.
    let default = [0_u64; 8];
    let fixed = [libc::SIGKILL, libc::SIGSTOP, libc::SIGPIPE];
    for signal in (1..=64).filter(|signal| !fixed.contains(signal)) {
        // SAFETY: the kernel reads a `sigaction` from the array, which lives over the call, and
        // its size of the mask is given truly.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                std::ptr::null_mut::<u64>(),
                8,
            );
        }
    }
}

/// A descriptor that is readable when a child has ended. The signal is blocked from now on; what
/// is started with [`super::Spawner`] begins with no signal blocked.
pub(in super::super) fn signal_fd() -> Result<OwnedFd, Errno> {
    // SAFETY: `sigset_t` is plain data that `sigemptyset` makes valid; all pointers are to a local
    // that lives over the calls.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        checked(libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()).into())?;
        let fd = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        checked(fd.into())?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}
