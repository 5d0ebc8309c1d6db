//! What the store costs, and making room: unused images, layers that no image needs.

use super::{ImageKey, LayerKey, Store, StoreError, StoredImage, lock};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Which images go.
#[derive(Clone, Copy, Debug, Default)]
pub struct Prune {
    /// Only images that were not used for this long; none: however lately they were.
    pub unused_for: Option<Duration>,
    /// Images with names go too; else only those that have none and on which no named one stands.
    pub named: bool,
    /// Nothing is removed; what would be is told.
    pub dry_run: bool,
}

/// What went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// Images.
    pub images: Vec<ImageKey>,
    /// Layers.
    pub layers: Vec<LayerKey>,
    /// Bytes on disk of these layers.
    pub bytes: u64,
}

/// What one image costs.
#[derive(Clone, Debug, Serialize)]
pub struct ImageUsage {
    /// The image.
    pub key: ImageKey,
    /// Bytes of layers that only this image has.
    pub unique: u64,
    /// Bytes of layers that others have too.
    pub shared: u64,
}

/// What the store costs.
#[derive(Clone, Debug, Serialize)]
pub struct StoreUsage {
    /// Bytes of all layers, each counted once.
    pub bytes: u64,
    /// How many layers there are.
    pub layers: usize,
    /// Bytes of layers that no image needs.
    pub unneeded: u64,
    /// Each image.
    pub images: Vec<ImageUsage>,
}

impl Store {
    /// What the store and each image in it cost. Blocks.
    ///
    /// # Errors
    /// A file of the store cannot be read or makes no sense.
    pub fn usage(&self) -> Result<StoreUsage, StoreError> {
        let sizes = self.layer_sizes()?;
        let images: Vec<_> = self.images()?.into_iter().map(|entry| entry.image).collect();
        let mut needed: BTreeMap<LayerKey, usize> = BTreeMap::new();
        for layer in images.iter().flat_map(|image| &image.layers) {
            *needed.entry(*layer).or_default() += 1;
        }
        let size = |layer: &LayerKey| sizes.get(layer).copied().unwrap_or(0);
        let cost = |image: &StoredImage| {
            let (unique, shared): (Vec<_>, Vec<_>) =
                image.layers.iter().partition(|layer| needed[layer] == 1);
            let sum = |layers: Vec<LayerKey>| layers.iter().map(size).sum();
            ImageUsage { key: image.key, unique: sum(unique), shared: sum(shared) }
        };
        let unneeded = sizes.iter().filter(|(layer, _)| !needed.contains_key(layer));
        Ok(StoreUsage {
            bytes: sizes.values().sum(),
            layers: sizes.len(),
            unneeded: unneeded.map(|(_, bytes)| bytes).sum(),
            images: images.iter().map(cost).collect(),
        })
    }

    /// Removes images that are not wanted, layers that no image needs and what dead processes left.
    /// Nobody else may use the store meanwhile. Blocks.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if a process uses the store; trouble with files.
    pub fn prune(&self, what: &Prune) -> Result<Pruned, StoreError> {
        let _alone = lock::for_a_moment(|| lock::try_exclusive(&self.lock_path()))?
            .ok_or_else(|| StoreError::InUse { home: self.home().to_owned() })?;
        if !what.dry_run {
            self.sweep()?;
        }
        let images = self.unwanted(what)?;
        let mut pruned = Pruned { images: images.into_iter().collect(), ..Pruned::default() };
        let mut needed = BTreeSet::new();
        for key in self.image_keys()? {
            if pruned.images.contains(&key) {
                continue;
            }
            // Layers of an image that is not whole now may be made again, and it is whole then.
            needed.extend(self.stored(&key)?.map(|image| image.layers).unwrap_or_default());
        }
        for (layer, bytes) in self.layer_sizes()? {
            if !needed.contains(&layer) {
                pruned.layers.push(layer);
                pruned.bytes += bytes;
            }
        }
        if !what.dry_run {
            // Images first: one without layers is as good as none, layers without one are waste.
            for image in &pruned.images {
                self.forget(image)?;
            }
            for layer in &pruned.layers {
                self.discard(&self.layer_home(layer))?;
            }
        }
        Ok(pruned)
    }

