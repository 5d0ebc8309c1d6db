//! Other users, in a sandbox that has none. An ordinary user without subordinate ids can map only
//! itself: no file can be given to anyone but root inside. Package managers do little else. So the
//! filter of system calls leaves these calls to pid 1, which checks that the file is there, writes
//! the owner on it (see [`crate::layers::owners`]), and lets the call succeed: an export of the
//! image then has the owners that the programs meant, though inside all is root's.
//!
//! Pid 1 has no more power over files than whoever asks: it is the same root. What it is told may
//! change while it looks, and then the answer is as good as one given a moment before.

use super::sys::{self, Call};
use crate::layers::owners;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Longest path the kernel takes, its NUL included.
const PATH_MAX: usize = 4096;

/// Answers the next call that waits.
pub(super) fn answer(listener: &OwnedFd) {
    // Whoever is gone needs no answer.
    let Ok(call) = sys::next_call(listener.as_fd()) else { return };
    let still_there = || sys::still_waits(listener.as_fd(), &call);
    let result = match Wish::of(&call) {
        Some(wish) => wish.grant(call.pid, still_there),
        None => Err(Errno::NOSYS),
    };
    let result = match result {
        // Not for want of the file, but of a way to look at it or to write on it.
        Err(
            Errno::LOOP
            | Errno::XDEV
            | Errno::ACCESS
            | Errno::PERM
            | Errno::OPNOTSUPP
            | Errno::NOSPC
            | Errno::DQUOT
            | Errno::SRCH
            | Errno::IO
            | Errno::AGAIN,
        ) => Ok(()),
        other => other,
    };
    sys::answer_call(listener.as_fd(), &call, result);
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Wish {
    /// The directory a relative path is meant from, or the file itself; `AT_FDCWD`.
    at: i32,
    /// Where the path is in memory; `None`: `at` is meant.
    path: Option<u64>,
    flags: AtFlags,
    what: What,
}

#[derive(Debug, PartialEq, Eq)]
enum What {
    Owner { user: u32, group: u32 },
    Node { mode: u32 },
}

impl Wish {
    #[expect(clippy::cast_possible_truncation, reason = "the kernel looks at 32 bits of these")]
    fn of(call: &Call) -> Option<Self> {
        let [a, b, c, d, e, _] = call.arguments;
        let low = |value: u64| value as u32;
        let fd = |value: u64| low(value).cast_signed();
        let owner = |at, path, (user, group), flags| Self {
            at,
            path,
            flags,
            what: What::Owner { user: low(user), group: low(group) },
        };
        let node = |at, path, mode| Self {
            at,
            path: Some(path),
            flags: AtFlags::empty(),
            what: What::Node { mode: low(mode) },
        };
        let here = libc::AT_FDCWD;
        match call.number {
            #[cfg(target_arch = "x86_64")]
            libc::SYS_chown => Some(owner(here, Some(a), (b, c), AtFlags::empty())),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_lchown => Some(owner(here, Some(a), (b, c), AtFlags::SYMLINK_NOFOLLOW)),
            libc::SYS_fchown => Some(owner(fd(a), None, (b, c), AtFlags::empty())),
            libc::SYS_fchownat => {
                let flags = AtFlags::from_bits_retain(low(e));
                Some(owner(fd(a), Some(b), (c, d), flags))
            }
            #[cfg(target_arch = "x86_64")]
            libc::SYS_mknod => Some(node(here, a, b)),
            libc::SYS_mknodat => Some(node(fd(a), b, c)),
            _ => None,
        }
    }

    fn grant(&self, pid: u32, still_there: impl Fn() -> bool) -> Result<(), Errno> {
        let asker = Asker { pid };
        let path = self.path.map(|address| asker.read_path(address)).transpose()?;
        match self.what {
            What::Owner { user, group } => {
                let file = match path {
                    Some(path) => asker.open(self.at, &path, self.flags)?,
                    None => asker.descriptor(self.at)?,
                };
                if still_there() { give(&file, user, group) } else { Ok(()) }
            }
            What::Node { mode } => {
                let path = path.ok_or(Errno::INVAL)?;
                let name = path.file_name().ok_or(Errno::EXIST)?;
                let parent = match path.parent() {
                    Some(parent) if parent != Path::new("") => parent,
                    _ => Path::new("."),
                };
                let parent = asker.open(self.at, parent, AtFlags::empty())?;
                if still_there() { stand_in(&parent, name, mode) } else { Ok(()) }
            }
        }
    }
}

/// Whoever made the call.
struct Asker {
    pid: u32,
}

impl Asker {
    fn proc(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.pid)
    }

    fn read_path(&self, address: u64) -> Result<PathBuf, Errno> {
        let errno = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
        let memory = fs_err::File::open(self.proc("mem")).map_err(errno)?;
        let mut bytes = vec![0; PATH_MAX];
        // It ends early where the memory does.
        let read = memory.file().read_at(&mut bytes, address).map_err(|_| Errno::FAULT)?;
        bytes.truncate(read);
        let end = bytes.iter().position(|&byte| byte == 0);
        bytes.truncate(end.ok_or(if read < PATH_MAX {
            Errno::FAULT
        } else {
            Errno::NAMETOOLONG
        })?);
        Ok(PathBuf::from(OsStr::from_bytes(&bytes)))
    }

    /// Where one of its descriptors, or its working directory, leads.
    fn link(&self, at: i32) -> Result<String, Errno> {
        match at {
            libc::AT_FDCWD => Ok(self.proc("cwd")),
            0.. => Ok(self.proc(&format!("fd/{at}"))),
            _ => Err(Errno::BADF),
        }
    }

    fn descriptor(&self, at: i32) -> Result<OwnedFd, Errno> {
        match openat(CWD, self.link(at)?, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
            Err(Errno::NOENT) => Err(Errno::BADF),
            other => other,
        }
    }

    /// Opens a path as it means it.
    fn open(&self, at: i32, path: &Path, flags: AtFlags) -> Result<OwnedFd, Errno> {
        if path == Path::new("") {
            return match flags.contains(AtFlags::EMPTY_PATH) {
                true => self.descriptor(at),
                false => Err(Errno::NOENT),
            };
        }
        let mut how = OFlags::PATH | OFlags::CLOEXEC;
        if flags.contains(AtFlags::SYMLINK_NOFOLLOW) {
            how |= OFlags::NOFOLLOW;
        }
        let open = |at: &OwnedFd, path: &Path, resolve: ResolveFlags| {
            openat2(at, path, how, Mode::empty(), resolve | ResolveFlags::NO_MAGICLINKS)
        };
        let root = openat(CWD, self.proc("root"), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        if path.is_absolute() {
            return open(&root, path, ResolveFlags::IN_ROOT);
        }
        let base = self.descriptor(at)?;
        if is_own_root(&root)? {
            return open(&base, path, ResolveFlags::empty());
        }
        // It has another root, beyond which no link leads it.
        let read = |link: String| {
            let target = rustix::fs::readlink(link, Vec::new())?;
            Ok::<_, Errno>(PathBuf::from(OsStr::from_bytes(target.as_bytes())))
        };
        let (base, top) = (read(self.link(at)?)?, read(self.proc("root"))?);
        let below = base.strip_prefix(&top).map_err(|_| Errno::XDEV)?;
        open(&root, &below.join(path), ResolveFlags::IN_ROOT)
    }
}

fn is_own_root(root: &OwnedFd) -> Result<bool, Errno> {
    let (theirs, ours) = (rustix::fs::fstat(root)?, rustix::fs::stat("/")?);
    Ok((theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino))
}

/// Writes an owner on a file or directory. Nothing else can have one, and need not.
fn give(file: &OwnedFd, user: u32, group: u32) -> Result<(), Errno> {
    let stat = rustix::fs::fstat(file)?;
    let mut mode = stat.st_mode;
    let kind = FileType::from_raw_mode(mode);
    if !matches!(kind, FileType::RegularFile | FileType::Directory) {
        return Ok(());
    }
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    if kind == FileType::RegularFile && mode & 0o111 != 0 && mode & 0o6000 != 0 {
        // As the kernel does: a program set to run as its owner must not do so as another.
        mode &= !0o6000;
        rustix::fs::chmod(&path, Mode::from_raw_mode(mode & 0o7777))?;
    }
    owners::give(Path::new(&path), mode, user, group)
}

/// A plain file in the place of a device node, so that what is done with its name goes on well.
fn stand_in(parent: &OwnedFd, name: &OsStr, mode: u32) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let at = format!("/proc/self/fd/{}", parent.as_raw_fd());
    let at = openat(CWD, at, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    openat(&at, name, flags, Mode::from_raw_mode(mode & 0o777)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(number: i64, arguments: [u64; 6]) -> Option<Wish> {
        Wish::of(&Call::made_up(number, arguments))
    }

    #[test]
    fn calls_are_understood_by_their_low_bits() {
        let high = 0xdead_beef_0000_0000;
        let wish = call(libc::SYS_fchownat, [high | 7, 99, high | 33, high | 34, 0x100, 0]);
        let what = What::Owner { user: 33, group: 34 };
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        assert_eq!(wish, Some(Wish { at: 7, path: Some(99), flags, what }));
        let minus_one = u64::from(u32::MAX);
        let wish = call(libc::SYS_fchown, [3, minus_one, 5, 1, 2, 3]).unwrap();
        assert_eq!((wish.at, wish.path), (3, None));
        assert_eq!(wish.what, What::Owner { user: u32::MAX, group: 5 });
        let here = (-100_i64).cast_unsigned();
        let wish = call(libc::SYS_mknodat, [here, 8, 0o20666, 0, 0, 0]).unwrap();
        assert_eq!((wish.at, wish.what), (libc::AT_FDCWD, What::Node { mode: 0o20666 }));
        assert_eq!(call(libc::SYS_read, [0; 6]), None);
    }

    #[test]
    fn paths_are_read_from_the_memory_of_whoever_asks() {
        let asker = Asker { pid: std::process::id() };
        let text = c"/some/where".to_owned();
        let path = asker.read_path(text.as_ptr() as u64).unwrap();
        assert_eq!(path, Path::new("/some/where"));
        assert_eq!(asker.read_path(8), Err(Errno::FAULT));
        let long = vec![b'x'; 2 * PATH_MAX];
        assert_eq!(asker.read_path(long.as_ptr() as u64), Err(Errno::NAMETOOLONG));
    }

    #[test]
    fn files_are_found_as_they_are_meant() {
        let asker = Asker { pid: std::process::id() };
        let temporary = tempfile::tempdir_in(".").unwrap();
        let file = temporary.path().join("file");
        fs_err::write(&file, "x").unwrap();
        fs_err::os::unix::fs::symlink("file", temporary.path().join("link")).unwrap();
        let inode = |found: &OwnedFd| rustix::fs::fstat(found).unwrap().st_ino;
        let wanted = rustix::fs::stat(&file).unwrap().st_ino;
        let absolute = std::path::absolute(&file).unwrap();
        let at = libc::AT_FDCWD;
        let open = |at, path: &Path, flags| asker.open(at, path, flags);
        let directory = fs_err::File::open(temporary.path()).unwrap();
        let there = directory.as_raw_fd();
        let (follow, stay) = (AtFlags::empty(), AtFlags::SYMLINK_NOFOLLOW);
        assert_eq!(inode(&open(at, &absolute, follow).unwrap()), wanted);
        assert_eq!(inode(&open(at, &file, follow).unwrap()), wanted);
        assert_eq!(inode(&open(there, Path::new("link"), follow).unwrap()), wanted);
        assert_ne!(inode(&open(there, Path::new("link"), stay).unwrap()), wanted);
        let missing = open(there, Path::new("missing"), follow);
        assert_eq!(missing.unwrap_err(), Errno::NOENT);
        assert_eq!(open(there, Path::new(""), follow).unwrap_err(), Errno::NOENT);
        open(there, Path::new(""), AtFlags::EMPTY_PATH).unwrap();
        assert_eq!(asker.descriptor(1 << 20).unwrap_err(), Errno::BADF);
        assert_eq!(asker.descriptor(-5).unwrap_err(), Errno::BADF);
    }

    #[test]
    fn a_stand_in_takes_a_nodes_place() {
        let temporary = tempfile::tempdir_in(".").unwrap();
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let parent = openat(CWD, temporary.path(), flags, Mode::empty()).unwrap();
        stand_in(&parent, OsStr::new("null"), libc::S_IFCHR | 0o600).unwrap();
        assert!(fs_err::metadata(temporary.path().join("null")).unwrap().is_file());
        let again = stand_in(&parent, OsStr::new("null"), libc::S_IFCHR | 0o600);
        assert_eq!(again, Err(Errno::EXIST));
    }
}
