//! Images from tar streams, directories and archives.

use super::unpack::{self, Options, Unpacked};
use super::{ImageConfig, ImageKey, LayerKey, NewImage, NewLayer, Store, StoreError};
use super::{archive, decompress, export, owners};
use std::io::{self, Read};
use std::path::Path;

/// An image of one layer from a root file system as a tar stream: plain, gzip or zstd. Done
/// already: the stream is not read. Blocks.
///
/// # Errors
/// The stream cannot be read, makes no sense or meets a cap; trouble with the store.
pub fn import_tar(
    store: &Store,
    key: LayerKey,
    config: &ImageConfig,
    reader: impl Read,
) -> Result<ImageKey, StoreError> {
    if store.contains(&key.into()) {
        return Ok(key.into());
    }
    let layer = store.begin()?;
    fill(&layer, decompress::reader(reader)?, false, store)?;
    commit(layer, key, config)
}

/// An image from a directory that holds a root file system; it is copied, with owners, links and
/// attributes. Devices and what other file systems are mounted on are left out. Done already: no
/// work. Blocks.
///
/// # Errors
/// The directory cannot be read; trouble with the store.
pub fn import_directory(
    store: &Store,
    key: LayerKey,
    config: &ImageConfig,
    directory: &Path,
) -> Result<ImageKey, StoreError> {
    if store.contains(&key.into()) {
        return Ok(key.into());
    }
    let layer = store.begin()?;
    let (reader, writer) = io::pipe()?;
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| export::write_directory(directory, writer));
        let filled = fill(&layer, reader, false, store);
        let written = writing.join().expect("the writer does not panic");
        // A writer that failed ends the stream early: its error is the cause of the reader's.
        match (filled, written) {
            (Err(error), Ok(())) => Err(error),
            (Err(error), Err(cause)) if is_broken_pipe(&cause) => Err(error),
            (_, written) => written,
        }
    })?;
    commit(layer, key, config)
}

/// An image from a root-fs tar, a `docker save` archive, an OCI archive or an OCI layout
/// directory. The archive's own config stands where `config` is empty. Done already: the archive
/// is not read. Blocks.
///
/// # Errors
/// The archive cannot be read, makes no sense or meets a cap; it holds several images; trouble
/// with the store.
pub fn import_archive(
    store: &Store,
    key: LayerKey,
    config: &ImageConfig,
    path: &Path,
) -> Result<ImageKey, StoreError> {
    if store.contains(&key.into()) {
        return Ok(key.into());
    }
    archive::import(store, key, config, path)
}

/// Unpacks a tar stream into a layer in the making, and writes down the owners it could not set.
pub(super) fn fill(
    layer: &NewLayer,
    reader: impl Read,
    whiteouts: bool,
    store: &Store,
) -> Result<Unpacked, StoreError> {
    let options = Options::new(store.marks(), whiteouts);
    let unpacked = unpack::unpack(reader, layer.root(), &options)?;
    owners::write(layer.directory(), &unpacked.owners)?;
    Ok(unpacked)
}

fn commit(layer: NewLayer, key: LayerKey, config: &ImageConfig) -> Result<ImageKey, StoreError> {
    layer.commit(NewImage { key, parent: None, config: config.clone(), binds: Vec::new() })
}

fn is_broken_pipe(error: &StoreError) -> bool {
    match error {
        StoreError::Io(error) | StoreError::Call { source: error, .. } => {
            error.kind() == io::ErrorKind::BrokenPipe
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::{Marks, export_image};
    use crate::model::Digest;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::path::PathBuf;

    fn key(text: &str) -> LayerKey {
        LayerKey(Digest::of(text))
    }

    /// A tree with one of most things.
    fn sample(root: &Path) {
        fs_err::create_dir_all(root.join("usr/bin")).unwrap();
        fs_err::write(root.join("usr/bin/tool"), "#!/bin/sh\n").unwrap();
        let tool = rustix::fs::Mode::from_raw_mode(0o4755);
        rustix::fs::chmod(root.join("usr/bin/tool"), tool).unwrap();
        fs_err::hard_link(root.join("usr/bin/tool"), root.join("usr/bin/tool2")).unwrap();
        fs_err::os::unix::fs::symlink("usr/bin", root.join("bin")).unwrap();
        let long = root.join("a".repeat(200)).join("b".repeat(200));
        fs_err::create_dir_all(&long).unwrap();
        fs_err::write(long.join("file with \n and ü"), vec![7; 5000]).unwrap();
        fs_err::create_dir(root.join("closed")).unwrap();
        fs_err::write(root.join("closed/inner"), "x").unwrap();
        rustix::fs::chmod(root.join("closed"), rustix::fs::Mode::from_raw_mode(0o1500)).unwrap();
        rustix::fs::setxattr(
            root.join("closed/inner"),
            "user.note",
            b"\0\n=x",
            rustix::fs::XattrFlags::empty(),
        )
        .unwrap();
        let nobody = rustix::fs::Uid::from_raw(70_000);
        // Not possible for all who run tests; then owners are compared as they are.
        let _ = rustix::fs::chown(root.join("closed/inner"), Some(nobody), None);
    }

    /// Every entry of a tree with what tells it from another.
    fn listing(root: &Path) -> Vec<(PathBuf, u32, u32, i64, Vec<u8>)> {
        let mut entries: Vec<_> = walkdir::WalkDir::new(root)
            .into_iter()
            .map(|entry| {
                let entry = entry.unwrap();
                let metadata = entry.metadata().unwrap();
                let content = if metadata.is_file() {
                    fs_err::read(entry.path()).unwrap()
                } else if metadata.is_symlink() {
                    fs_err::read_link(entry.path()).unwrap().into_os_string().into_encoded_bytes()
                } else {
                    Vec::new()
                };
                let path = entry.path().strip_prefix(root).unwrap().to_owned();
                let mode = metadata.permissions().mode();
                (path, mode, metadata.uid(), metadata.mtime_nsec(), content)
            })
            .collect();
        entries.sort();
        entries
    }

    #[test]
    fn a_directory_comes_back_from_an_image_and_its_export() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(&home.path().join("home")).unwrap();
        let source = home.path().join("source");
        fs_err::create_dir(&source).unwrap();
        sample(&source);
        let config = ImageConfig::default();
        let image = import_directory(&store, key("a"), &config, &source).unwrap();
        let mut tar = Vec::new();
        export_image(&store, &image, &mut tar, false).unwrap();
        let again = import_tar(&store, key("b"), &config, &tar[..]).unwrap();
        let mut tar_again = Vec::new();
        export_image(&store, &again, &mut tar_again, false).unwrap();
        assert!(tar == tar_again, "an export of an import of an export differs");
        if store.marks() == Marks::Trusted {
            assert_eq!(listing(&store.layer_dir(&key("a"))), listing(&source));
            assert_eq!(listing(&store.layer_dir(&key("b"))), listing(&source));
        }
        let root = store.layer_dir(&key("b")).join("usr/bin");
        let inode = |name| fs_err::metadata(root.join(name)).unwrap().ino();
        assert_eq!(inode("tool"), inode("tool2"));
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(home.path()).unwrap();
        let missing = home.path().join("missing");
        let error = import_directory(&store, key("a"), &ImageConfig::default(), &missing);
        assert!(error.unwrap_err().to_string().contains("missing"));
        assert!(!store.contains(&key("a").into()));
    }
}
