//! Images from tar streams, archives and directories.

use super::{ImageConfig, ImageKey, LayerKey, Store, StoreError};
use std::io::Read;
use std::path::Path;

/// An image of one layer from a root file system as a tar stream: plain, gzip or zstd. Blocks.
///
/// # Errors
/// The stream cannot be read, makes no sense or meets a cap; trouble with the store.
pub fn import_tar(
    store: &Store,
    key: LayerKey,
    config: &ImageConfig,
    reader: impl Read,
) -> Result<ImageKey, StoreError> {
    let _ = (store, key, config, reader);
    Err(StoreError::source_error("tar stream", "not landed yet"))
}

/// An image from a directory that holds a root file system; it is copied. Blocks.
///
/// # Errors
/// The directory cannot be read; trouble with the store.
pub fn import_directory(
    store: &Store,
    key: LayerKey,
    config: &ImageConfig,
    directory: &Path,
) -> Result<ImageKey, StoreError> {
    let _ = (store, key, config);
    Err(StoreError::source_error(directory.display(), "not landed yet"))
}

/// An image from a root-fs tar, a `docker save` archive, an OCI archive or an OCI layout
/// directory. The archive's own config stands where `config` is empty. Blocks.
///
/// # Errors
/// The archive cannot be read, makes no sense or meets a cap; trouble with the store.
pub fn import_archive(
    store: &Store,
    key: LayerKey,
    config: &ImageConfig,
    path: &Path,
) -> Result<ImageKey, StoreError> {
    let _ = (store, key, config);
    Err(StoreError::source_error(path.display(), "not landed yet"))
}
