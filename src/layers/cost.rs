//! What the store costs: bytes on disk, each file counted once however many layers share it.

use super::{ImageKey, LayerKey, Store, StoreError, StoredImage};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::unix::fs::MetadataExt as _;

/// What one image costs.
#[derive(Clone, Debug, Serialize)]
pub struct ImageUsage {
    /// The image.
    pub key: ImageKey,
    /// Bytes that are free when this image alone is removed.
    pub unique: u64,
    /// Bytes that it shares with others: layers, and equal files of layers.
    pub shared: u64,
    /// When it was made or last used.
    pub used: Timestamp,
}

/// What the store costs.
#[derive(Clone, Debug, Serialize)]
pub struct StoreUsage {
    /// Bytes of all there is on disk.
    pub bytes: u64,
    /// Bytes that the same layers would take if none of their files were shared.
    pub apart: u64,
    /// How many layers there are.
    pub layers: usize,
    /// Bytes of layers that no image needs, and of files that no layer has.
    pub unneeded: u64,
    /// Each image.
    pub images: Vec<ImageUsage>,
}

/// Whose a file is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// No image's.
    Nobody,
    /// Of layers that only this image needs; by its place in the list.
    Image(usize),
    Many,
}

impl Owner {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nobody, owner) | (owner, Self::Nobody) => owner,
            (one, other) if one == other => one,
            _ => Self::Many,
        }
    }
}

/// Files of layers by inode: whose they are, and their bytes.
type Files = HashMap<u64, (Owner, u64)>;

impl Store {
    /// What the store and each image in it cost. Looks at every file. Blocks.
    ///
    /// # Errors
    /// A file of the store cannot be read or makes no sense.
    pub fn usage(&self) -> Result<StoreUsage, StoreError> {
        let images: Vec<_> = self.images()?.into_iter().map(|entry| entry.image).collect();
        let mut owners: BTreeMap<LayerKey, Owner> = BTreeMap::new();
        for (at, image) in images.iter().enumerate() {
            for layer in &image.layers {
                let owner = owners.entry(*layer).or_insert(Owner::Image(at));
                *owner = owner.and(Owner::Image(at));
            }
        }
        let keys = self.layer_keys()?;
        let mut files = Files::new();
        let mut sizes: BTreeMap<LayerKey, u64> = BTreeMap::new();
        for layer in &keys {
            let owner = owners.get(layer).copied().unwrap_or(Owner::Nobody);
            sizes.insert(*layer, self.add_files(layer, owner, &mut files));
        }
        let mut unique = vec![0; images.len()];
        let mut unneeded = self.pool().size()?.unused;
        for (owner, bytes) in files.values() {
            match owner {
                Owner::Nobody => unneeded += bytes,
                Owner::Image(at) => unique[*at] += bytes,
                Owner::Many => {}
            }
        }
        let cost = |(image, unique): (&StoredImage, u64)| ImageUsage {
            key: image.key,
            unique,
            shared: image
                .layers
                .iter()
                .map(|layer| sizes.get(layer).copied().unwrap_or(0))
                .sum::<u64>()
                .saturating_sub(unique),
            used: self.used(image),
        };
        Ok(StoreUsage {
            bytes: self.bytes()?,
            apart: sizes.values().sum(),
            layers: keys.len(),
            unneeded,
            images: images.iter().zip(unique).map(cost).collect(),
        })
    }

    /// Bytes on disk of a layer, what it shares with others included; `None` if it is not here.
    ///
    /// # Errors
    /// Its record cannot be read.
    pub fn size_of(&self, layer: &LayerKey) -> Result<Option<u64>, StoreError> {
        Ok(self.layer(layer)?.map(|layer| layer.bytes))
    }

    /// Bytes on disk of all layers and images. Looks at each file of the pool once, not at each
    /// layer. Blocks.
    ///
    /// # Errors
    /// A file of the store cannot be read.
    pub fn bytes(&self) -> Result<u64, StoreError> {
        let mut bytes = self.pool().size()?.bytes;
        for layer in self.layer_keys()? {
            let home = self.layer_home(&layer);
            bytes += self.layer(&layer).ok().flatten().map_or(0, |layer| layer.loose);
            bytes += flat(&home)?;
        }
        Ok(bytes + flat(&self.images_path())? + flat(&self.tags_path())?)
    }

    /// Bytes on disk that are free when these layers are removed.
    pub(super) fn freed_by(&self, layers: &[LayerKey]) -> Result<u64, StoreError> {
        let mut files: HashMap<u64, (u64, u64, u64)> = HashMap::new();
        for layer in layers {
            for entry in walkdir::WalkDir::new(self.layer_home(layer)).into_iter().flatten() {
                let Ok(metadata) = entry.metadata() else { continue };
                let links = if metadata.is_file() { metadata.nlink() } else { 1 };
                let file =
                    files.entry(metadata.ino()).or_insert((0, links, metadata.blocks() * 512));
                file.0 += 1;
            }
        }
        // The pool has one link of a file.
        Ok(files.values().filter(|(met, links, _)| met + 1 >= *links).map(|file| file.2).sum())
    }

    /// Adds the files of a layer; returns the bytes that it would take alone.
    fn add_files(&self, layer: &LayerKey, owner: Owner, files: &mut Files) -> u64 {
        let mut own = HashMap::new();
        for entry in walkdir::WalkDir::new(self.layer_home(layer)) {
            // What an ordinary user cannot read of what is his own is not counted.
            let Ok(metadata) = entry.and_then(|entry| entry.metadata()) else { continue };
            let bytes = metadata.blocks() * 512;
            own.insert(metadata.ino(), bytes);
            let file = files.entry(metadata.ino()).or_insert((owner, bytes));
            file.0 = file.0.and(owner);
        }
        own.values().sum()
    }

    /// The images that stand on each image, by key.
    ///
    /// # Errors
    /// A file of the store cannot be read or makes no sense.
    pub fn children(&self) -> Result<BTreeMap<ImageKey, BTreeSet<ImageKey>>, StoreError> {
        let mut children: BTreeMap<ImageKey, BTreeSet<ImageKey>> = BTreeMap::new();
        for entry in self.images()? {
            let below = entry.image.layers.iter().rev().skip(1).map(|layer| ImageKey(layer.0));
            if let Some(parent) = below.into_iter().find(|key| self.image_path(key).exists()) {
                children.entry(parent).or_default().insert(entry.image.key);
            }
        }
        Ok(children)
    }
}

/// Bytes on disk of a directory and the files in it, without what is below.
pub(super) fn flat(directory: &std::path::Path) -> Result<u64, StoreError> {
    let mut bytes = fs_err::symlink_metadata(directory).map_or(0, |own| own.blocks() * 512);
    let entries = match fs_err::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error.into()),
    };
    for entry in entries {
        match entry?.metadata() {
            Ok(metadata) if metadata.is_file() => bytes += metadata.blocks() * 512,
            _ => {}
        }
    }
    Ok(bytes)
}
