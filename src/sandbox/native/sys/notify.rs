//! System calls that the filter leaves to be answered by pid 1.

use super::{Instruction, checked};
use rustix::io::Errno;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `SECCOMP_IOCTL_NOTIF_RECV`, `_SEND` and `_ID_VALID`: the same on every machine.
const RECEIVE: libc::Ioctl = 0xc050_2100;
const SEND: libc::Ioctl = 0xc018_2101;
const IS_VALID: libc::Ioctl = 0x4008_2102;

/// A call that waits for its answer.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Call {
    id: u64,
    /// The thread that makes it, by our own namespace's number.
    pub(in super::super) pid: u32,
    /// Which call.
    pub(in super::super) number: i64,
    /// Its arguments.
    pub(in super::super) arguments: [u64; 6],
}

#[cfg(test)]
impl Call {
    /// One that nobody made.
    pub(in super::super) fn made_up(number: i64, arguments: [u64; 6]) -> Self {
        Self { id: 0, pid: 0, number, arguments }
    }
}

/// As [`super::install_filter`], for a filter that leaves some calls to be answered: returns the
/// descriptor that they come by.
pub(in super::super) fn install_asking_filter(program: &[Instruction]) -> Result<OwnedFd, Errno> {
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| Errno::INVAL)?,
        filter: program.as_ptr().cast_mut(),
    };
    // A caller that waits for the answer is stopped by a fatal signal only: with others it would
    // call again and again.
    let flags =
        libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    // SAFETY: `program` points to `len` instructions that live over the call; the kernel copies
    // them and does not write to them.
    let answer = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program)
    };
    let descriptor = i32::try_from(checked(answer)?).map_err(|_| Errno::OVERFLOW)?;
    // SAFETY: the call succeeded with this flag, so the kernel has made a descriptor that nothing
    // else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// The next call to answer. [`Errno::NOENT`]: whoever made it is gone.
pub(in super::super) fn next_call(listener: BorrowedFd<'_>) -> Result<Call, Errno> {
    // SAFETY: `seccomp_notif` is plain data for which all zeroes is a valid value, and what the
    // kernel asks for.
    let mut call: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: the request writes one `seccomp_notif`, which lives over the call; its size is part
    // of the request's number.
    let answer = unsafe { libc::ioctl(listener.as_raw_fd(), RECEIVE, &raw mut call) };
    checked(answer.into())?;
    let number = call.data.nr.into();
    Ok(Call { id: call.id, pid: call.pid, number, arguments: call.data.args })
}

/// Whether whoever made the call still waits: what was learned by its pid before is of it.
pub(in super::super) fn still_waits(listener: BorrowedFd<'_>, call: &Call) -> bool {
    // SAFETY: the request reads a number of 64 bits, which lives over the call.
    unsafe { libc::ioctl(listener.as_raw_fd(), IS_VALID, &raw const call.id) == 0 }
}

/// Answers a call: with success, or with an error.
pub(in super::super) fn answer_call(
    listener: BorrowedFd<'_>,
    call: &Call,
    result: Result<(), Errno>,
) {
    let error = result.map_or_else(|errno| -errno.raw_os_error(), |()| 0);
    let response = libc::seccomp_notif_resp { id: call.id, val: 0, error, flags: 0 };
    // SAFETY: the request reads one `seccomp_notif_resp`, which lives over the call.
    unsafe {
        // Whoever is gone meanwhile needs no answer.
        libc::ioctl(listener.as_raw_fd(), SEND, &raw const response);
    }
}

const _: () = assert!(size_of::<libc::seccomp_notif>() == 0x50);
const _: () = assert!(size_of::<libc::seccomp_notif_resp>() == 0x18);
