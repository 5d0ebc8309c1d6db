//! The only `unsafe` of the project: system calls that neither std nor rustix offers as safe
//! functions. Every block names the invariant it rests on.
#![expect(unsafe_code, reason = "this folder is where it is allowed")]

mod notify;
mod process;
mod quota;
mod spawn;

pub(super) use notify::{Call, answer_call, install_asking_filter, next_call, still_waits};
pub(super) use process::{
    CloneRequest, Cloned, block_signals, clone_process, exit_now, fork, kill_everyone,
    reset_sigchld, reset_signals, signal_fd, wait_any,
};
pub(super) use quota::{
    QuotaLimit, enforces_project_quota, project_of, project_usage, set_project, set_project_quota,
};
pub(super) use spawn::{Spawn, Spawner};

use rustix::io::Errno;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// One instruction of classic BPF, as the kernel takes it.
pub(super) type Instruction = libc::sock_filter;

/// The answer of a raw system call as a result.
fn checked(answer: libc::c_long) -> Result<libc::c_long, Errno> {
    match answer {
        -1 => Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)),
        value => Ok(value),
    }
}

/// What [`mount_setattr`] changes.
#[derive(Clone, Copy, Default)]
pub(super) struct MountChange<'a> {
    /// `MOUNT_ATTR_*` to set.
    pub(super) set: u64,
    /// A user namespace whose maps the mount gets.
    pub(super) idmap: Option<BorrowedFd<'a>>,
    /// All mounts below it as well.
    pub(super) recursive: bool,
    /// Neither takes part in what is mounted elsewhere, nor the other way round.
    pub(super) private: bool,
}

/// Changes the attributes of the mount that `mount` is the root of.
pub(super) fn mount_setattr(mount: BorrowedFd<'_>, change: &MountChange<'_>) -> Result<(), Errno> {
    let mut attr = libc::mount_attr {
        attr_set: change.set,
        attr_clr: 0,
        propagation: if change.private { libc::MS_PRIVATE } else { 0 },
        userns_fd: 0,
    };
    if let Some(userns) = change.idmap {
        attr.attr_set |= libc::MOUNT_ATTR_IDMAP;
        attr.userns_fd = u64::try_from(userns.as_raw_fd()).expect("descriptors are not negative");
    }
    let mut flags = libc::AT_EMPTY_PATH;
    if change.recursive {
        flags |= libc::AT_RECURSIVE;
    }
    // SAFETY: the path is a NUL-terminated literal, `attr` lives over the call and its size is
    // given truly; the kernel writes to neither.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of::<libc::mount_attr>(),
        )
    };
    checked(answer).map(drop)
}

/// Sets the ids that file systems see of this thread. The kernel has no way to refuse but to leave
/// them as they were, so the caller's next use of them is the check.
pub(super) fn set_fs_ids(id: u32) {
    // SAFETY: plain integers; no memory is involved.
    unsafe {
        libc::syscall(libc::SYS_setfsgid, id);
        libc::syscall(libc::SYS_setfsuid, id);
    }
}

/// Leaves namespaces. For single-threaded helpers only.
pub(super) fn unshare(flags: libc::c_int) -> Result<(), Errno> {
    // SAFETY: no memory is involved, and `CLONE_FILES` is not among the flags anyone passes.
    let answer = unsafe { libc::unshare(flags) };
    checked(answer.into()).map(drop)
}

/// Puts this thread, and all it starts, under a filter of system calls for good.
pub(super) fn install_filter(program: &[Instruction]) -> Result<(), Errno> {
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| Errno::INVAL)?,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: `program` points to `len` instructions that live over the call; the kernel copies
    // them and does not write to them.
    let answer = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program)
    };
    checked(answer).map(drop)
}

/// Closes every descriptor from `first` on.
pub(super) fn close_from(first: u32) -> Result<(), Errno> {
    // SAFETY: plain integers. Callers are helpers that use no `OwnedFd` from `first` on afterwards:
    // they leak or forget those they hold, and never return to the code that made them.
    let answer = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
    checked(answer).map(drop)
}

/// Makes `number` another descriptor of the same thing, whatever it was before. Callers are helpers
/// that have nothing of their own at that number.
pub(super) fn dup_over(descriptor: BorrowedFd<'_>, number: i32) -> Result<(), Errno> {
    // SAFETY: plain integers; see above for what may be lost.
    let answer = unsafe { libc::dup3(descriptor.as_raw_fd(), number, libc::O_CLOEXEC) };
    checked(answer.into()).map(drop)
}

/// Takes over a descriptor this process was started with.
pub(super) fn inherited(fd: i32) -> Option<OwnedFd> {
    use std::os::fd::FromRawFd;
    // SAFETY: a query of flags touches no memory.
    let open = unsafe { libc::fcntl(fd, libc::F_GETFD) } >= 0;
    // SAFETY: the descriptor is open, and the caller is the first code of a freshly started
    // helper (or has just put it there by `dup`), so nothing else owns it.
    open.then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Has tokio watch a descriptor of ours.
pub(super) fn watched(descriptor: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the `AsyncFd` owns the descriptor, an `OwnedFd` always gives the same open one, and
    // nothing here takes it out again.
    Ok(unsafe { AsyncFd::register_with_interest(descriptor, interest) }?)
}

/// Brings up the loopback device of the network namespace this thread is in.
pub(super) fn loopback_up() -> Result<(), Errno> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: `ifreq` is plain data for which all zeroes is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed();
    }
    let up = libc::IFF_UP | libc::IFF_RUNNING;
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(up).expect("both are small flags");
    // SAFETY: `SIOCSIFFLAGS` reads an `ifreq`, which lives over the call.
    let answer = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    checked(answer.into()).map(drop)
}
