//! Starting a command from pid 1: a child that shares our memory until it has become the command,
//! so that nothing is copied.

use super::checked;
use rustix::io::Errno;
use std::ffi::CString;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

/// A command, ready to be started.
pub(in super::super) struct Spawn<'a> {
    /// Paths to try, in this order.
    pub(in super::super) programs: &'a [CString],
    /// Arguments, the program's name included.
    pub(in super::super) argv: &'a [CString],
    /// `NAME=value`.
    pub(in super::super) env: &'a [CString],
    /// Entered as the user.
    pub(in super::super) workdir: &'a CString,
    /// What becomes descriptors 0, 1 and 2.
    pub(in super::super) streams: [BorrowedFd<'a>; 3],
    /// Whether descriptor 0 is a terminal to take control of.
    pub(in super::super) terminal: bool,
    /// User, group and further groups, if not those of this process.
    pub(in super::super) ids: Option<(u32, u32, &'a [u32])>,
}

/// The step that failed, and why.
#[derive(Debug)]
pub(in super::super) struct SpawnError {
    /// The step.
    pub(in super::super) step: &'static str,
    /// Why.
    pub(in super::super) errno: Errno,
}

/// Starts commands. Owns the stack that children run on until they have become the command.
pub(in super::super) struct Spawner {
    stack: Box<[MaybeUninit<u128>]>,
}

/// What the child needs, in a form that it can use without allocating.
struct Job<'a> {
    spawn: &'a Spawn<'a>,
    argv: Vec<*const libc::c_char>,
    env: Vec<*const libc::c_char>,
    failure: Option<(&'static str, i32)>,
}

const STACK_WORDS: usize = 4096; // of 16 bytes

impl Spawner {
    /// A spawner with a stack of its own.
    pub(in super::super) fn new() -> Self {
        Self { stack: Box::new_uninit_slice(STACK_WORDS) }
    }

    /// Starts a command and returns its pid. When this returns the command's program is running.
    pub(in super::super) fn start(&mut self, spawn: &Spawn<'_>) -> Result<i32, SpawnError> {
        let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
            strings.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect()
        };
        let mut job =
            Job { spawn, argv: pointers(spawn.argv), env: pointers(spawn.env), failure: None };
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        // SAFETY: the stack is ours alone (`&mut self`), aligned to 16 bytes, and its end is given
        // because stacks grow down. CLONE_VFORK stops this thread, the only one, until the child
        // has called `execve` or ended, so `job` outlives its use and no two run at once.
        let pid = unsafe {
            let top = self.stack.as_mut_ptr_range().end;
            libc::clone(child, top.cast(), flags, (&raw mut job).cast())
        };
        let pid = checked(pid.into()).map_err(|errno| SpawnError { step: "clone", errno })?;
        let pid = i32::try_from(pid).expect("pids are small");
        match job.failure {
            None => Ok(pid),
            Some((step, errno)) => {
                // SAFETY: waits for the child that has just ended; no status is asked for.
                unsafe { libc::waitpid(pid, ptr::null_mut(), libc::__WALL) };
                Err(SpawnError { step, errno: Errno::from_raw_os_error(errno) })
            }
        }
    }
}

/// The child. It shares the parent's memory: it must not allocate, panic or return.
extern "C" fn child(job: *mut libc::c_void) -> libc::c_int {
    // SAFETY: `Spawner::start` passes a pointer to its `Job`, which lives until this ends, and is
    // stopped meanwhile, so this reference is the only one in use.
    let job = unsafe { &mut *job.cast::<Job<'_>>() };
    // SAFETY: raw system calls on prepared, NUL-terminated data; nothing here allocates.
    unsafe {
        let failure = become_command(job);
        job.failure = Some((failure, *libc::__errno_location()));
        libc::_exit(127)
    }
}

/// Does all that is between the clone and `execve`; returns the name of the step that failed.
///
/// # Safety
/// Only in a child that has its own descriptor and signal tables and never returns to Rust code
/// of its parent.
unsafe fn become_command(job: &Job<'_>) -> &'static str {
    // SAFETY: see above; all pointers are to data that lives in `job`.
    unsafe {
        let spawn = job.spawn;
        if libc::setsid() < 0 {
            return "setsid";
        }
        for (number, stream) in spawn.streams.iter().enumerate() {
            let number = libc::c_int::try_from(number).unwrap_or(0);
            if libc::dup2(stream.as_raw_fd(), number) < 0 {
                return "dup2";
            }
        }
        if spawn.terminal && libc::ioctl(0, libc::TIOCSCTTY, 0) < 0 {
            return "take control of the terminal";
        }
        if let Some((user, group, groups)) = spawn.ids {
            // The raw calls: the C library's would signal threads that are not there.
            if libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) < 0
                && *libc::__errno_location() != libc::EPERM
            {
                return "setgroups";
            }
            if libc::syscall(libc::SYS_setresgid, group, group, group) < 0 {
                return "setresgid";
            }
            if libc::syscall(libc::SYS_setresuid, user, user, user) < 0 {
                return "setresuid";
            }
        }
        if libc::chdir(spawn.workdir.as_ptr()) < 0 {
            return "enter the working directory";
        }
        // Ignored signals stay ignored over `execve`, and Rust's runtime ignores this one.
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
        let mut denied = false;
        for program in spawn.programs {
            libc::execve(program.as_ptr(), job.argv.as_ptr(), job.env.as_ptr());
            match *libc::__errno_location() {
                libc::ENOENT | libc::ENOTDIR => {}
                libc::EACCES => denied = true,
                _ => return "execve",
            }
        }
        if denied {
            *libc::__errno_location() = libc::EACCES;
        }
        "execve"
    }
}
