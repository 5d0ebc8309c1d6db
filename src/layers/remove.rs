//! Removal of trees that untrusted programs made: any depth, any permission bits.

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, chmodat, openat, renameat, statat, unlinkat,
};
use rustix::io::Errno;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Directories held open at once; what lies deeper is first moved up.
const MAX_DEPTH: usize = 64;

/// Removes a file or a whole tree. No symbolic link is followed, directories without permissions
/// are opened up first, and depth has no bound. Nothing there: nothing to do.
///
/// # Errors
/// What the system said, with the path.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    let name = match path.file_name() {
        Some(name) => CString::new(name.as_encoded_bytes()).map_err(io::Error::other)?,
        None => return Err(io::Error::other("a tree to remove must have a name")),
    };
    let parent = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let named = |error: Errno| {
        let error = io::Error::from(error);
        io::Error::new(error.kind(), format!("remove {}: {error}", path.display()))
    };
    match openat(CWD, parent, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(parent) => remove_at(parent.as_fd(), &name).map_err(named),
        Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(named(error)),
    }
}

/// Removes `name` in the directory `parent`, with all below it.
pub(super) fn remove_at(parent: BorrowedFd<'_>, name: &CString) -> Result<(), Errno> {
    match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {}
        Ok(_) => return ignore_missing(unlinkat(parent, name, AtFlags::empty())),
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error),
    }
    let top = open_directory(parent, name)?;
    loop {
        let mut moved = 0;
        empty_directory(&top, &top, 0, &mut moved)?;
        if moved == 0 {
            break;
        }
    }
    drop(top);
    ignore_missing(unlinkat(parent, name, AtFlags::REMOVEDIR))
}

/// Empties `directory`. Directories below [`MAX_DEPTH`] are moved to `top`, counted in `moved`.
fn empty_directory(
    directory: &OwnedFd,
    top: &OwnedFd,
    depth: usize,
    moved: &mut u64,
) -> Result<(), Errno> {
    let mut directories = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let is_directory = match entry.file_type() {
            FileType::Directory => true,
            FileType::Unknown => {
                let stat = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
                FileType::from_raw_mode(stat.st_mode) == FileType::Directory
            }
            _ => false,
        };
        if is_directory {
            directories.push(name.to_owned());
        } else {
            ignore_missing(unlinkat(directory, name, AtFlags::empty()))?;
        }
    }
    for name in directories {
        let child = open_directory(directory.as_fd(), &name)?;
        if depth + 1 >= MAX_DEPTH {
            *moved += 1;
            move_up(directory, &name, top, *moved)?;
            continue;
        }
        empty_directory(&child, top, depth + 1, moved)?;
        ignore_missing(unlinkat(directory, &name, AtFlags::REMOVEDIR))?;
    }
    Ok(())
}

/// Moves a directory to the top of the tree under a name that is free there.
fn move_up(from: &OwnedFd, name: &CString, top: &OwnedFd, number: u64) -> Result<(), Errno> {
    for attempt in 0_u64.. {
        let free = format!(".evalrun-deep-{number}-{attempt}");
        match renameat(from, name, top, &free) {
            Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => {}
            other => return other,
        }
    }
    Ok(())
}

/// Opens a directory for reading and removing, giving its owner the permissions first if needed.
fn open_directory(parent: BorrowedFd<'_>, name: &CString) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if stat.st_mode & 0o700 != 0o700 {
        // Whoever is neither owner nor root gets EPERM here, and the true error below.
        let mode = Mode::from_raw_mode(stat.st_mode & 0o7777) | Mode::RWXU;
        let _ = chmodat(parent, name, mode, AtFlags::empty());
    }
    openat(parent, name, flags, Mode::empty())
}

fn ignore_missing(result: Result<(), Errno>) -> Result<(), Errno> {
    match result {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::mkdirat;

    #[test]
    fn deep_and_closed_trees_go() {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path().join("tree");
        fs_err::create_dir(&root).unwrap();
        let mut at = rustix::fs::open(&root, OFlags::PATH, Mode::empty()).unwrap();
        for _ in 0..3000 {
            mkdirat(&at, "a-rather-long-name", Mode::RWXU).unwrap();
            at = openat(&at, "a-rather-long-name", OFlags::PATH, Mode::empty()).unwrap();
        }
        fs_err::create_dir_all(root.join("closed/inner")).unwrap();
        fs_err::write(root.join("closed/inner/file"), "x").unwrap();
        rustix::fs::chmod(root.join("closed"), Mode::empty()).unwrap();
        remove_tree(&root).unwrap();
        assert!(!root.exists());
        remove_tree(&root).unwrap();
    }

    #[test]
    fn links_are_not_followed() {
        let temporary = tempfile::tempdir().unwrap();
        let outside = temporary.path().join("outside");
        fs_err::create_dir(&outside).unwrap();
        fs_err::write(outside.join("kept"), "x").unwrap();
        let root = temporary.path().join("tree");
        fs_err::create_dir(&root).unwrap();
        fs_err::os::unix::fs::symlink(&outside, root.join("link")).unwrap();
        remove_tree(&root).unwrap();
        assert!(outside.join("kept").exists());
    }
}
