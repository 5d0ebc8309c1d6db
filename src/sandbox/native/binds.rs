//! Files and directories of the machine that are shown in a sandbox.

use super::proto::{Bind, BindSource};
use super::sys::{self, MountChange};
use crate::sandbox::{Mount, SandboxError};
use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// What is to be shown.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// What.
    source: PathBuf,
    /// Where inside.
    target: String,
    writable: bool,
    /// A link is shown as a link.
    keep_link: bool,
}

impl Wanted {
    /// A path of the machine at the same place, read-only; a link stays one.
    pub(super) fn same_place(path: &Path) -> Self {
        let target = path.to_string_lossy().into_owned();
        Self { source: path.to_owned(), target, writable: false, keep_link: true }
    }

    /// A file of the machine, read-only, wherever its path leads.
    pub(super) fn file(source: PathBuf, target: &str) -> Self {
        Self { source, target: target.to_owned(), writable: false, keep_link: false }
    }
}

impl Wanted {
    /// Where it is shown.
    pub(super) fn target(&self) -> &str {
        &self.target
    }
}

impl From<&Mount> for Wanted {
    fn from(mount: &Mount) -> Self {
        Self {
            source: mount.source.clone(),
            target: mount.target.clone(),
            writable: mount.writable,
            keep_link: false,
        }
    }
}

/// What the zygote is told, and the mounts that go with it. As root they are made here, where the
/// machine's files are in view; an ordinary user's zygote makes them itself.
pub(super) fn prepare(
    wanted: &[Wanted],
    userns: Option<&OwnedFd>,
) -> Result<(Vec<Bind>, Vec<OwnedFd>), SandboxError> {
    let mut binds = Vec::with_capacity(wanted.len());
    let mut mounts = Vec::new();
    for wanted in wanted {
        let step = || SandboxError::step(format!("show {}", wanted.source.display()));
        let target = inner_path(&wanted.target)?;
        let about = match wanted.keep_link {
            true => fs_err::symlink_metadata(&wanted.source),
            false => fs_err::metadata(&wanted.source),
        };
        let about = about.map_err(step())?;
        let directory = about.is_dir();
        let source = if about.is_symlink() {
            let to = fs_err::read_link(&wanted.source).map_err(step())?;
            BindSource::Link(to.to_string_lossy().into_owned())
        } else if let Some(userns) = userns {
            let mount = clone_shifted(&wanted.source, wanted.writable, userns);
            mounts.push(mount.map_err(|errno| step()(errno.into()))?);
            BindSource::Mount { directory }
        } else {
            let path = fs_err::canonicalize(&wanted.source).map_err(step())?;
            let path = path.to_string_lossy().into_owned();
            BindSource::Path { path, directory, writable: wanted.writable }
        };
        binds.push(Bind { target, source });
    }
    Ok((binds, mounts))
}

/// A path relative to the sandbox's root.
fn inner_path(path: &str) -> Result<String, SandboxError> {
    let error = |why: &str| SandboxError::Path { path: path.to_owned(), why: why.to_owned() };
    let inner = path.strip_prefix('/').ok_or_else(|| error("is not absolute"))?;
    let inner = inner.trim_end_matches('/');
    let plain = |part: &str| !matches!(part, "" | "." | "..");
    if !inner.split('/').all(plain) {
        return Err(error("must be plain, without `.` or `..`, and not the root"));
    }
    Ok(inner.to_owned())
}

/// A detached clone with all mounts below it, in which root's files are those of root inside, where
/// the file systems can do that; else they are nobody's, and readable as far as anyone may.
fn clone_shifted(path: &Path, writable: bool, userns: &OwnedFd) -> Result<OwnedFd, Errno> {
    let set = if writable { 0 } else { libc::MOUNT_ATTR_RDONLY };
    let plain = MountChange { set, recursive: true, private: true, idmap: None };
    let clone = || {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_RECURSIVE;
        rustix::mount::open_tree(CWD, path, flags)
    };
    let mount = clone()?;
    let shifted = MountChange { idmap: Some(userns.as_fd()), ..plain };
    match sys::mount_setattr(mount.as_fd(), &shifted) {
        Err(Errno::INVAL | Errno::PERM | Errno::OPNOTSUPP) => {
            let mount = clone()?;
            sys::mount_setattr(mount.as_fd(), &plain)?;
            Ok(mount)
        }
        result => result.map(|()| mount),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_must_be_plain() {
        assert_eq!(inner_path("/a/b/").unwrap(), "a/b");
        for bad in ["a", "/", "/a/../b", "/a//b", "/./a"] {
            assert!(inner_path(bad).is_err(), "{bad}");
        }
    }
}
