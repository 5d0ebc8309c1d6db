//! Files that a build copies: of its context, of an image, of an archive, of a here-document.

use super::ignored::Ignored;
use crate::model::{Digest, DigestBuilder};
use fs_err as fs;
use std::collections::BTreeMap;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Files by their path: relative, plain, `/` between the parts; the tree's own top is `""`.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    pub(super) entries: BTreeMap<Vec<u8>, Entry>,
}

/// One file, directory or link.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    /// Permission bits.
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
    /// Seconds since 1970.
    pub(super) mtime: u64,
    pub(super) xattrs: Vec<(String, Vec<u8>)>,
}

/// What an entry is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Directory,
    File(Bytes),
    /// Where it leads.
    Symlink(Vec<u8>),
    /// A further name of a file of the tree.
    HardLink(Vec<u8>),
}

/// Where the bytes of a file are.
#[derive(Clone, Debug)]
pub(super) enum Bytes {
    Memory(Vec<u8>),
    /// In a file, from an offset, this many.
    In {
        file: PathBuf,
        offset: u64,
        length: u64,
    },
}

impl Bytes {
    pub(super) fn length(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::In { length, .. } => *length,
        }
    }

    pub(super) fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        match self {
            Self::Memory(bytes) => Ok(Box::new(bytes.as_slice())),
            Self::In { file, offset, length } => {
                let mut file = fs::File::open(file)?;
                file.seek(SeekFrom::Start(*offset))?;
                Ok(Box::new(file.take(*length)))
            }
        }
    }
}

impl Entry {
    pub(super) fn new(kind: Kind, mode: u32) -> Self {
        Self { kind, mode, uid: 0, gid: 0, mtime: 0, xattrs: Vec::new() }
    }

    pub(super) fn is_directory(&self) -> bool {
        matches!(self.kind, Kind::Directory)
    }
}

impl Tree {
    /// What a build sees of its context. All belongs to root, as it does in Docker's.
    pub(super) fn of_context(context: &Path, ignored: &Ignored) -> io::Result<Self> {
        let mut tree = Self::default();
        let mut hidden_directories = Vec::new();
        for found in walkdir::WalkDir::new(context).sort_by_file_name() {
            let found = found?;
            let relative = found.path().strip_prefix(context).map_err(io::Error::other)?;
            let path = relative.as_os_str().as_bytes().to_vec();
            let Some(entry) = context_entry(found.path())? else { continue };
            let top = path.is_empty() || ignored.is_empty();
            if top || !ignored.hides(&String::from_utf8_lossy(&path)) {
                tree.entries.insert(path, entry);
            } else if entry.is_directory() {
                hidden_directories.push((path, entry));
            }
        }
        // Something in it is an exception. The deepest first: it may be all that its parent holds.
        for (path, entry) in hidden_directories.into_iter().rev() {
            if tree.below(&path).next().is_some() {
                tree.entries.insert(path, entry);
            }
        }
        Ok(tree)
    }

    /// The entries of a tar stream that lies in a file, not compressed.
    pub(super) fn of_tar(path: &Path) -> io::Result<Self> {
        let mut tree = Self::default();
        let mut archive = tar::Archive::new(fs::File::open(path)?);
        for entry in archive.entries_with_seek()? {
            let mut entry = entry?;
            let name = plain(&entry.path_bytes());
            let header = entry.header();
            let kind = match header.entry_type() {
                tar::EntryType::Directory => Kind::Directory,
                tar::EntryType::Regular
                | tar::EntryType::Continuous
                | tar::EntryType::GNUSparse => {
                    let (offset, length) = (entry.raw_file_position(), entry.size());
                    Kind::File(Bytes::In { file: path.to_owned(), offset, length })
                }
                tar::EntryType::Symlink => {
                    Kind::Symlink(entry.link_name_bytes().unwrap_or_default().into_owned())
                }
                tar::EntryType::Link => {
                    Kind::HardLink(plain(&entry.link_name_bytes().unwrap_or_default()))
                }
                // Devices and the like are nothing that a build copies.
                _ => continue,
            };
            let mut found = Entry::new(kind, header.mode()? & 0o7777);
            (found.uid, found.gid) = (header.uid()?, header.gid()?);
            found.mtime = header.mtime()?;
            found.xattrs = xattrs(&mut entry)?;
            tree.entries.insert(name, found);
        }
        Ok(tree)
    }

    /// One file under a name.
    pub(super) fn of_file(name: &[u8], bytes: Bytes, mode: u32) -> Self {
        let entry = Entry::new(Kind::File(bytes), mode);
        Self { entries: BTreeMap::from([(name.to_vec(), entry)]) }
    }

