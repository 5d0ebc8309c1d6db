//! What the store writes down of layers, images and names, and how such files are written.

use super::{ImageConfig, ImageKey, LayerKey, StoreError};
use crate::model::Digest;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// In which form whiteouts and opaque directories stand in a store's layers. Overlayfs reads the
/// one or the other by its `userxattr` option; the two cannot be mixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Marks {
    /// `trusted.overlay.*`: needs the machine's root; files keep their owners on disk.
    Trusted,
    /// `user.overlay.*`, for mounts with `userxattr`; files belong to the user, and their owners
    /// are written down beside the layer.
    User,
}

/// An image in the store: a stack of layers and what it says of its processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredImage {
    /// Its name.
    pub key: ImageKey,
    /// Its layers, the bottom one first.
    pub layers: Vec<LayerKey>,
    /// What it says of its processes.
    pub config: ImageConfig,
    /// Host directories shown read-only at the same path.
    #[serde(default)]
    pub binds: Vec<PathBuf>,
    /// Bytes on disk of all its layers, those shared with other images included.
    #[serde(default)]
    pub size: u64,
    /// When it was made.
    pub created: Timestamp,
}

/// What is said of an image when its topmost layer is committed.
#[derive(Clone, Debug)]
pub struct NewImage {
    /// The key of the new layer, and so of the image.
    pub key: LayerKey,
    /// The image below. Its binds are shown in the new image too.
    pub parent: Option<ImageKey>,
    /// What it says of its processes.
    pub config: ImageConfig,
    /// Host directories shown read-only at the same path, besides those of the image below.
    pub binds: Vec<PathBuf>,
}

/// How a name came to stand for an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TagOrigin {
    /// Built here by a recipe.
    Built,
    /// Built here from a Dockerfile.
    Dockerfile,
    /// Taken from an archive or directory.
    Imported,
    /// Pulled from a registry.
    Pulled,
}

/// An image and the names that stand for it, for lists.
#[derive(Clone, Debug, Serialize)]
pub struct ImageEntry {
    /// The image.
    #[serde(flatten)]
    pub image: StoredImage,
    /// Its names and where they come from.
    pub names: Vec<(String, TagOrigin)>,
}

/// `layer.json`: what is known of one layer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct LayerRecord {
    /// Its name; must be that of its directory.
    pub(super) key: LayerKey,
    /// Bytes on disk, what it shares with other layers included.
    pub(super) bytes: u64,
    /// Of these, bytes of what is never shared: directories, links, files with several names.
    #[serde(default)]
    pub(super) loose: u64,
    /// The digest of what is written down of its contents; none: nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) contents: Option<Digest>,
    /// Files, directories and links.
    pub(super) entries: u64,
    /// When it was made.
    pub(super) created: Timestamp,
    /// The boot in which it was made, if its files were not synced to disk: after another boot it
    /// cannot be trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) unsynced_boot: Option<String>,
}

/// Reads a JSON file of the store; `None` where there is none.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StoreError> {
    let bytes = match fs_err::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| StoreError::Damaged { path: path.to_owned(), why: error.to_string() })
}

/// Writes a JSON file so that after a crash there is the old file or the new one, never a part.
pub(super) fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), StoreError> {
    let directory = path.parent().expect("files of the store have a directory");
    let mut bytes = serde_json::to_vec_pretty(value)
        .map_err(|error| StoreError::Damaged { path: path.to_owned(), why: error.to_string() })?;
    bytes.push(b'\n');
    let mut file = tempfile::Builder::new()
        .prefix(".new-")
        .tempfile_in(directory)
        .map_err(StoreError::call("create a file in", directory))?;
    file.write_all(&bytes).map_err(StoreError::call("write", path))?;
    file.as_file().sync_all().map_err(StoreError::call("sync", path))?;
    file.persist(path).map_err(|error| StoreError::call("write", path)(error.error))?;
    Ok(())
}
