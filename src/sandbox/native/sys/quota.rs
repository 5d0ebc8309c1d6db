//! Project quotas of a file system: which project a directory belongs to, and what that may take.

use super::checked;
use rustix::io::Errno;
use std::os::fd::{AsRawFd, BorrowedFd};

/// `struct fsxattr` of the kernel.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct FileAttributes {
    flags: u32,
    extent_size: u32,
    extents: u32,
    project: u32,
    copy_extent_size: u32,
    padding: [u8; 8],
}

const FS_IOC_FSGETXATTR: libc::Ioctl = 0x801c_581f_u32 as libc::Ioctl;
const FS_IOC_FSSETXATTR: libc::Ioctl = 0x401c_5820_u32 as libc::Ioctl;
/// What is made in a directory belongs to its project.
const FS_XFLAG_PROJINHERIT: u32 = 0x200;

const PRJQUOTA: libc::c_int = 2;
const Q_GETQUOTA: libc::c_int = 0x80_0007;
const Q_SETQUOTA: libc::c_int = 0x80_0008;
const Q_XGETQSTAT: libc::c_int = 0x5805;
/// Project quotas are enforced, not only counted.
const FS_QUOTA_PDQ_ENFD: u16 = 1 << 5;
/// The limits of blocks and of inodes are those to be set.
const QIF_LIMITS: u32 = 1 | 4;

/// What a project may take, or has taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct QuotaLimit {
    /// Bytes on disk; as a limit, 0: any.
    pub(in super::super) bytes: u64,
    /// Files, directories and so on; likewise.
    pub(in super::super) inodes: u64,
}

fn attributes(file: BorrowedFd<'_>) -> Result<FileAttributes, Errno> {
    let mut attributes = FileAttributes::default();
    // SAFETY: the request writes one `struct fsxattr`, which `attributes` is in size and layout.
    let answer = unsafe { libc::ioctl(file.as_raw_fd(), FS_IOC_FSGETXATTR, &raw mut attributes) };
    checked(answer.into()).map(|_| attributes)
}

/// The project that a file belongs to; 0: none.
pub(in super::super) fn project_of(file: BorrowedFd<'_>) -> Result<u32, Errno> {
    attributes(file).map(|attributes| attributes.project)
}

/// Makes a directory, and all that comes to be in it, part of a project.
pub(in super::super) fn set_project(directory: BorrowedFd<'_>, project: u32) -> Result<(), Errno> {
    let mut attributes = attributes(directory)?;
    attributes.project = project;
    attributes.flags |= FS_XFLAG_PROJINHERIT;
    // SAFETY: the request reads one `struct fsxattr`, which lives over the call.
    let answer =
        unsafe { libc::ioctl(directory.as_raw_fd(), FS_IOC_FSSETXATTR, &raw const attributes) };
    checked(answer.into()).map(drop)
}

/// A request for project quotas to the file system that `file` is on.
///
/// # Safety
/// `data` points to what the kernel takes for this command to write to and read from.
unsafe fn quotactl(
    file: BorrowedFd<'_>,
    command: libc::c_int,
    project: u32,
    data: *mut libc::c_void,
) -> Result<(), Errno> {
    let command = (command << 8) | PRJQUOTA;
    // SAFETY: the caller vouches for `data`; the rest are plain integers.
    let answer =
        unsafe { libc::syscall(libc::SYS_quotactl_fd, file.as_raw_fd(), command, project, data) };
    checked(answer).map(drop)
}

/// Whether the file system that `file` is on limits what projects take. An error: it knows none.
pub(in super::super) fn enforces_project_quota(file: BorrowedFd<'_>) -> Result<bool, Errno> {
    // `struct fs_quota_stat` has 80 bytes; its flags are the second pair.
    let mut state = [0_u16; 64];
    // SAFETY: the command writes at most 80 bytes, and `state` has 128.
    unsafe { quotactl(file, Q_XGETQSTAT, 0, state.as_mut_ptr().cast()) }?;
    Ok(state[1] & FS_QUOTA_PDQ_ENFD != 0)
}

/// Limits what a project may take.
pub(in super::super) fn set_project_quota(
    file: BorrowedFd<'_>,
    project: u32,
    limit: &QuotaLimit,
) -> Result<(), Errno> {
    // SAFETY: it is plain data for which all zeroes is a valid value.
    let mut quota: libc::dqblk = unsafe { std::mem::zeroed() };
    // In units of 1024 bytes.
    quota.dqb_bhardlimit = limit.bytes.div_ceil(1024);
    quota.dqb_ihardlimit = limit.inodes;
    quota.dqb_valid = QIF_LIMITS;
    // SAFETY: the command reads one `struct if_dqblk`, which lives over the call.
    unsafe { quotactl(file, Q_SETQUOTA, project, (&raw mut quota).cast()) }
}

/// What a project has taken.
pub(in super::super) fn project_usage(
    file: BorrowedFd<'_>,
    project: u32,
) -> Result<QuotaLimit, Errno> {
    // SAFETY: it is plain data for which all zeroes is a valid value.
    let mut quota: libc::dqblk = unsafe { std::mem::zeroed() };
    // SAFETY: the command writes one `struct if_dqblk`.
    match unsafe { quotactl(file, Q_GETQUOTA, project, (&raw mut quota).cast()) } {
        Ok(()) => Ok(QuotaLimit { bytes: quota.dqb_curspace, inodes: quota.dqb_curinodes }),
        // xfs knows only what has been used.
        Err(Errno::NOENT) => Ok(QuotaLimit::default()),
        Err(errno) => Err(errno),
    }
}
