//! From what a sandbox wrote to a layer: by rename when nothing more is done in it, else by copy.

use super::handle::Shared;
use crate::layers::owners::open_up;
use crate::layers::{ImageKey, Marks, NewImage, Store};
use crate::sandbox::SandboxError;
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Stat, Timestamps, Uid};
use rustix::io::Errno;
use std::collections::HashMap;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::task::JoinHandle;

/// How a layer is taken.
#[derive(Clone, Copy)]
pub(super) struct How {
    /// Nothing more is done in the sandbox.
    pub(super) last: bool,
    /// It must still be there after a crash of the machine.
    pub(super) durable: bool,
}

/// Where what a sandbox wrote is.
pub(super) fn upper_path(shared: &Shared) -> Result<PathBuf, SandboxError> {
    match (&shared.memory_upper, &shared.directory) {
        (Some(upper), _) => Ok(PathBuf::from(format!("/proc/self/fd/{}", upper.as_raw_fd()))),
        (None, Some(directory)) => Ok(directory.join("u")),
        (None, None) => Err(SandboxError::Gone),
    }
}

/// Takes what a sandbox wrote as a layer. Its processes have ended or stand still.
pub(super) fn take(
    store: &Store,
    shared: &Shared,
    image: NewImage,
    how: How,
) -> Result<ImageKey, SandboxError> {
    let store_failed = |error| SandboxError::Store(Box::new(error));
    let upper = upper_path(shared)?;
    if how.last && shared.memory_upper.is_none() {
        let adopted = match how.durable {
            true => store.adopt(&upper, image),
            false => store.adopt_unsynced(&upper, image),
        };
        return adopted.map_err(store_failed);
    }
    let layer = store.begin().map_err(store_failed)?;
    if store.marks() == Marks::User {
        // What a sandbox closed is closed to us too.
        open_up(&upper).map_err(SandboxError::step("open what a sandbox closed"))?;
    }
    copy_tree(&upper, layer.root(), shared.memory_shift)
        .map_err(SandboxError::step(format!("copy what sandbox {} wrote", shared.name)))?;
    layer.commit(image).map_err(store_failed)
}

/// Copies a tree with all that overlayfs and programs go by: owners, modes, times, attributes, hard
/// links, whiteouts. `to` is there and empty. Owners lose `shift`.
fn copy_tree(from: &Path, to: &Path, shift: u32) -> io::Result<()> {
    let mut links: HashMap<(u64, u64), PathBuf> = HashMap::new();
    let mut directories = vec![(from.to_owned(), to.to_owned())];
    let mut finished = Vec::new();
    while let Some((from, to)) = directories.pop() {
        for entry in fs_err::read_dir(&from)? {
            let name = entry?.file_name();
            let (from, to) = (from.join(&name), to.join(&name));
            let stat = rustix::fs::lstat(&from)?;
            let kind = FileType::from_raw_mode(stat.st_mode);
            if kind == FileType::Directory {
                fs_err::create_dir(&to)?;
                directories.push((from, to));
                continue;
            }
            if stat.st_nlink > 1 {
                if let Some(first) = links.get(&(stat.st_dev, stat.st_ino)) {
                    fs_err::hard_link(first, &to)?;
                    continue;
                }
                links.insert((stat.st_dev, stat.st_ino), to.clone());
            }
            copy_entry(&from, &to, &unshifted(stat, shift))?;
        }
        finished.push((from, to));
    }
    // The deepest first: what is made in a directory changes its times.
    for (from, to) in finished.iter().rev() {
        // The upper itself may be given by a link to what we have open.
        copy_attributes(from, to, &unshifted(rustix::fs::stat(from)?, shift))?;
    }
    Ok(())
}

/// What is known of a file, with the owners it has inside.
fn unshifted(mut stat: Stat, shift: u32) -> Stat {
    for id in [&mut stat.st_uid, &mut stat.st_gid] {
        *id = id.checked_sub(shift).unwrap_or(*id);
    }
    stat
}

