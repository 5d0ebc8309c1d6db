//! The pool: every file of every layer once. Layers are read-only for as long as they live, so a
//! file that is equal in all respects, and at the same path, can be one inode in all of them.
//!
//! The name of a file in the pool is the digest of its path, content, mode, owner, time and
//! attributes. Because the path is part of it, no inode is ever met at two paths of an image: `tar`
//! and `cp` inside see no hard links. What one can see is that a file has more links than names.
//!
//! A file enters the pool when its layer is in place and safe on disk. One that no layer has any more has one link left;
//! it is removed with the last layer that had it, or by the next prune.

use super::StoreError;
use super::contents::{Entry, Found, Kind};
use crate::model::{Digest, DigestBuilder};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// What a folder of names takes on disk.
const FOLDER: u64 = 4096;

/// The pool of a store.
#[derive(Debug)]
pub(super) struct Pool {
    directory: PathBuf,
}

/// What became of the files of a layer in the making.
#[derive(Debug, Default)]
pub(super) struct Sharing {
    /// Files that were not in the pool, and their places there.
    new: Vec<(PathBuf, PathBuf)>,
    /// Bytes on disk of what was in the pool already.
    pub(super) shared: u64,
    /// Bytes on disk of what is new to it.
    pub(super) fresh: u64,
    /// Bytes on disk of folders that the pool needs for it.
    pub(super) folders: u64,
}

/// What the pool takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PoolSize {
    /// Bytes on disk of all files and of the directories that hold their names.
    pub(super) bytes: u64,
    /// Of these, bytes of files that no layer has.
    pub(super) unused: u64,
}

impl Pool {
    pub(super) fn new(layers: &Path) -> Self {
        Self { directory: layers.join("pool") }
    }

    /// Puts the pool's file in the place of each file of a layer in the making that is in the pool.
    /// `aside`: a path that is free, on the same file system.
    pub(super) fn share(&self, found: &[Found], aside: &Path) -> Result<Sharing, StoreError> {
        let mut sharing = Sharing::default();
        let mut changed = BTreeSet::new();
        for file in found {
            let Some(place) = self.place(file) else { continue };
            if self.take(file, &place, aside)? {
                sharing.shared += file.bytes;
                if let Some(parent) = file.path.parent() {
                    changed.insert(parent.to_owned());
                }
            } else {
                sharing.fresh += file.bytes;
                sharing.new.push((file.path.clone(), place));
            }
        }
        let folders: BTreeSet<_> =
            sharing.new.iter().filter_map(|(_, place)| place.parent()).collect();
        let folders = folders.into_iter().filter(|folder| !folder.exists()).count();
        sharing.folders = FOLDER * folders as u64;
        // The times of directories are part of an image too.
        let times = found.iter().filter(|found| changed.contains(&found.path));
        for directory in times {
            set_time(directory)?;
        }
        Ok(sharing)
    }

    /// Takes the new files of a layer into the pool, which was made in `from` and is now in `to`.
    /// They must be safe on disk.
    pub(super) fn add(&self, sharing: &Sharing, from: &Path, to: &Path) -> Result<(), StoreError> {
        for (file, place) in &sharing.new {
            let file = &to.join(file.strip_prefix(from).expect("files of a layer are in it"));
            if let Some(parent) = place.parent().filter(|parent| !parent.exists()) {
                fs_err::create_dir_all(parent)?;
            }
            match rustix::fs::link(file, place) {
                // Another layer brought the same just now; it cannot be linked, and stays alone; or the
                // layer was evicted at once.
                Ok(())
                | Err(Errno::EXIST | Errno::PERM | Errno::MLINK | Errno::ACCESS | Errno::NOENT) => {
                }
                Err(error) => return Err(StoreError::call("link", file)(error)),
            }
        }
        Ok(())
    }

    /// Removes those of these files that no layer has any more; returns their bytes on disk.
    pub(super) fn release(&self, entries: &[Entry]) -> Result<u64, StoreError> {
        let mut bytes = 0;
        for entry in entries {
            let Some(place) = entry_key(entry).map(|key| self.at(key)) else { continue };
            bytes += release_one(&place)?;
        }
        Ok(bytes)
    }

    /// Removes all files that no layer has; returns their bytes on disk.
    pub(super) fn sweep(&self) -> Result<u64, StoreError> {
        let mut bytes = 0;
        self.each(|path, metadata| {
            if metadata.is_file() && metadata.nlink() == 1 {
                bytes += release_one(path)?;
            }
            Ok(())
        })?;
        Ok(bytes)
    }

    /// What it takes on disk.
    pub(super) fn size(&self) -> Result<PoolSize, StoreError> {
        let mut size = PoolSize::default();
        self.each(|_, metadata| {
            let bytes = metadata.blocks() * 512;
            size.bytes += bytes;
            if metadata.is_file() && metadata.nlink() == 1 {
                size.unused += bytes;
            }
            Ok(())
        })?;
        Ok(size)
    }

