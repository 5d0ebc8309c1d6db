//! What is in a layer: taken when it is committed, written down beside its files, and compared when
//! the store is verified.

use super::{StoreError, hashing, names, usage};
use crate::model::{Digest, DigestBuilder};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// The file, beside `fs`.
const FILE: &str = "contents.jsonl.zst";
/// Files are read by so many threads at most.
const READERS: usize = 4;

/// One line of the file: an entry of the layer, as it is on disk. A user's store shows the user as
/// the owner of all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Below the layer's root, in parts that are encoded each; empty: the root itself.
    pub(super) path: String,
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Seconds and nanoseconds; of directories it is not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) time: Option<(i64, i64)>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) size: u64,
    /// Of a file's content, or of where a link leads; none: it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) content: Option<Digest>,
    /// Of the extended attributes; none: it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) attributes: Option<Digest>,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    File,
    Directory,
    Link,
    /// A device (of whiteouts), a pipe or a socket.
    Other,
}

/// An entry and what counts only now.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) entry: Entry,
    pub(super) path: PathBuf,
    pub(super) links: u64,
    pub(super) inode: u64,
    /// Its time, of a directory too.
    pub(super) time: (i64, i64),
    /// Bytes on disk.
    pub(super) bytes: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(size: &u64) -> bool {
    *size == 0
}

/// Everything in the tree at `root`, by path. What cannot be read is there without its content.
/// `deep`: with the digests of content and attributes.
pub(super) fn take(root: &Path, deep: bool) -> Result<Vec<Found>, StoreError> {
    let mut found = Vec::new();
    for seen in usage::walk(root) {
        let (entry, metadata) = seen?;
        let name = entry.path().strip_prefix(root).expect("the walk stays below its start");
        found.push(Found::of(name, entry.path().to_owned(), &metadata));
    }
    found.sort_unstable_by(|one, other| one.entry.path.cmp(&other.entry.path));
    if deep { read_all(found) } else { Ok(found) }
}

impl Found {
    fn of(name: &Path, path: PathBuf, metadata: &std::fs::Metadata) -> Self {
        let parts: Vec<_> = name.iter().map(|part| names::encode(part.as_bytes())).collect();
        let kind = metadata.file_type();
        let kind = match () {
            () if kind.is_file() => Kind::File,
            () if kind.is_dir() => Kind::Directory,
            () if kind.is_symlink() => Kind::Link,
            () => Kind::Other,
        };
        let entry = Entry {
            path: parts.join("/"),
            kind,
            mode: metadata.mode() & 0o7777,
            uid: metadata.uid(),
            gid: metadata.gid(),
            time: (kind != Kind::Directory).then(|| (metadata.mtime(), metadata.mtime_nsec())),
            size: if kind == Kind::File { metadata.len() } else { 0 },
            content: None,
            attributes: None,
        };
        let bytes = metadata.blocks() * 512;
        let time = (metadata.mtime(), metadata.mtime_nsec());
        Self { entry, path, links: metadata.nlink(), inode: metadata.ino(), time, bytes }
    }

    /// Takes the digests of content and attributes.
    fn read(&mut self) -> Result<(), StoreError> {
        self.entry.content = match self.entry.kind {
            Kind::File => match fs_err::File::open(&self.path) {
                Ok(file) => Some(hashing::digest(file)?.0),
                Err(error) if is_denied(&error) => None,
                Err(error) => return Err(error.into()),
            },
            Kind::Link => Some(Digest::of(fs_err::read_link(&self.path)?.as_os_str().as_bytes())),
            Kind::Directory | Kind::Other => None,
        };
        self.entry.attributes = attributes(&self.path)?;
        Ok(())
    }
}

/// Reads all entries, by several threads.
fn read_all(found: Vec<Found>) -> Result<Vec<Found>, StoreError> {
    let next = AtomicUsize::new(0);
    let cells: Vec<Mutex<Found>> = found.into_iter().map(Mutex::new).collect();
    let work = || -> Result<(), StoreError> {
        while let Some(cell) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
            cell.lock().unwrap_or_else(PoisonError::into_inner).read()?;
        }
        Ok(())
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(READERS);
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let own = work();
        let joined = others.into_iter().map(|other| other.join().expect("readers do not panic"));
        joined.chain([own]).collect::<Result<Vec<()>, StoreError>>()
    })?;
    Ok(cells
        .into_iter()
        .map(|cell| cell.into_inner().unwrap_or_else(PoisonError::into_inner))
        .collect())
}

/// The digest of all extended attributes.
fn attributes(path: &Path) -> Result<Option<Digest>, StoreError> {
    let failed = |error: std::io::Error| StoreError::call("read the attributes of", path)(error);
    let mut names: Vec<OsString> = match xattr::list(path) {
        Ok(names) => names.collect(),
        Err(error) if is_denied(&error) || error.kind() == std::io::ErrorKind::Unsupported => {
            return Ok(None);
        }
        Err(error) => return Err(failed(error)),
    };
    // A label belongs to the place where a file is, not to the file.
    names.retain(|name| name != "security.selinux");
    if names.is_empty() {
        return Ok(None);
    }
    names.sort();
    let mut builder = DigestBuilder::new("extended attributes");
    for name in names {
        let value = xattr::get(path, &name).map_err(failed)?.unwrap_or_default();
        builder = builder.field("name", name.as_bytes()).field("value", value);
    }
    Ok(Some(builder.finish()))
}

/// Writes the contents of a layer down in the directory that holds its `fs`; returns their digest.
pub(super) fn write(directory: &Path, found: &[Found]) -> Result<Digest, StoreError> {
    let mut text = Vec::new();
    for found in found {
        serde_json::to_writer(&mut text, &found.entry).map_err(std::io::Error::from)?;
        text.push(b'\n');
    }
    let file = fs_err::File::create(directory.join(FILE))?;
    let mut encoder = zstd::Encoder::new(file, 3)?;
    encoder.write_all(&text)?;
    encoder.finish()?;
    Ok(Digest::of(&text))
}

/// Reads what [`write()`] wrote, which must have this digest.
pub(super) fn read(directory: &Path, digest: Digest) -> Result<Vec<Entry>, StoreError> {
    let path = directory.join(FILE);
    let damaged = |why: String| StoreError::Damaged { path: path.clone(), why };
    let mut text = Vec::new();
    let mut decoder = zstd::Decoder::new(fs_err::File::open(&path)?)?;
    decoder.read_to_end(&mut text).map_err(|error| damaged(error.to_string()))?;
    if Digest::of(&text) != digest {
        return Err(damaged("it is not what was written down".to_owned()));
    }
    let lines = BufReader::new(&text[..]).lines();
    lines
        .map(|line| serde_json::from_str(&line?).map_err(|error| damaged(error.to_string())))
        .collect()
}

/// Bytes on disk of all these, what has several names in this layer counted once.
pub(super) fn bytes(found: &[Found]) -> u64 {
    let mut seen = std::collections::HashSet::new();
    let counted = found.iter().filter(|found| {
        found.links < 2 || found.entry.kind == Kind::Directory || seen.insert(found.inode)
    });
    counted.map(|found| found.bytes).sum()
}

pub(super) fn is_denied(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::PermissionDenied
}