    /// What is in a directory, at any depth.
    pub(super) fn below<'a>(
        &'a self,
        directory: &'a [u8],
    ) -> impl Iterator<Item = (&'a Vec<u8>, &'a Entry)> {
        let from = match directory.is_empty() {
            true => Vec::new(),
            false => [directory, b"/"].concat(),
        };
        let prefix = from.clone();
        self.entries
            .range(from..)
            .take_while(move |(path, _)| path.starts_with(&prefix))
            .filter(|(path, _)| !path.is_empty())
    }

    /// The path that this one leads to when links of the tree are followed, and what is there.
    pub(super) fn resolve(&self, path: &[u8]) -> Option<(Vec<u8>, &Entry)> {
        let mut rest: Vec<Vec<u8>> = parts(path).map(<[u8]>::to_vec).collect();
        rest.reverse();
        let mut at: Vec<u8> = Vec::new();
        // As the kernel: a link too many is a circle.
        let mut links = 0;
        while let Some(part) = rest.pop() {
            if part == b".." {
                at = parent(&at).to_vec();
                continue;
            }
            let next = join(&at, &part);
            match self.entries.get(&next).map(|entry| &entry.kind) {
                Some(Kind::Symlink(target)) => {
                    links += 1;
                    if links > 40 {
                        return None;
                    }
                    if target.starts_with(b"/") {
                        at.clear();
                    }
                    let target: Vec<_> = parts(target).map(<[u8]>::to_vec).collect();
                    rest.extend(target.into_iter().rev());
                }
                Some(_) => at = next,
                None => return None,
            }
        }
        self.entries.get(&at).map(|entry| (at, entry))
    }

    /// A digest of all that a copy brings along; times are not part of it.
    pub(super) fn digest(&self) -> io::Result<Digest> {
        let mut builder = DigestBuilder::new("evalrun copied files v1");
        for (path, entry) in &self.entries {
            let (kind, content) = match &entry.kind {
                Kind::Directory => ("directory", String::new()),
                Kind::Symlink(target) => ("link", hex::encode(target)),
                Kind::HardLink(target) => ("hard link", hex::encode(target)),
                Kind::File(bytes) => ("file", Digest::of_reader(&mut bytes.open()?)?.to_string()),
            };
            let xattrs = entry.xattrs.iter();
            let xattrs = xattrs.map(|(name, value)| format!("{name}={}", hex::encode(value)));
            builder = builder
                .field("path", hex::encode(path))
                .field(kind, content)
                .field("mode", format!("{:o} {}:{}", entry.mode, entry.uid, entry.gid))
                .list("xattr", xattrs);
        }
        Ok(builder.finish())
    }
}

/// What a path of the context is; nothing for sockets and the like.
fn context_entry(path: &Path) -> io::Result<Option<Entry>> {
    let about = fs::symlink_metadata(path)?;
    let kind = if about.is_dir() {
        Kind::Directory
    } else if about.is_symlink() {
        Kind::Symlink(fs::read_link(path)?.into_os_string().as_bytes().to_vec())
    } else if about.is_file() {
        Kind::File(Bytes::In { file: path.to_owned(), offset: 0, length: about.len() })
    } else {
        return Ok(None);
    };
    let mut entry = Entry::new(kind, about.mode() & 0o7777);
    entry.mtime = u64::try_from(about.mtime()).unwrap_or(0);
    Ok(Some(entry))
}

fn xattrs<R: Read>(entry: &mut tar::Entry<'_, R>) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut found = Vec::new();
    for extension in entry.pax_extensions()?.into_iter().flatten() {
        let extension = extension?;
        let name = extension.key().ok().and_then(|key| key.strip_prefix("SCHILY.xattr."));
        if let Some(name) = name {
            found.push((name.to_owned(), extension.value_bytes().to_vec()));
        }
    }
    Ok(found)
}

fn parts(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"."))
}

/// A path without what does not lead anywhere, and never above the top.
pub(super) fn plain(path: &[u8]) -> Vec<u8> {
    let mut at: Vec<u8> = Vec::new();
    for part in parts(path) {
        at = match part {
            b".." => parent(&at).to_vec(),
            part => join(&at, part),
        };
    }
    at
}

/// The directory that a path is in.
pub(super) fn parent(path: &[u8]) -> &[u8] {
    path.iter().rposition(|byte| *byte == b'/').map_or(b"", |at| &path[..at])
}

/// The last part of a path.
pub(super) fn name(path: &[u8]) -> &[u8] {
    path.iter().rposition(|byte| *byte == b'/').map_or(path, |at| &path[at + 1..])
}

/// A path in a directory; the top is `""`.
pub(super) fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    match (directory, name) {
        (b"", name) => name.to_vec(),
        (directory, b"") => directory.to_vec(),
        (directory, name) => [directory, b"/", name].concat(),
    }
}
