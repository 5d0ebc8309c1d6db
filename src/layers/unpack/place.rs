//! Puts entries into the directory.

use super::attributes::{Attributes, Owners};
use super::entry::{Entry, Kind};
use super::stream::TarStream;
use super::tree::{self, Tree};
use super::{Options, UnpackError, Unpacked, show};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, chownat, ftruncate, linkat, mknodat, openat, symlinkat,
    unlinkat, utimensat,
};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Bound;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// How image layers write that a name of the layers below is gone.
const WHITEOUT: &[u8] = b".wh.";

/// Names that begin so are notes of AUFS; one of them says that a directory is opaque.
const NOTE: &[u8] = b".wh..wh.";

/// See [`NOTE`].
const OPAQUE: &[u8] = b".wh..wh..opq";

/// The directory being filled.
pub(super) struct Place {
    tree: Tree,
    options: Options,
    unpacked: Unpacked,
    /// Bytes of names so far.
    names: u64,
    /// What directories get at the end: files made in them change their times, and a mode may
    /// forbid making any.
    directories: BTreeMap<Vec<u8>, Attributes>,
    buffer: Vec<u8>,
}

impl Place {
    pub(super) fn new(root: &Path, options: &Options) -> Result<Self, UnpackError> {
        let tree = Tree::new(root, options.marks)
            .map_err(|error| failed("open", root.as_os_str().as_encoded_bytes())(error))?;
        Ok(Self {
            tree,
            options: *options,
            unpacked: Unpacked::default(),
            names: 0,
            directories: BTreeMap::new(),
            buffer: vec![0; 128 << 10],
        })
    }

    /// Puts one entry in.
    pub(super) fn put<R: Read>(
        &mut self,
        entry: &Entry,
        stream: &mut TarStream<R>,
    ) -> Result<(), UnpackError> {
        self.count(entry)?;
        let path = self.clean(&entry.path)?;
        match entry.kind {
            Kind::Device => {
                self.unpacked.devices += 1;
                return Ok(());
            }
            Kind::Unknown => {
                self.unpacked.unknown += 1;
                return Ok(());
            }
            _ => {}
        }
        if path.is_empty() {
            if entry.kind != Kind::Directory {
                return Err(unusable(&entry.path, "it stands for the root itself"));
            }
            self.defer(entry, path);
            return Ok(());
        }
        let (directory, name) = tree::split(&path);
        if self.options.whiteouts && name.starts_with(WHITEOUT) {
            return self.put_mark(directory, name, &entry.path);
        }
        let parent =
            self.tree.directory(directory).map_err(failed("make the directory of", &path))?;
        match entry.kind {
            Kind::Directory => {
                self.forget_unless_directory(&parent, name, &path)?;
                self.tree
                    .put_directory(&parent, name)
                    .map_err(failed("make the directory", &path))?;
                self.defer(entry, path);
            }
            Kind::File => self.put_file(entry, stream, &parent, &path)?,
            Kind::Symlink => self.put_symlink(entry, &parent, &path)?,
            Kind::HardLink => self.put_hard_link(entry, &parent, &path)?,
            Kind::Fifo => self.put_fifo(entry, &parent, &path)?,
            Kind::Device | Kind::Unknown => {}
        }
        Ok(())
    }

    /// Gives directories their attributes, the deepest first.
    pub(super) fn finish(mut self) -> Result<Unpacked, UnpackError> {
        for (path, attributes) in std::mem::take(&mut self.directories).into_iter().rev() {
            let directory = match self.tree.readable(&path) {
                Ok(directory) => directory,
                // A later entry of the archive put something else in the way.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                Err(error) => return Err(failed("open the directory", &path)(error)),
            };
            self.apply(&attributes, &directory, &path, true)?;
        }
        Ok(self.unpacked)
    }

    fn count(&mut self, entry: &Entry) -> Result<(), UnpackError> {
        let caps = &self.options.caps;
        self.unpacked.entries += 1 + self.tree.take_made();
        if self.unpacked.entries > caps.entries {
            return Err(UnpackError::Cap { what: "entries", limit: caps.entries });
        }
        let names = entry.path.len() + entry.link.len();
        let values = entry.xattrs.iter().map(|(name, value)| name.len() + value.len());
        self.names += (names + values.sum::<usize>()) as u64;
        if self.names > caps.names {
            return Err(UnpackError::Cap { what: "bytes of names", limit: caps.names });
        }
        if entry.link.len() > caps.path {
            return Err(unusable(&entry.link, "the link's target is too long"));
        }
        if entry.kind == Kind::File {
            self.unpacked.bytes = self.unpacked.bytes.saturating_add(entry.size());
            if self.unpacked.bytes > caps.bytes {
                return Err(UnpackError::Cap { what: "bytes", limit: caps.bytes });
            }
        }
        Ok(())
    }

