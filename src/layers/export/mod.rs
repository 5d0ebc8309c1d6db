//! Trees as tar streams: an image flattened, or a directory as it is.

mod archive;
mod merge;
pub(super) mod pack;
mod writer;

pub use archive::export_archive;
pub use pack::Squeeze;

use super::{ImageKey, LayerKey, Store, StoreError, owners};
use merge::{Source, Walk};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

/// Writes the root file system of an image as a tar stream (PAX), its layers merged: what is
/// hidden by whiteouts and opaque directories is not in it. `binds`: what the image shows of this
/// machine is written too, so that it runs elsewhere. Blocks.
///
/// # Errors
/// [`StoreError::NoSuchImage`]; a layer cannot be read; the writer's own.
pub fn export_image(
    store: &Store,
    key: &ImageKey,
    writer: impl Write,
    binds: bool,
) -> Result<(), StoreError> {
    let _using = store.use_lock()?;
    let image = store.need(key)?;
    let mut sources = Vec::new();
    for layer in image.layers.iter().rev() {
        let owners = owners::read(&store.layer_home(layer))?;
        sources.push(Source::layer(&store.layer_dir(layer), owners)?);
    }
    let mut walk = Walk::new(sources, writer);
    if binds {
        for bind in &image.binds {
            walk.bind(bind)?;
        }
    }
    walk.write()
}

/// Writes one layer as a tar stream, with whiteouts in the form of image layers.
fn write_layer(store: &Store, layer: &LayerKey, writer: impl Write) -> Result<(), StoreError> {
    let owners = owners::read(&store.layer_home(layer))?;
    let source = Source::layer(&store.layer_dir(layer), owners)?;
    Walk::of_layer(source, writer).write()
}

/// Writes a directory as a tar stream. Devices, sockets and what is mounted in it are left out.
pub(super) fn write_directory(directory: &Path, writer: impl Write) -> Result<(), StoreError> {
    Walk::new(vec![Source::plain(directory, BTreeMap::new())?], writer).write()
}
