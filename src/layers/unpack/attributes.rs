//! Owners, modes, times and extended attributes of what is unpacked.

use super::entry::Entry;
use crate::layers::owners::{ATTRIBUTE, to_attribute};
use rustix::fs::{
    FileType, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags, fchmod, fchown,
    fsetxattr, futimens,
};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::os::fd::BorrowedFd;

/// What becomes of the owners that a stream states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owners {
    /// Files get them: needs root.
    Apply,
    /// Files belong to whoever unpacks, who can read and remove them whatever their mode; true
    /// owners and modes are returned.
    Record,
}

/// The true owner and mode of a file that has another on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
}

/// The name and the value of an extended attribute.
pub(crate) type Xattr = (Vec<u8>, Vec<u8>);

/// Attributes of one entry that are set once it is made.
#[derive(Clone, Debug)]
pub(super) struct Attributes {
    pub(super) owner: Owner,
    pub(super) mtime: (i64, u32),
    pub(super) xattrs: Vec<Xattr>,
}

impl Attributes {
    /// Those of an entry; also how many of its extended attributes are left out.
    pub(super) fn of(entry: &Entry) -> (Self, u64) {
        let all = entry.xattrs.len();
        let xattrs: Vec<_> =
            entry.xattrs.iter().filter(|(name, _)| is_portable(name)).cloned().collect();
        let left_out = (all - xattrs.len()) as u64;
        let owner = Owner { uid: id(entry.uid), gid: id(entry.gid), mode: entry.mode };
        (Self { owner, mtime: entry.mtime, xattrs }, left_out)
    }

    /// Sets them on an open file or directory. Returns how many extended attributes could not be
    /// set because this machine, or this user, cannot have them.
    pub(super) fn apply(
        &self,
        file: BorrowedFd<'_>,
        owners: Owners,
        directory: bool,
    ) -> Result<u64, Errno> {
        let mut mode = self.owner.mode;
        match owners {
            // Before the mode: a change of owner clears the set-id bits.
            Owners::Apply => fchown(file, Some(self.uid()), Some(self.gid()))?,
            Owners::Record => mode |= if directory { 0o700 } else { 0o600 },
        }
        fchmod(file, Mode::from_raw_mode(mode))?;
        if owners == Owners::Record {
            self.carry(file, mode, directory)?;
        }
        let mut left_out = 0;
        for (name, value) in &self.xattrs {
            match fsetxattr(file, name.as_slice(), value, XattrFlags::empty()) {
                Ok(()) => {}
                Err(
                    Errno::OPNOTSUPP
                    | Errno::PERM
                    | Errno::ACCESS
                    | Errno::NOSPC
                    | Errno::TOOBIG
                    | Errno::RANGE
                    | Errno::INVAL,
                ) => left_out += 1,
                Err(error) => return Err(error),
            }
        }
        futimens(file, &self.times())?;
        Ok(left_out)
    }

    /// Writes the owner on the file itself: beside the layer it would be lost when an overlay
    /// copies the file up.
    fn carry(&self, file: BorrowedFd<'_>, mode: u32, directory: bool) -> Result<(), Errno> {
        let kind = if directory { FileType::Directory } else { FileType::RegularFile };
        let Some(value) = to_attribute(self.owner, kind.as_raw_mode() | mode) else {
            return Ok(());
        };
        match fsetxattr(file, ATTRIBUTE, value.as_bytes(), XattrFlags::empty()) {
            // Then only what is written down beside the layer knows.
            Err(Errno::OPNOTSUPP | Errno::PERM | Errno::NOSPC) => Ok(()),
            other => other,
        }
    }

    pub(super) fn uid(&self) -> Uid {
        Uid::from_raw(self.owner.uid)
    }

    pub(super) fn gid(&self) -> Gid {
        Gid::from_raw(self.owner.gid)
    }

    /// The time of the last change, for both.
    pub(super) fn times(&self) -> Timestamps {
        let (seconds, nanoseconds) = self.mtime;
        let last_modification = Timespec { tv_sec: seconds, tv_nsec: i64::from(nanoseconds) };
        Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, last_modification }
    }
}

/// An id as the system has them; one that no system has is nobody's.
fn id(id: u64) -> u32 {
    u32::try_from(id).ok().filter(|&id| id != u32::MAX).unwrap_or(65534)
}

/// Whether an attribute may come from an archive. `trusted.*` and `user.overlay.*` steer
/// overlayfs (redirects, whiteouts) and are this store's alone, as is the owner that a file carries;
/// labels are the machine's.
pub(crate) fn is_portable(name: &[u8]) -> bool {
    if name.starts_with(b"user.overlay.") || name == ATTRIBUTE.as_bytes() {
        return false;
    }
    name.starts_with(b"user.")
        || name == b"security.capability"
        || name == b"system.posix_acl_access"
        || name == b"system.posix_acl_default"
}

#[cfg(test)]
mod tests {
    use super::{id, is_portable};

    #[test]
    fn what_steers_overlayfs_never_comes_from_an_archive() {
        for name in
            ["trusted.overlay.redirect", "user.overlay.opaque", "trusted.x", "security.selinux"]
        {
            assert!(!is_portable(name.as_bytes()), "{name}");
        }
        assert!(is_portable(b"user.comment") && is_portable(b"security.capability"));
    }

    #[test]
    fn ids_of_any_size_are_ids() {
        assert_eq!(id(70_000), 70_000);
        assert_eq!(id(u64::from(u32::MAX)), 65534);
        assert_eq!(id(1 << 40), 65534);
    }
}