    /// A name relative to the root, without `.` and empty components.
    fn clean(&self, path: &[u8]) -> Result<Vec<u8>, UnpackError> {
        if path.len() > self.options.caps.path {
            return Err(unusable(path, "the name is too long"));
        }
        let mut clean = Vec::with_capacity(path.len());
        for part in path.split(|&byte| byte == b'/') {
            match part {
                b"" | b"." => {}
                b".." => return Err(unusable(path, "`..` could lead out of the directory")),
                part if part.contains(&0) => return Err(unusable(path, "it holds a NUL")),
                part if part.len() > 255 => {
                    return Err(unusable(path, "a part of it is longer than 255 bytes"));
                }
                part => {
                    if !clean.is_empty() {
                        clean.push(b'/');
                    }
                    clean.extend_from_slice(part);
                }
            }
        }
        Ok(clean)
    }

    /// A whiteout, or the mark of an opaque directory.
    fn put_mark(&mut self, directory: &[u8], name: &[u8], path: &[u8]) -> Result<(), UnpackError> {
        let parent =
            self.tree.directory(directory).map_err(failed("make the directory of", path))?;
        if name == OPAQUE {
            let directory =
                self.tree.readable(directory).map_err(failed("open the directory of", path))?;
            return self.tree.set_opaque(&directory).map_err(failed("make opaque", path));
        }
        if name.starts_with(NOTE) {
            return Ok(());
        }
        let hidden = &name[WHITEOUT.len()..];
        if hidden.is_empty() || hidden == b"." || hidden == b".." {
            return Err(unusable(path, "it is a whiteout of nothing"));
        }
        self.tree.put_whiteout(&parent, hidden).map_err(failed("make the whiteout", path))
    }

    fn put_file<R: Read>(
        &mut self,
        entry: &Entry,
        stream: &mut TarStream<R>,
        parent: &OwnedFd,
        path: &[u8],
    ) -> Result<(), UnpackError> {
        self.make_way(parent, path)?;
        let (_, name) = tree::split(path);
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(parent, name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(failed("make the file", path))?;
        let whole = [(0, entry.stored)];
        let extents = entry.sparse.as_ref().map_or(&whole[..], |sparse| &sparse.extents);
        for &(offset, length) in extents {
            self.write_extent(stream, &file, (offset, length), path)?;
        }
        if let Some(sparse) = &entry.sparse {
            ftruncate(&file, sparse.size).map_err(failed("set the size of", path))?;
        }
        let attributes = self.attributes(entry);
        self.apply(&attributes, &file, path, false)
    }

    fn write_extent<R: Read>(
        &mut self,
        stream: &mut TarStream<R>,
        file: &OwnedFd,
        (mut offset, mut left): (u64, u64),
        path: &[u8],
    ) -> Result<(), UnpackError> {
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            let read = stream.read_content(&mut self.buffer[..want])?;
            if read == 0 {
                return Err(unusable(path, "it has less content than its header says"));
            }
            let mut bytes = &self.buffer[..read];
            while !bytes.is_empty() {
                let written = match rustix::io::pwrite(file, bytes, offset) {
                    Err(Errno::INTR) => 0,
                    other => other.map_err(failed("write", path))?,
                };
                bytes = &bytes[written..];
                offset += written as u64;
            }
            left -= read as u64;
        }
        Ok(())
    }

    fn put_symlink(
        &mut self,
        entry: &Entry,
        parent: &OwnedFd,
        path: &[u8],
    ) -> Result<(), UnpackError> {
        if entry.link.is_empty() {
            return Err(unusable(path, "the link has no target"));
        }
        self.make_way(parent, path)?;
        let (_, name) = tree::split(path);
        symlinkat(entry.link.as_slice(), parent, name).map_err(failed("make the link", path))?;
        self.apply_at(entry, parent, path)
    }

    fn put_fifo(
        &mut self,
        entry: &Entry,
        parent: &OwnedFd,
        path: &[u8],
    ) -> Result<(), UnpackError> {
        self.make_way(parent, path)?;
        let (_, name) = tree::split(path);
        let mode = Mode::RUSR | Mode::WUSR;
        mknodat(parent, name, FileType::Fifo, mode, 0).map_err(failed("make the pipe", path))?;
        // Just made and no link, and nobody else works in this directory.
        let mode = Mode::from_raw_mode(entry.mode & 0o777);
        rustix::fs::chmodat(parent, name, mode, AtFlags::empty())
            .map_err(failed("set the mode of", path))?;
        self.apply_at(entry, parent, path)
    }

