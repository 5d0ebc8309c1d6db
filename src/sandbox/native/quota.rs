//! How much sandboxes may write to disk, limited by the file system itself: every sandbox's
//! directory is a project of its own with a quota. Only the machine's root can set one, and only
//! where the file system was mounted to keep them (ext4 or xfs with `prjquota`).

use super::sys::{self, QuotaLimit};
use crate::sandbox::SandboxError;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

/// Projects of ours are numbered from here: far from those that people number by hand.
const FIRST: u32 = 0x4000_0000;
/// How many numbers there are. One is drawn by lot, and another if somebody has files of it.
const NUMBERS: u32 = 0x3fff_ffff;
/// How often a number is drawn.
const DRAWS: usize = 64;
/// A quota with less than this left has been met: writing goes by blocks, and takes some for itself.
const REST: u64 = 64 << 10;

/// The quotas of a file system.
pub(super) struct Quotas {
    /// A directory on it.
    directory: Arc<OwnedFd>,
}

/// The project of one sandbox. What it wrote may outlive it as a layer: the limit ends with this,
/// and the number is not used again while there are files of it.
pub(super) struct Project {
    directory: Arc<OwnedFd>,
    number: u32,
    limit: QuotaLimit,
}

impl Quotas {
    /// Those of the file system that `directory` is on; an error says why they are of no use.
    pub(super) fn find(directory: &Path) -> Result<Self, &'static str> {
        let directory = open_directory(directory).map_err(|_| "its directory cannot be opened")?;
        if !rustix::process::geteuid().is_root() {
            return Err("only root can set one");
        }
        match sys::enforces_project_quota(directory.as_fd()) {
            Ok(true) => Ok(Self { directory: Arc::new(directory) }),
            Ok(false) => Err("the file system counts projects but does not limit them"),
            Err(_) => Err("the file system was not mounted with prjquota"),
        }
    }

    /// Makes an empty directory a project that can take `bytes`; what comes to be in it belongs to
    /// the same.
    pub(super) fn assign(&self, directory: &Path, bytes: u64) -> Result<Project, SandboxError> {
        let step = |errno: Errno| SandboxError::step("set a disk quota")(errno.into());
        let limit = QuotaLimit { bytes, inodes: inodes(bytes) };
        let number = self.free_number().map_err(step)?;
        let project = Project { directory: self.directory.clone(), number, limit };
        sys::set_project_quota(self.directory.as_fd(), number, &limit).map_err(step)?;
        let opened = open_directory(directory).map_err(step)?;
        sys::set_project(opened.as_fd(), number).map_err(step)?;
        Ok(project)
    }

    fn free_number(&self) -> Result<u32, Errno> {
        for _ in 0..DRAWS {
            let number = FIRST + rand::random::<u32>() % NUMBERS;
            let used = sys::project_usage(self.directory.as_fd(), number)?;
            if used.bytes == 0 && used.inodes == 0 {
                return Ok(number);
            }
        }
        Err(Errno::BUSY)
    }
}

impl Project {
    /// Whether next to nothing is left of it.
    pub(super) fn is_full(&self) -> bool {
        sys::project_usage(self.directory.as_fd(), self.number).is_ok_and(|used| {
            used.bytes + REST > self.limit.bytes || used.inodes >= self.limit.inodes
        })
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        // Without a limit and without files the file system forgets it.
        let none = QuotaLimit { bytes: 0, inodes: 0 };
        let _ = sys::set_project_quota(self.directory.as_fd(), self.number, &none);
    }
}

/// Takes away the limit that a sandbox's directory was given by a process that is no more.
pub(super) fn lift(directory: &Path) {
    let Ok(directory) = open_directory(directory) else { return };
    if let Ok(number) = sys::project_of(directory.as_fd())
        && (FIRST..FIRST + NUMBERS).contains(&number)
    {
        let none = QuotaLimit { bytes: 0, inodes: 0 };
        let _ = sys::set_project_quota(directory.as_fd(), number, &none);
    }
}

/// How many files may come of that many bytes.
pub(super) fn inodes(bytes: u64) -> u64 {
    (bytes / 4096).max(FEWEST_INODES)
}

/// So many files are allowed however little may be written: directories take one each.
const FEWEST_INODES: u64 = 16 << 10;

fn open_directory(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    open(path, flags, Mode::empty())
}
