//! What the store costs, and making room: unused images, layers that no image needs.

use super::lock::{self, UseGuard};
use super::{ImageKey, LayerKey, Store, StoreError, StoredImage};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeSet;
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
    /// Bytes on disk that are free then: what other layers share stays.
    pub bytes: u64,
}

impl Store {
    /// Removes images that are not wanted, layers that no image needs and what dead processes left.
    /// Nobody else may use the store meanwhile. Blocks.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if a process uses the store; trouble with files.
    pub fn prune(&self, what: &Prune) -> Result<Pruned, StoreError> {
        let _alone = self.alone()?;
        if !what.dry_run {
            self.sweep()?;
        }
        self.take_away(self.unwanted(what)?, what.dry_run)
    }

    /// Removes these images, and the layers that no other needs. Nobody else may use the store
    /// meanwhile. Blocks.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if a process uses the store; trouble with files.
    pub fn remove(&self, images: &BTreeSet<ImageKey>, dry_run: bool) -> Result<Pruned, StoreError> {
        let _alone = self.alone()?;
        self.take_away(images.clone(), dry_run)
    }

    fn alone(&self) -> Result<UseGuard, StoreError> {
        lock::for_a_moment(|| lock::try_exclusive(&self.lock_path()))?
            .ok_or_else(|| StoreError::InUse { home: self.home().to_owned() })
    }

    fn take_away(&self, images: BTreeSet<ImageKey>, dry_run: bool) -> Result<Pruned, StoreError> {
        let mut pruned = Pruned { images: images.into_iter().collect(), ..Pruned::default() };
        let mut needed = BTreeSet::new();
        for key in self.image_keys()? {
            if pruned.images.contains(&key) {
                continue;
            }
            // Layers of an image that is not whole now may be made again, and it is whole then.
            needed.extend(self.stored(&key)?.map(|image| image.layers).unwrap_or_default());
        }
        pruned.layers =
            self.layer_keys()?.into_iter().filter(|key| !needed.contains(key)).collect();
        pruned.bytes = self.freed_by(&pruned.layers)? + self.pool().size()?.unused;
        if !dry_run {
            // Images first: one without layers is as good as none, layers without one are waste.
            for image in &pruned.images {
                self.forget(image)?;
            }
            for layer in &pruned.layers {
                self.remove_layer(layer)?;
            }
            self.pool().sweep()?;
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
    pub(super) fn used(&self, image: &StoredImage) -> Timestamp {
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
        let usage = store.usage().unwrap();
        assert_eq!((usage.layers, usage.apart, usage.unneeded), (0, 0, 0));
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