    /// Takes a damaged file out of the pool, so that no further layer gets it.
    pub(super) fn banish(&self, entry: &Entry, inode: u64) -> Result<(), StoreError> {
        let Some(place) = entry_key(entry).map(|key| self.at(key)) else { return Ok(()) };
        if fs_err::symlink_metadata(&place).is_ok_and(|metadata| metadata.ino() == inode) {
            fs_err::remove_file(&place)?;
        }
        Ok(())
    }

    /// Where a file belongs in the pool, if it may be there: not what has several names already.
    fn place(&self, file: &Found) -> Option<PathBuf> {
        if file.links != 1 {
            return None;
        }
        entry_key(&file.entry).map(|key| self.at(key))
    }

    fn at(&self, key: Digest) -> PathBuf {
        let name = key.to_string();
        self.directory.join(&name[..2]).join(&name[2..])
    }

    /// Puts the pool's file in the place of this one; false if the pool does not have it.
    fn take(&self, file: &Found, place: &Path, aside: &Path) -> Result<bool, StoreError> {
        let Ok(pooled) = fs_err::symlink_metadata(place) else { return Ok(false) };
        let entry = &file.entry;
        let same = pooled.is_file()
            && pooled.len() == entry.size
            && pooled.mode() & 0o7777 == entry.mode
            && (pooled.uid(), pooled.gid()) == (entry.uid, entry.gid)
            && entry.time == Some((pooled.mtime(), pooled.mtime_nsec()));
        let linked = if same { rustix::fs::link(place, aside) } else { Err(Errno::MLINK) };
        match linked {
            Ok(()) => {}
            // Somebody changed it, or it has as many links as a file can have: another takes its
            // place.
            Err(Errno::MLINK) => {
                fs_err::remove_file(place)?;
                return Ok(false);
            }
            Err(Errno::NOENT | Errno::PERM | Errno::ACCESS) => return Ok(false),
            Err(error) => return Err(StoreError::call("link", place)(error)),
        }
        match rustix::fs::rename(aside, &file.path) {
            Ok(()) => Ok(true),
            Err(Errno::PERM | Errno::ACCESS) => {
                fs_err::remove_file(aside)?;
                Ok(false)
            }
            Err(error) => Err(StoreError::call("rename a file to", &file.path)(error)),
        }
    }

    fn each(
        &self,
        mut visit: impl FnMut(&Path, &std::fs::Metadata) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        if !self.directory.exists() {
            return Ok(());
        }
        for entry in walkdir::WalkDir::new(&self.directory) {
            let entry = match entry {
                Ok(entry) => entry,
                // Others release files meanwhile.
                Err(error) if is_gone(&error) => continue,
                Err(error) => return Err(std::io::Error::from(error).into()),
            };
            match entry.metadata() {
                Ok(metadata) => visit(entry.path(), &metadata)?,
                Err(error) if is_gone(&error) => {}
                Err(error) => return Err(std::io::Error::from(error).into()),
            }
        }
        Ok(())
    }
}

fn is_gone(error: &walkdir::Error) -> bool {
    error.io_error().is_some_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

/// What tells a file from all that it may not be one with; none if it is not worth it.
fn entry_key(entry: &Entry) -> Option<Digest> {
    let (Kind::File, Some(content), Some(time)) = (entry.kind, entry.content, entry.time) else {
        return None;
    };
    if entry.size == 0 {
        return None;
    }
    let numbers = [u64::from(entry.mode), u64::from(entry.uid), u64::from(entry.gid), entry.size];
    let mut builder = DigestBuilder::new("evalrun pool 1")
        .field("path", &entry.path)
        .field("content", content.to_string());
    for number in numbers {
        builder = builder.field("number", number.to_le_bytes());
    }
    builder = builder.field("seconds", time.0.to_le_bytes()).field("nanos", time.1.to_le_bytes());
    let attributes = entry.attributes.map(|digest| digest.to_string()).unwrap_or_default();
    Some(builder.field("attributes", attributes).finish())
}

fn release_one(place: &Path) -> Result<u64, StoreError> {
    match fs_err::symlink_metadata(place) {
        Ok(metadata) if metadata.nlink() == 1 => match fs_err::remove_file(place) {
            Ok(()) => Ok(metadata.blocks() * 512),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error.into()),
        },
        _ => Ok(0),
    }
}

/// Gives a directory the time it had when it was found.
fn set_time(directory: &Found) -> Result<(), StoreError> {
    let (seconds, nanos) = directory.time;
    let time = Timespec { tv_sec: seconds, tv_nsec: nanos };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, &directory.path, &times, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(StoreError::call("set the time of", &directory.path))
}
