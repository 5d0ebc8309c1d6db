//! Safe unpacking of hostile tar streams into a directory.
//!
//! Theory: an entry's parent directory is opened by `openat2` with `RESOLVE_IN_ROOT`, so that the
//! kernel, not a check of ours, keeps every lookup below the root whatever links the archive made
//! before; the entry itself is made relative to that descriptor, by calls that follow no link and
//! never write through what exists. Names with `..` are refused. Devices are left out. What an
//! archive may cost (entries, bytes, names) has caps, and all memory used is bounded by them.

mod attributes;
mod entry;
mod header;
mod place;
mod sparse;
mod stream;
#[cfg(test)]
mod tests;
mod tree;

pub use attributes::{Owner, Owners};
pub(super) use attributes::{Xattr, is_portable};

use super::Marks;
use std::io::{self, Read};
use std::path::Path;

/// A tar stream could not be unpacked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// The stream could not be read.
    #[error("cannot read the tar stream: {0}")]
    Read(#[source] io::Error),
    /// The stream ends in the middle.
    #[error("the tar stream ends too early, after {at} bytes")]
    Truncated {
        /// How many bytes there were.
        at: u64,
    },
    /// The stream is no tar stream, or a damaged one.
    #[error("the tar stream makes no sense near byte {at}: {why}")]
    Malformed {
        /// Where.
        at: u64,
        /// What is wrong.
        why: String,
    },
    /// A name that cannot be made in the directory, or leads out of it.
    #[error("`{path}` in the tar stream: {why}")]
    Path {
        /// The name, made printable.
        path: String,
        /// Why not.
        why: String,
    },
    /// More than [`Caps`] allow.
    #[error("the tar stream has more than {limit} {what}")]
    Cap {
        /// Of what.
        what: &'static str,
        /// The cap.
        limit: u64,
    },
    /// The directory could not be written.
    #[error("{call} `{path}`: {source}")]
    Write {
        /// What was tried.
        call: &'static str,
        /// The name in the stream, made printable.
        path: String,
        /// The system's answer.
        source: io::Error,
    },
}

/// What one stream may cost.
#[derive(Clone, Copy, Debug)]
pub struct Caps {
    /// Entries of any kind, and directories made without one.
    pub entries: u64,
    /// Bytes of the stream, and bytes of the files it makes, holes included.
    pub bytes: u64,
    /// Bytes of all names, link targets and attributes together.
    pub names: u64,
    /// Bytes of one name or link target.
    pub path: usize,
}

impl Default for Caps {
    fn default() -> Self {
        Self { entries: 4_000_000, bytes: 256 << 30, names: 512 << 20, path: 4095 }
    }
}

/// How to unpack.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What the stream may cost.
    pub caps: Caps,
    /// Whether `.wh.` names are whiteouts (image layers) or names as any other.
    pub whiteouts: bool,
    /// The form of whiteouts and opaque directories.
    pub marks: Marks,
    /// Whether files get their owners, or these are returned to be written down.
    pub owners: Owners,
}

impl Options {
    /// For a stream of an image's layer (`whiteouts`) or of a whole root file system. Marks of an
    /// unprivileged user's store go with owners that are written down.
    #[must_use]
    pub fn new(marks: Marks, whiteouts: bool) -> Self {
        let owners = match marks {
            Marks::Trusted => Owners::Apply,
            Marks::User => Owners::Record,
        };
        Self { caps: Caps::default(), whiteouts, marks, owners }
    }
}

/// What was unpacked.
#[derive(Clone, Debug, Default)]
pub struct Unpacked {
    /// Entries of the stream, and directories that were made though it has no entry for them.
    pub entries: u64,
    /// Bytes of the files, holes included.
    pub bytes: u64,
    /// Device nodes that were left out.
    pub devices: u64,
    /// Entries of unknown kinds that were left out.
    pub unknown: u64,
    /// Extended attributes that were left out: the machine's own, or not possible here.
    pub attributes: u64,
    /// Owners and modes that are not on disk, by path, for [`Owners::Record`].
    pub owners: std::collections::BTreeMap<Vec<u8>, Owner>,
}

/// Unpacks a tar stream (not compressed) into the directory `root`, which must exist and should be
/// empty, and reads the stream to its end. Blocks. After an error the directory holds a part.
///
/// # Errors
/// See [`UnpackError`].
pub fn unpack(reader: impl Read, root: &Path, options: &Options) -> Result<Unpacked, UnpackError> {
    let mut stream = stream::TarStream::new(reader, options.caps);
    let mut place = place::Place::new(root, options)?;
    while let Some(entry) = stream.next_entry()? {
        place.put(&entry, &mut stream)?;
    }
    stream.drain()?;
    place.finish()
}

/// A name of a stream for messages.
fn show(path: &[u8]) -> String {
    let text = path.escape_ascii().to_string();
    if text.len() <= 300 { text } else { format!("{}…", &text[..300]) }
}

/// A file in a tar: where its content is, or what it links to.
#[derive(Clone, Debug)]
pub(super) struct TarFile {
    /// Its name without leading `./`, `/`; names that are not UTF-8 are made printable.
    pub(super) path: String,
    /// The target, of a link; that of a hard link begins with `/`.
    pub(super) link: Option<String>,
    /// Where its content begins in the stream.
    pub(super) at: u64,
    /// Bytes of content.
    pub(super) size: u64,
}

/// Lists the files of a tar stream as long as `more` says so.
pub(super) fn index(
    reader: impl Read,
    mut more: impl FnMut(TarFile) -> bool,
) -> Result<(), UnpackError> {
    let caps = Caps::default();
    let mut stream = stream::TarStream::new(reader, caps);
    let mut names = 0;
    while let Some(entry) = stream.next_entry()? {
        names += entry.path.len() + entry.link.len();
        if names as u64 > caps.names {
            return Err(UnpackError::Cap { what: "bytes of names", limit: caps.names });
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let link = match entry.kind {
            entry::Kind::Symlink => Some(text(&entry.link)),
            entry::Kind::HardLink => Some(format!("/{}", text(&entry.link))),
            _ => None,
        };
        let path = text(&entry.path);
        let path = path.trim_start_matches("./").trim_matches('/').to_owned();
        if !more(TarFile { path, link, at: stream.position(), size: entry.stored }) {
            break;
        }
    }
    Ok(())
}