fn copy_entry(from: &Path, to: &Path, stat: &Stat) -> io::Result<()> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {
            fs_err::copy(from, to)?;
        }
        FileType::Symlink => {
            fs_err::os::unix::fs::symlink(fs_err::read_link(from)?, to)?;
        }
        // A socket means nothing without who listens.
        FileType::Socket => return Ok(()),
        kind => {
            let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
            rustix::fs::mknodat(CWD, to, kind, mode, stat.st_rdev)?;
        }
    }
    copy_attributes(from, to, stat)
}

fn copy_attributes(from: &Path, to: &Path, stat: &Stat) -> io::Result<()> {
    let (user, group) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    match rustix::fs::chownat(CWD, to, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW) {
        // An ordinary user's files are all that user's.
        Ok(()) | Err(Errno::PERM) => {}
        Err(errno) => return Err(errno.into()),
    }
    let kind = FileType::from_raw_mode(stat.st_mode);
    if kind != FileType::Symlink {
        // After the owner: a change of owner takes set-user-id away.
        rustix::fs::chmod(to, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    }
    if matches!(kind, FileType::RegularFile | FileType::Directory) {
        for name in xattr::list_deref(from)? {
            if let Some(value) = xattr::get_deref(from, &name)? {
                xattr::set(to, &name, &value)?;
            }
        }
    }
    let time = |seconds: i64, nanoseconds: u64| rustix::fs::Timespec {
        tv_sec: seconds,
        tv_nsec: i64::try_from(nanoseconds).unwrap_or(0),
    };
    let times = Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    };
    Ok(rustix::fs::utimensat(CWD, to, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// A stream whose writer's error is an error at its end.
pub(super) struct Joined<R> {
    stream: R,
    writing: Option<JoinHandle<io::Result<()>>>,
}

impl<R> Joined<R> {
    pub(super) fn new(stream: R, writing: JoinHandle<io::Result<()>>) -> Self {
        Self { stream, writing: Some(writing) }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Joined<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        std::task::ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        if buffer.filled().len() > before || buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let Some(writing) = &mut this.writing else { return Poll::Ready(Ok(())) };
        let written = std::task::ready!(Pin::new(writing).poll(context));
        this.writing = None;
        Poll::Ready(written.unwrap_or_else(|error| Err(io::Error::other(error))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn a_tree_is_copied_with_links_modes_and_attributes() {
        let temporary = tempfile::tempdir().unwrap();
        let (from, to) = (temporary.path().join("from"), temporary.path().join("to"));
        fs_err::create_dir_all(from.join("a/b")).unwrap();
        fs_err::create_dir(&to).unwrap();
        fs_err::write(from.join("a/file"), "text").unwrap();
        rustix::fs::chmod(from.join("a/file"), Mode::from_raw_mode(0o4751)).unwrap();
        fs_err::hard_link(from.join("a/file"), from.join("a/b/other")).unwrap();
        fs_err::os::unix::fs::symlink("nowhere", from.join("link")).unwrap();
        let whiteout = Mode::empty();
        rustix::fs::mknodat(CWD, from.join("gone"), FileType::CharacterDevice, whiteout, 0)
            .unwrap();
        xattr::set(from.join("a"), "user.overlay.opaque", b"y").unwrap();
        copy_tree(&from, &to, 0).unwrap();
        let file = fs_err::metadata(to.join("a/file")).unwrap();
        assert_eq!(file.mode() & 0o7777, 0o4751);
        assert_eq!(file.ino(), fs_err::metadata(to.join("a/b/other")).unwrap().ino());
        assert_eq!(fs_err::read_link(to.join("link")).unwrap(), Path::new("nowhere"));
        assert_eq!(fs_err::symlink_metadata(to.join("gone")).unwrap().rdev(), 0);
        assert_eq!(xattr::get(to.join("a"), "user.overlay.opaque").unwrap().unwrap(), b"y");
        let times = |path: &Path| fs_err::metadata(path).unwrap().mtime_nsec();
        assert_eq!(times(&from.join("a")), times(&to.join("a")));
    }
}
