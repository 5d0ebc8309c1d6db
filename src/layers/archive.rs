//! Archives: root-fs tar, `docker save`, OCI.

use super::{ImageConfig, ImageKey, LayerKey, Store, StoreError, import_tar};
use std::path::Path;

pub(super) fn import(
    store: &Store,
    key: LayerKey,
    config: &ImageConfig,
    path: &Path,
) -> Result<ImageKey, StoreError> {
    import_tar(store, key, config, fs_err::File::open(path)?)
}