    /// The images that go: none on which a wanted one stands.
    fn unwanted(&self, what: &Prune) -> Result<BTreeSet<ImageKey>, StoreError> {
        let names = self.names()?;
        let mut wanted = BTreeSet::new();
        let mut unwanted = Vec::new();
        for key in self.image_keys()? {
            let image = match self.stored(&key) {
                Ok(Some(image)) => image,
                Ok(None) => continue,
                Err(StoreError::Damaged { .. }) => {
                    unwanted.push(key);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let named = names.contains_key(&key) && !what.named;
            let lately =
                what.unused_for.is_some_and(|age| self.used(&image) + age > Timestamp::now());
            if named || lately {
                wanted.extend(image.layers);
            } else {
                unwanted.push(key);
            }
        }
        Ok(unwanted.into_iter().filter(|key| !wanted.contains(&LayerKey(key.0))).collect())
    }

    /// When an image was made or last used: the time of its file, which [`Store::touch`] sets.
    fn used(&self, image: &StoredImage) -> Timestamp {
        let modified = fs_err::metadata(self.image_path(&image.key))
            .and_then(|metadata| metadata.modified())
            .ok()
            .and_then(|time| Timestamp::try_from(time).ok());
        modified.unwrap_or(image.created).max(image.created)
    }

    /// Notes that an image is used now, for [`Prune::unused_for`].
    ///
    /// # Errors
    /// Trouble with its file; no such image.
    pub fn touch(&self, key: &ImageKey) -> Result<(), StoreError> {
        let file = fs_err::File::options().append(true).open(self.image_path(key))?;
        file.file().set_modified(std::time::SystemTime::now())?;
        Ok(())
    }

    /// Bytes of each layer that is in place. One that cannot be trusted counts nothing: it is
    /// waste, whatever it holds.
    fn layer_sizes(&self) -> Result<BTreeMap<LayerKey, u64>, StoreError> {
        let keys = self.layer_keys()?.into_iter();
        Ok(keys
            .map(|key| {
                let bytes = self.layer(&key).ok().flatten().map_or(0, |layer| layer.bytes);
                (key, bytes)
            })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::{ImageConfig, NewImage, TagOrigin};
    use crate::model::Digest;

    fn image(store: &Store, text: &str, parent: Option<ImageKey>) -> ImageKey {
        let layer = store.begin().unwrap();
        fs_err::write(layer.root().join(text), vec![1; 10_000]).unwrap();
        let key = LayerKey(Digest::of(text));
        let config = ImageConfig::default();
        layer.commit(NewImage { key, parent, config, binds: Vec::new() }).unwrap()
    }

    #[test]
    fn named_images_and_what_they_stand_on_stay() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(home.path()).unwrap();
        let base = image(&store, "base", None);
        let named = image(&store, "named", Some(base));
        let loose = image(&store, "loose", Some(base));
        store.tag("it", &named, TagOrigin::Built).unwrap();

        let usage = store.usage().unwrap();
        let of = |key| usage.images.iter().find(|image| image.key == key).unwrap();
        assert_eq!((of(base).unique, usage.layers, usage.unneeded), (0, 3, 0));
        assert_eq!(of(named).shared, of(base).shared);
        assert!(of(named).unique >= 10_000);

        let dry = store.prune(&Prune { dry_run: true, ..Prune::default() }).unwrap();
        assert!(store.contains(&loose));
        let pruned = store.prune(&Prune::default()).unwrap();
        assert_eq!(pruned, dry);
        assert_eq!(pruned.images, [loose]);
        assert!(pruned.bytes >= 10_000);
        assert!(store.contains(&base) && store.contains(&named) && !store.contains(&loose));
        assert!(!store.layer_dir(&LayerKey(loose.0)).exists());

        let lately =
            Prune { unused_for: Some(Duration::from_hours(1)), named: true, dry_run: false };
        assert_eq!(store.prune(&lately).unwrap().images, []);
        let all = store.prune(&Prune { named: true, ..Prune::default() }).unwrap();
        assert_eq!(all.images.len(), 2);
        assert_eq!(store.resolve("it"), None);
        assert_eq!(store.usage().unwrap().bytes, 0);
    }

    #[test]
    fn nothing_is_pruned_while_somebody_uses_the_store() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(home.path()).unwrap();
        let using = store.use_lock().unwrap();
        let other = Store::open(home.path()).unwrap();
        assert!(matches!(other.prune(&Prune::default()), Err(StoreError::InUse { .. })));
        drop(using);
        other.prune(&Prune::default()).unwrap();
    }
}
