//! A copy of what a sandbox wrote, with all that overlayfs and programs go by: owners, modes, times,
//! attributes, hard links, holes, special files, whiteouts.
//!
//! The tree was made by whoever is not trusted. Nothing is reached by a path that could be another's
//! by the time it is used: each directory is opened in its parent, and no link is followed.

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, SeekFrom, Stat, Timespec, Timestamps, Uid, chmodat,
    chownat, copy_file_range, fchmod, fchown, fstat, ftruncate, futimens, linkat, mkdirat, mknodat,
    open, openat, readlinkat, seek, statat, symlinkat, utimensat,
};
use rustix::io::{Errno, pread, pwrite};
use std::collections::HashMap;
use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use xattr::FileExt as _;

/// Bytes that one call copies at most.
const CHUNK: u64 = 16 << 20;

/// Copies what is in one directory to another, which is there and empty, and its own attributes.
/// Owners lose `shift`.
pub(super) fn copy_tree(from: &Path, to: &Path, shift: u32) -> io::Result<()> {
    let from = open(from, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let to = open(to, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let root = to.try_clone()?;
    let stat = unshifted(fstat(&from)?, shift);
    let mut copier = Copier { root, links: HashMap::new(), reflinks: true, shift };
    let mut levels = vec![Level::new(from, to, stat, PathBuf::new())?];
    while let Some(level) = levels.last_mut() {
        let Some(name) = level.entries.pop() else {
            let done = levels.pop().expect("there is a last one");
            // At the end: what is made in a directory changes its times.
            done.finish()?;
            continue;
        };
        let below = level.path.join(OsStr::from_bytes(name.to_bytes()));
        let entered = copier.entry(level, &name, &below).map_err(|errno| named(errno, &below))?;
        levels.extend(entered);
    }
    Ok(())
}

fn named(error: io::Error, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("/{}: {error}", path.display()))
}

/// A directory that is being copied.
struct Level {
    from: OwnedFd,
    to: OwnedFd,
    stat: Stat,
    /// What is still to be copied.
    entries: Vec<CString>,
    /// Where it is in the tree.
    path: PathBuf,
}

impl Level {
    fn new(from: OwnedFd, to: OwnedFd, stat: Stat, path: PathBuf) -> io::Result<Self> {
        let mut entries = Vec::new();
        for entry in Dir::read_from(&from)? {
            let entry = entry?;
            if entry.file_name() != c"." && entry.file_name() != c".." {
                entries.push(entry.file_name().to_owned());
            }
        }
        Ok(Self { from, to, stat, entries, path })
    }

    fn finish(self) -> io::Result<()> {
        let copied = || {
            let (from, to) = (File::from(self.from), File::from(self.to));
            may_fail_for_a_user(fchown(
                &to,
                Some(user_of(&self.stat)),
                Some(group_of(&self.stat)),
            ))?;
            fchmod(&to, mode_of(&self.stat))?;
            for name in from.list_xattr()? {
                if let Some(value) = from.get_xattr(&name)? {
                    to.set_xattr(&name, &value)?;
                }
            }
            Ok(futimens(&to, &times_of(&self.stat))?)
        };
        copied().map_err(|error| named(error, &self.path))
    }
}

struct Copier {
    /// The top of the copy.
    root: OwnedFd,
    /// Where the first name of a file with several is in the copy.
    links: HashMap<(u64, u64), PathBuf>,
    /// Content can be shared instead of copied, as far as is known.
    reflinks: bool,
    /// Owners are those to be written down plus this much.
    shift: u32,
}

impl Copier {
    /// Copies one entry; a directory is returned, to be entered.
    fn entry(&mut self, at: &Level, name: &CStr, path: &Path) -> io::Result<Option<Level>> {
        let stat = statat(&at.from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let stat = unshifted(stat, self.shift);
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Directory {
            let from = open_readable(&at.from, name, &stat, OFlags::DIRECTORY)?;
            mkdirat(&at.to, name, Mode::RWXU)?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let to = openat(&at.to, name, flags, Mode::empty())?;
            return Level::new(from, to, stat, path.to_owned()).map(Some);
        }
        if stat.st_nlink > 1 {
            let id = (stat.st_dev, stat.st_ino);
            if let Some(first) = self.links.get(&id) {
                match linkat(&self.root, first, &at.to, name, AtFlags::empty()) {
                    // So deep that no path leads there: a file of its own.
                    Err(Errno::NAMETOOLONG) => {}
                    other => return Ok(other.map(|()| None)?),
                }
            } else {
                self.links.insert(id, path.to_owned());
            }
        }
        match kind {
            FileType::RegularFile => self.file(at, name, &stat)?,
            FileType::Symlink => {
                symlinkat(readlinkat(&at.from, name, Vec::new())?, &at.to, name)?;
            }
            kind => mknodat(&at.to, name, kind, mode_of(&stat), stat.st_rdev)?,
        }
        copy_attributes(at, name, &stat)?;
        Ok(None)
    }

    fn file(&mut self, at: &Level, name: &CStr, stat: &Stat) -> io::Result<()> {
        let from = open_readable(&at.from, name, stat, OFlags::NONBLOCK)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let to = openat(&at.to, name, flags, Mode::RUSR | Mode::WUSR)?;
        if self.reflinks && stat.st_size > 0 {
            match rustix::fs::ioctl_ficlone(&to, &from) {
                Ok(()) => return Ok(()),
                // Not on this file system, or not between these two.
                Err(_) => self.reflinks = false,
            }
        }
        let size = stat.st_size.unsigned_abs();
        ftruncate(&to, size)?;
        let mut at = 0;
        while at < size {
            // Holes stay holes.
            let start = match seek(&from, SeekFrom::Data(at)) {
                Ok(start) => start,
                Err(Errno::NXIO) => break,
                Err(errno) => return Err(errno.into()),
            };
            let end = seek(&from, SeekFrom::Hole(start))?.min(size);
            copy_range(&from, &to, start, end)?;
            at = end.max(start + 1);
        }
        Ok(())
    }
}

/// Opens what is to be read. An ordinary user's own files may be closed to that user, who then opens
/// them up for a moment: nothing runs inside that could see it.
fn open_readable(at: &OwnedFd, name: &CStr, stat: &Stat, more: OFlags) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | more;
    match openat(at, name, flags, Mode::empty()) {
        Err(Errno::ACCESS) => {}
        other => return other,
    }
    chmodat(at, name, mode_of(stat) | Mode::RWXU, AtFlags::empty())?;
    let opened = openat(at, name, flags, Mode::empty());
    chmodat(at, name, mode_of(stat), AtFlags::empty())?;
    opened
}

/// Copies content between these offsets, inside the kernel where it can.
fn copy_range(from: &OwnedFd, to: &OwnedFd, start: u64, end: u64) -> io::Result<()> {
    let (mut read_at, mut write_at) = (start, start);
    while read_at < end {
        let length = usize::try_from((end - read_at).min(CHUNK)).unwrap_or(usize::MAX);
        match copy_file_range(from, Some(&mut read_at), to, Some(&mut write_at), length) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => {
                return copy_by_hand(from, to, read_at, end);
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

fn copy_by_hand(from: &OwnedFd, to: &OwnedFd, mut at: u64, end: u64) -> io::Result<()> {
    let mut buffer = vec![0; 128 << 10];
    while at < end {
        let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
        let read = pread(from, &mut buffer[..length], at)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut rest = &buffer[..read];
        while !rest.is_empty() {
            let written = pwrite(to, rest, at)?;
            at += written as u64;
            rest = &rest[written..];
        }
    }
    Ok(())
}

/// Copies what is said of an entry that is no directory.
fn copy_attributes(at: &Level, name: &CStr, stat: &Stat) -> io::Result<()> {
    let owned = (Some(user_of(stat)), Some(group_of(stat)));
    may_fail_for_a_user(chownat(&at.to, name, owned.0, owned.1, AtFlags::SYMLINK_NOFOLLOW))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        // After the owner: a change of owner takes set-user-id away.
        chmodat(&at.to, name, mode_of(stat), AtFlags::empty())?;
    }
    let inside = |directory: &OwnedFd| {
        let path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
        path.join(OsStr::from_bytes(name.to_bytes()))
    };
    let (from, to) = (inside(&at.from), inside(&at.to));
    for attribute in xattr::list(&from)? {
        if let Some(value) = xattr::get(&from, &attribute)? {
            xattr::set(&to, &attribute, &value)?;
        }
    }
    Ok(utimensat(&at.to, name, &times_of(stat), AtFlags::SYMLINK_NOFOLLOW)?)
}

/// An ordinary user's files are all that user's.
fn may_fail_for_a_user(result: Result<(), Errno>) -> io::Result<()> {
    match result {
        Err(Errno::PERM) if !rustix::process::geteuid().is_root() => Ok(()),
        other => Ok(other?),
    }
}

/// What is known of a file, with the owners it has inside.
fn unshifted(mut stat: Stat, shift: u32) -> Stat {
    for id in [&mut stat.st_uid, &mut stat.st_gid] {
        *id = id.checked_sub(shift).unwrap_or(*id);
    }
    stat
}

fn user_of(stat: &Stat) -> Uid {
    Uid::from_raw(stat.st_uid)
}

fn group_of(stat: &Stat) -> Gid {
    Gid::from_raw(stat.st_gid)
}

fn mode_of(stat: &Stat) -> Mode {
    Mode::from_raw_mode(stat.st_mode & 0o7777)
}

fn times_of(stat: &Stat) -> Timestamps {
    let time = |seconds: i64, nanoseconds: u64| Timespec {
        tv_sec: seconds,
        tv_nsec: i64::try_from(nanoseconds).unwrap_or(0),
    };
    Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fs_err::os::unix::fs::symlink;
    use rustix::fs::CWD;
    use std::os::unix::fs::{FileExt as _, MetadataExt as _};

    fn folders() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let temporary = tempfile::tempdir().unwrap();
        let (from, to) = (temporary.path().join("from"), temporary.path().join("to"));
        fs_err::create_dir(&from).unwrap();
        fs_err::create_dir(&to).unwrap();
        (temporary, from, to)
    }

    #[test]
    fn a_tree_is_copied_with_links_modes_and_attributes() {
        let (_temporary, from, to) = folders();
        fs_err::create_dir_all(from.join("a/b")).unwrap();
        fs_err::write(from.join("a/file"), "text").unwrap();
        rustix::fs::chmod(from.join("a/file"), Mode::from_raw_mode(0o4751)).unwrap();
        fs_err::hard_link(from.join("a/file"), from.join("a/b/other")).unwrap();
        symlink("nowhere", from.join("link")).unwrap();
        for (name, kind) in [
            ("gone", FileType::CharacterDevice),
            ("pipe", FileType::Fifo),
            ("socket", FileType::Socket),
        ] {
            mknodat(CWD, from.join(name), kind, Mode::RUSR, 0).unwrap();
        }
        xattr::set(from.join("a"), "user.overlay.opaque", b"y").unwrap();
        copy_tree(&from, &to, 0).unwrap();
        let file = fs_err::metadata(to.join("a/file")).unwrap();
        assert_eq!(file.mode() & 0o7777, 0o4751);
        assert_eq!(file.ino(), fs_err::metadata(to.join("a/b/other")).unwrap().ino());
        assert_eq!(fs_err::read_link(to.join("link")).unwrap(), Path::new("nowhere"));
        for name in ["gone", "pipe", "socket"] {
            let about = |root: &Path| fs_err::symlink_metadata(root.join(name)).unwrap();
            assert_eq!(about(&from).mode(), about(&to).mode(), "{name}");
            assert_eq!(about(&to).rdev(), 0);
        }
        assert_eq!(xattr::get(to.join("a"), "user.overlay.opaque").unwrap().unwrap(), b"y");
        let times = |path: &Path| fs_err::metadata(path).unwrap().mtime_nsec();
        assert_eq!(times(&from.join("a")), times(&to.join("a")));
        assert_eq!(times(&from), times(&to));
    }

    #[test]
    fn holes_stay_holes_and_what_is_between_them_is_there() {
        let (_temporary, from, to) = folders();
        let file = fs_err::File::create(from.join("sparse")).unwrap();
        let file = file.into_parts().0;
        let text = vec![b'x'; 10_000];
        for at in [1 << 20, 9 << 20, 3 << 30] {
            file.write_all_at(&text, at).unwrap();
        }
        file.set_len(4 << 30).unwrap();
        copy_tree(&from, &to, 0).unwrap();
        let copy = fs_err::File::open(to.join("sparse")).unwrap().into_parts().0;
        let about = copy.metadata().unwrap();
        assert_eq!(about.len(), 4 << 30);
        assert!(about.blocks() * 512 < 1 << 20, "{} blocks", about.blocks());
        for at in [1 << 20, 9 << 20, 3 << 30] {
            let mut read = vec![0; text.len() + 1];
            copy.read_exact_at(&mut read, at).unwrap();
            assert!(read.starts_with(&text) && read.ends_with(&[0]));
        }
    }

    #[test]
    fn deep_trees_and_closed_files_are_copied() {
        let (temporary, from, to) = folders();
        let mut at = open(&from, OFlags::PATH, Mode::empty()).unwrap();
        for _ in 0..400 {
            mkdirat(&at, "a-rather-long-name", Mode::RWXU).unwrap();
            at = openat(&at, "a-rather-long-name", OFlags::PATH, Mode::empty()).unwrap();
        }
        let write = OFlags::CREATE | OFlags::WRONLY;
        drop(openat(&at, "first", write, Mode::RUSR).unwrap());
        linkat(&at, "first", &at, "second", AtFlags::empty()).unwrap();
        fs_err::write(from.join("closed"), "text").unwrap();
        rustix::fs::chmod(from.join("closed"), Mode::empty()).unwrap();
        copy_tree(&from, &to, 0).unwrap();
        assert_eq!(fs_err::metadata(to.join("closed")).unwrap().mode() & 0o7777, 0);
        let mut at = open(&to, OFlags::PATH, Mode::empty()).unwrap();
        for _ in 0..400 {
            at = openat(&at, "a-rather-long-name", OFlags::PATH, Mode::empty()).unwrap();
        }
        assert!(statat(&at, "second", AtFlags::empty()).is_ok());
        // What made it cannot remove it: paths are too long for that.
        crate::layers::remove_tree(&temporary.path().join("from")).unwrap();
        crate::layers::remove_tree(&temporary.path().join("to")).unwrap();
    }
}