    fn put_hard_link(
        &mut self,
        entry: &Entry,
        parent: &OwnedFd,
        path: &[u8],
    ) -> Result<(), UnpackError> {
        let target = self.clean(&entry.link)?;
        if target.is_empty() {
            return Err(unusable(path, "it is a hard link to a directory, the root"));
        }
        let (target_directory, target_name) = tree::split(&target);
        let missing =
            || unusable(path, &format!("it is a link to `{}`, which is not there", show(&target)));
        let source = match self.tree.existing(target_directory) {
            Ok(source) => source,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Err(missing()),
            Err(error) => return Err(failed("open the target of", path)(error)),
        };
        let found =
            Tree::stat(&source, target_name).map_err(failed("look up the target of", path))?;
        let found = found.filter(|stat| !tree::is_whiteout(stat)).ok_or_else(missing)?;
        if tree::is_directory(&found) {
            return Err(unusable(path, "it is a hard link to a directory"));
        }
        let (_, name) = tree::split(path);
        let there = Tree::stat(parent, name).map_err(failed("look up", path))?;
        if there.is_some_and(|there| there.st_ino == found.st_ino && there.st_dev == found.st_dev) {
            return Ok(());
        }
        self.make_way(parent, path)?;
        linkat(&*source, target_name, parent, name, AtFlags::empty()).map_err(
            |error| match error {
                // The target lay in what made way.
                Errno::NOENT => missing(),
                error => failed("make the link", path)(error),
            },
        )?;
        if let Some(owner) = self.unpacked.owners.get(&target).copied() {
            self.unpacked.owners.insert(path.to_owned(), owner);
        }
        Ok(())
    }

    /// Removes what stands at a path, and what was to be done with it.
    fn make_way(&mut self, parent: &OwnedFd, path: &[u8]) -> Result<(), UnpackError> {
        let (_, name) = tree::split(path);
        let there = Tree::stat(parent, name).map_err(failed("look up", path))?;
        let Some(there) = there else { return Ok(()) };
        self.tree.forget_last();
        if tree::is_directory(&there) {
            self.tree.remove(parent, name).map_err(failed("replace", path))?;
        } else {
            unlinkat(parent, name, AtFlags::empty()).map_err(failed("replace", path))?;
        }
        self.forget(path);
        Ok(())
    }

    fn forget_unless_directory(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        path: &[u8],
    ) -> Result<(), UnpackError> {
        let there = Tree::stat(parent, name).map_err(failed("look up", path))?;
        if there.is_some_and(|there| !tree::is_directory(&there)) {
            self.forget(path);
        }
        Ok(())
    }

    /// Drops what is remembered of a path and of all below it.
    fn forget(&mut self, path: &[u8]) {
        forget_below(&mut self.directories, path);
        forget_below(&mut self.unpacked.owners, path);
    }

    fn defer(&mut self, entry: &Entry, path: Vec<u8>) {
        let attributes = self.attributes(entry);
        self.directories.insert(path, attributes);
    }

    fn attributes(&mut self, entry: &Entry) -> Attributes {
        let (attributes, left_out) = Attributes::of(entry);
        self.unpacked.attributes += left_out;
        attributes
    }

    fn apply(
        &mut self,
        attributes: &Attributes,
        file: &OwnedFd,
        path: &[u8],
        directory: bool,
    ) -> Result<(), UnpackError> {
        let owners = self.options.owners;
        let left_out = attributes
            .apply(file.as_fd(), owners, directory)
            .map_err(failed("set the attributes of", path))?;
        self.unpacked.attributes += left_out;
        let least = if directory { 0o700 } else { 0o600 };
        self.record(attributes, path, attributes.owner.mode & least != least);
        Ok(())
    }

    /// Owner and time of what cannot be opened: links and pipes.
    fn apply_at(
        &mut self,
        entry: &Entry,
        parent: &OwnedFd,
        path: &[u8],
    ) -> Result<(), UnpackError> {
        let (_, name) = tree::split(path);
        let attributes = self.attributes(entry);
        let nofollow = AtFlags::SYMLINK_NOFOLLOW;
        if self.options.owners == Owners::Apply {
            chownat(parent, name, Some(attributes.uid()), Some(attributes.gid()), nofollow)
                .map_err(failed("set the owner of", path))?;
        }
        utimensat(parent, name, &attributes.times(), nofollow)
            .map_err(failed("set the time of", path))?;
        self.unpacked.attributes += attributes.xattrs.len() as u64;
        self.record(&attributes, path, false);
        Ok(())
    }

    /// Remembers an owner or mode that is not on disk.
    fn record(&mut self, attributes: &Attributes, path: &[u8], other_mode: bool) {
        let owner = attributes.owner;
        let foreign = owner.uid != 0 || owner.gid != 0;
        if self.options.owners == Owners::Record && (foreign || other_mode) {
            self.unpacked.owners.insert(path.to_owned(), owner);
        }
    }
}

/// Removes a path and all below it from a map by path.
fn forget_below<T>(map: &mut BTreeMap<Vec<u8>, T>, path: &[u8]) {
    map.remove(path);
    let start = [path, b"/"].concat();
    let below: Vec<_> = map
        .range::<[u8], _>((Bound::Included(start.as_slice()), Bound::Unbounded))
        .take_while(|(key, _)| key.starts_with(&start))
        .map(|(key, _)| key.clone())
        .collect();
    for key in below {
        map.remove(&key);
    }
}

fn unusable(path: &[u8], why: &str) -> UnpackError {
    UnpackError::Path { path: show(path), why: why.to_owned() }
}

/// For `map_err`: names the call and the path.
fn failed(call: &'static str, path: &[u8]) -> impl FnOnce(Errno) -> UnpackError {
    let path = show(path);
    move |source| UnpackError::Write { call, path, source: source.into() }
}
