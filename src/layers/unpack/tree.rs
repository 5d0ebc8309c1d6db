//! The directory being filled, by descriptors: lookups that cannot leave it.

use crate::layers::{Marks, remove};
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat, XattrFlags, fsetxattr, mkdirat,
    mknodat, openat, openat2, statat, unlinkat,
};
use rustix::io::Errno;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

/// A directory and what may be done below it.
pub(super) struct Tree {
    root: Rc<OwnedFd>,
    marks: Marks,
    /// The directory of the last lookup: entries of one directory stand together.
    last: Option<(Vec<u8>, Rc<OwnedFd>)>,
    /// Directories made that no entry described; reset by whoever counts them.
    made: u64,
    /// Whether the kernel has `openat2`; without it no link at all is followed.
    resolves: bool,
}

impl Tree {
    pub(super) fn new(root: &Path, marks: Marks) -> Result<Self, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = openat(CWD, root, flags, Mode::empty())?;
        Ok(Self { root: Rc::new(root), marks, last: None, made: 0, resolves: true })
    }

    /// Opens the directory of this path (components joined by `/`, none of them `.` or `..`), and
    /// makes what is missing of it.
    pub(super) fn directory(&mut self, path: &[u8]) -> Result<Rc<OwnedFd>, Errno> {
        if path.is_empty() {
            return Ok(self.root.clone());
        }
        if let Some((last, directory)) = &self.last
            && last == path
        {
            return Ok(directory.clone());
        }
        let directory = match self.open_directory(path, OFlags::PATH) {
            Err(Errno::NOENT | Errno::NOTDIR) => self.make_directory(path)?,
            other => other?,
        };
        let directory = Rc::new(directory);
        self.last = Some((path.to_owned(), directory.clone()));
        Ok(directory)
    }

    /// As [`Tree::directory`], but nothing is made.
    pub(super) fn existing(&mut self, path: &[u8]) -> Result<Rc<OwnedFd>, Errno> {
        if path.is_empty() {
            return Ok(self.root.clone());
        }
        self.open_directory(path, OFlags::PATH).map(Rc::new)
    }

    /// A directory opened so that its attributes can be set.
    pub(super) fn readable(&mut self, path: &[u8]) -> Result<OwnedFd, Errno> {
        if path.is_empty() {
            return self.root.try_clone().map_err(|_| Errno::MFILE);
        }
        self.open_directory(path, OFlags::RDONLY)
    }

    /// Removes what stands at a name, trees included.
    pub(super) fn remove(&mut self, parent: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
        self.forget_last();
        remove::remove_at(parent.as_fd(), &c_name(name)?)
    }

    /// How many directories were made that no entry described, since this was last asked.
    pub(super) fn take_made(&mut self) -> u64 {
        std::mem::take(&mut self.made)
    }

    /// To be called when something makes way: the descriptor kept may be of a directory that goes
    /// now, or have been found through a link that does.
    pub(super) fn forget_last(&mut self) {
        self.last = None;
    }

    /// What stands at a name.
    pub(super) fn stat(parent: &OwnedFd, name: &[u8]) -> Result<Option<Stat>, Errno> {
        match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a directory at a name if none is there; what else is there makes way. One that
    /// stands where a whiteout stood is opaque.
    pub(super) fn put_directory(&mut self, parent: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
        let mut opaque = false;
        match Self::stat(parent, name)? {
            Some(stat) if is_directory(&stat) => return Ok(()),
            Some(stat) => {
                opaque = is_whiteout(&stat);
                self.remove(parent, name)?;
            }
            None => {}
        }
        mkdirat(parent, name, Mode::RWXU)?;
        if opaque { self.set_opaque_at(parent, name) } else { Ok(()) }
    }

    /// Says that this name of the layers below is gone. What this layer has at the name stays: a
    /// whiteout hides other layers' files only.
    pub(super) fn put_whiteout(&mut self, parent: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
        match Self::stat(parent, name)? {
            Some(stat) if is_directory(&stat) => self.set_opaque_at(parent, name),
            Some(_) => Ok(()),
            // Device 0:0 is no device: every user may make it (Linux 5.8).
            None => mknodat(parent, name, FileType::CharacterDevice, Mode::empty(), 0),
        }
    }

    /// Says that nothing of the layers below shows in a directory.
    pub(super) fn set_opaque(&self, directory: &OwnedFd) -> Result<(), Errno> {
        let name = match self.marks {
            Marks::Trusted => "trusted.overlay.opaque",
            Marks::User => "user.overlay.opaque",
        };
        fsetxattr(directory, name, b"y", XattrFlags::empty())
    }

    fn set_opaque_at(&self, parent: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        self.set_opaque(&openat(parent, name, flags, Mode::empty())?)
    }

    /// Opens a directory below the root. Links on the way are followed as if the root were `/`.
    fn open_directory(&mut self, path: &[u8], how: OFlags) -> Result<OwnedFd, Errno> {
        let flags = how | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        for _ in 0..16 {
            if !self.resolves {
                break;
            }
            match openat2(&*self.root, path, flags, Mode::empty(), resolve) {
                // A rename elsewhere on the machine came between.
                Err(Errno::AGAIN) => {}
                Err(Errno::NOSYS) => self.resolves = false,
                other => return other,
            }
        }
        if self.resolves {
            return Err(Errno::AGAIN);
        }
        let mut at = None;
        for name in path.split(|&byte| byte == b'/') {
            let parent = at.as_ref().unwrap_or(&*self.root);
            at = Some(openat(parent, name, flags | OFlags::NOFOLLOW, Mode::empty())?);
        }
        at.ok_or(Errno::NOENT)
    }

    /// Makes a directory and those it lies in.
    fn make_directory(&mut self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut at: Option<OwnedFd> = None;
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(end, _)| end);
        for end in ends.chain([path.len()]) {
            let (_, name) = split(&path[..end]);
            let parent = at.as_ref().unwrap_or(&*self.root);
            let next = match openat(parent, name, flags, Mode::empty()) {
                Err(Errno::NOENT) => make_below(parent, name, &mut self.made),
                // A link, which only the kernel may follow, a whiteout or a file.
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    match Self::stat(parent, name)?.filter(is_whiteout) {
                        Some(_) => self.replace_whiteout(parent, name),
                        // A link that leads nowhere is in the way.
                        None => self.open_directory(&path[..end], OFlags::PATH).map_err(|error| {
                            if error == Errno::NOENT { Errno::NOTDIR } else { error }
                        }),
                    }
                }
                other => other,
            };
            at = Some(next?);
        }
        at.ok_or(Errno::NOENT)
    }

    /// Makes a directory where a whiteout stood: nothing of the layers below shows in it.
    fn replace_whiteout(&self, parent: &OwnedFd, name: &[u8]) -> Result<OwnedFd, Errno> {
        unlinkat(parent, name, AtFlags::empty())?;
        let mut made = 0;
        let directory = make_below(parent, name, &mut made)?;
        self.set_opaque(&directory)?;
        Ok(directory)
    }
}

/// Makes a directory that no entry describes (yet).
fn make_below(parent: &OwnedFd, name: &[u8], made: &mut u64) -> Result<OwnedFd, Errno> {
    mkdirat(parent, name, Mode::RWXU)?;
    *made += 1;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = openat(parent, name, flags, Mode::empty())?;
    rustix::fs::fchmod(&directory, Mode::from_raw_mode(0o755))?;
    Ok(directory)
}

/// The directory part and the last component of a path.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (&[], path),
    }
}

pub(super) fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

/// Archives make no devices here, so every one is a whiteout of ours.
pub(super) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
}

fn c_name(name: &[u8]) -> Result<CString, Errno> {
    CString::new(name).map_err(|_| Errno::INVAL)
}
