//! What trees take on disk.

use super::StoreError;
use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// What a tree takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Used {
    /// Bytes on disk, files with several names counted once.
    pub(super) bytes: u64,
    /// Files, directories and links.
    pub(super) entries: u64,
}

/// Walks a tree. Directories that cannot be read are counted, and what is in them is not.
pub(super) fn of_tree(root: &Path) -> Result<Used, StoreError> {
    let mut used = Used::default();
    let mut seen = HashSet::new();
    for entry in walkdir::WalkDir::new(root).max_open(64) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) if error.io_error().is_some_and(is_denied) => continue,
            Err(error) => return Err(std::io::Error::from(error).into()),
        };
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            Err(error) if error.io_error().is_some_and(is_denied) => continue,
            Err(error) => return Err(std::io::Error::from(error).into()),
        };
        used.entries += 1;
        let shared = !metadata.is_dir() && metadata.nlink() > 1;
        if !shared || seen.insert((metadata.dev(), metadata.ino())) {
            used.bytes += metadata.blocks() * 512;
        }
    }
    Ok(used)
}

fn is_denied(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::PermissionDenied
}
