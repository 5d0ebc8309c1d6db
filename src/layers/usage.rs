//! What trees take on disk.

use super::StoreError;
use std::collections::HashMap;
use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use walkdir::DirEntry;

/// What a tree takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Used {
    /// Bytes on disk, files with several names counted once.
    pub(super) bytes: u64,
    /// Files, directories and links.
    pub(super) entries: u64,
}

/// Everything in a tree and what the file system says of it. What may not be looked at is left out,
/// and so is what goes meanwhile.
pub(super) fn walk(
    root: &Path,
) -> impl Iterator<Item = Result<(DirEntry, Metadata), StoreError>> + use<> {
    let entries = walkdir::WalkDir::new(root).max_open(64).same_file_system(true).into_iter();
    let seen = entries.map(|entry| {
        let entry = entry?;
        let metadata = entry.metadata()?;
        Ok((entry, metadata))
    });
    seen.filter_map(|found: Result<_, walkdir::Error>| match found {
        Ok(found) => Some(Ok(found)),
        Err(error) => {
            let kind = error.io_error().map(std::io::Error::kind);
            let skipped = matches!(kind, Some(ErrorKind::PermissionDenied | ErrorKind::NotFound));
            (!skipped).then(|| Err(std::io::Error::from(error).into()))
        }
    })
}

/// Walks a tree. Directories that cannot be read are counted, and what is in them is not.
pub(super) fn of_tree(root: &Path) -> Result<Used, StoreError> {
    let mut files = HashMap::new();
    let mut used = Used::default();
    add(root, &mut used, &mut files)?;
    used.bytes += files.values().map(|file| file.bytes).sum::<u64>();
    Ok(used)
}

/// Bytes on disk of what these trees alone have: not of files with names elsewhere.
pub(super) fn of_trees_alone<P: AsRef<Path>>(roots: &[P]) -> Result<u64, StoreError> {
    let mut files = HashMap::new();
    let mut used = Used::default();
    for root in roots {
        add(root.as_ref(), &mut used, &mut files)?;
    }
    let own = files.values().filter(|file| file.met >= file.links);
    Ok(used.bytes + own.map(|file| file.bytes).sum::<u64>())
}

/// A file with several names.
struct Linked {
    met: u64,
    links: u64,
    bytes: u64,
}

/// Adds a tree; files with several names are put aside.
fn add(
    root: &Path,
    used: &mut Used,
    files: &mut HashMap<(u64, u64), Linked>,
) -> Result<(), StoreError> {
    for found in walk(root) {
        let (_, metadata) = found?;
        used.entries += 1;
        let (bytes, links) = (metadata.blocks() * 512, metadata.nlink());
        if metadata.is_dir() || links < 2 {
            used.bytes += bytes;
            continue;
        }
        let inode = (metadata.dev(), metadata.ino());
        files.entry(inode).or_insert(Linked { met: 0, links, bytes }).met += 1;
    }
    Ok(())
}
