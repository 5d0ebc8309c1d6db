//! A bound on what the store takes on disk: what was not used for longest makes room for what is
//! new. What is held stays, and so does what was brought in by hand, which nobody could make again.

use super::{ImageKey, LayerKey, Store, StoreError, StoredImage, TagOrigin, contents, lock};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long to wait before it is looked again whether something was let go.
const PAUSE: Duration = Duration::from_millis(200);

/// The bound, and who waits for room.
#[derive(Debug, Default)]
pub(super) struct Budget {
    limit: Mutex<Option<u64>>,
    /// One evicts at a time.
    evicting: Mutex<()>,
    waiting: AtomicBool,
}

/// Takes the waiter's place, and gives it back when dropped.
struct Waiting<'a>(&'a AtomicBool);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// How the store stands against its budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// What it may take.
    pub limit: u64,
    /// What it takes.
    pub used: u64,
}

impl Room {
    fn lacks(self, needed: u64) -> u64 {
        (self.used + needed).saturating_sub(self.limit)
    }
}

impl Store {
    /// Bounds what layers and images may take on disk, from now on and for this process; `None`:
    /// no bound. What is there already and too much goes when the next is added.
    pub fn set_budget(&self, bytes: Option<u64>) {
        *self.budget().limit.lock().expect("no holder panics") = bytes;
    }

    /// Whether it has a budget.
    #[must_use]
    pub fn has_budget(&self) -> bool {
        self.budget().limit.lock().expect("no holder panics").is_some()
    }

    /// How the store stands against its budget, if it has one. Blocks.
    ///
    /// # Errors
    /// Its files cannot be read.
    pub fn room(&self) -> Result<Option<Room>, StoreError> {
        let limit = *self.budget().limit.lock().expect("no holder panics");
        limit.map(|limit| Ok(Room { limit, used: self.bytes()? })).transpose()
    }

    /// Evicts until there is room for so many bytes more, as far as that can be done now; returns
    /// how many are still lacking. Without a budget there is always room. Blocks.
    ///
    /// # Errors
    /// Trouble with files.
    pub fn make_room(&self, needed: u64) -> Result<u64, StoreError> {
        let Some(room) = self.room()? else { return Ok(0) };
        if room.lacks(needed) == 0 {
            return Ok(0);
        }
        let _turn = self.budget().evicting.lock().expect("no holder panics");
        let all = lock::for_a_moment(|| lock::try_exclusive(&self.keep_path()))?;
        if all.is_none() {
            // Another process needs everything where it is.
            return Ok(room.lacks(needed));
        }
        self.pool().sweep()?;
        self.evict_unneeded()?;
        let mut kept = BTreeSet::new();
        loop {
            let lacking = self.room()?.map_or(0, |room| room.lacks(needed));
            if lacking == 0 {
                return Ok(0);
            }
            let Some(image) = self.oldest(&kept)? else { return Ok(lacking) };
            let key = image.key;
            if !self.evict(&image)? {
                kept.insert(key);
            }
        }
    }

    /// Makes room for a layer that is about to be placed on these, and waits for it while other
    /// images are held in this process.
    pub(super) fn await_room(&self, needed: u64, layers: &[LayerKey]) -> Result<(), StoreError> {
        let mut waiting = None;
        loop {
            let lacking = self.make_room(needed)?;
            if lacking == 0 {
                return Ok(());
            }
            let others = self.holds().all().iter().any(|layer| !layers.contains(layer));
            if waiting.is_none() && !self.budget().waiting.swap(true, Ordering::AcqRel) {
                waiting = Some(Waiting(&self.budget().waiting));
            }
            // Two who wait could wait for each other.
            if !others || waiting.is_none() {
                let limit = self.room()?.map_or(0, |room| room.limit);
                return Err(StoreError::OverBudget { needed, lacking, limit });
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// The image that was not used for longest, of those on which no other stands and that are not
    /// among `kept`.
    fn oldest(&self, kept: &BTreeSet<ImageKey>) -> Result<Option<StoredImage>, StoreError> {
        let images = self.all_stored()?;
        let below: BTreeSet<LayerKey> = images
            .iter()
            .flat_map(|image| image.layers.split_last().map(|(_, below)| below))
            .flatten()
            .copied()
            .collect();
        let names = self.names()?;
        let by_hand = |key: &ImageKey| {
            names
                .get(key)
                .is_some_and(|names| names.iter().any(|(_, origin)| *origin == TagOrigin::Imported))
        };
        let leaves = images.into_iter().filter(|image| {
            !below.contains(&LayerKey(image.key.0))
                && !kept.contains(&image.key)
                && !by_hand(&image.key)
        });
        Ok(leaves.min_by_key(|image| self.used(image)))
    }

    /// Removes an image and the layers that it alone needs; false if it is held.
    fn evict(&self, image: &StoredImage) -> Result<bool, StoreError> {
        let top = LayerKey(image.key.0);
        let home = self.layer_home(&top);
        let alone = self.holds().try_alone(&top, &home)?;
        if alone.is_none() && home.exists() {
            return Ok(false);
        }
        self.forget(&image.key)?;
        let needed = self.needed()?;
        drop(alone);
        for layer in image.layers.iter().rev().filter(|layer| !needed.contains_key(layer)) {
            self.evict_layer(layer)?;
        }
        Ok(true)
    }

    /// Removes layers that no image needs and nobody holds.
    fn evict_unneeded(&self) -> Result<(), StoreError> {
        let needed = self.needed()?;
        for layer in self.layer_keys()?.iter().filter(|layer| !needed.contains_key(layer)) {
            self.evict_layer(layer)?;
        }
        Ok(())
    }

    /// Removes a layer unless it is held.
    fn evict_layer(&self, layer: &LayerKey) -> Result<(), StoreError> {
        let home = self.layer_home(layer);
        let Some(_alone) = self.holds().try_alone(layer, &home)? else { return Ok(()) };
        self.remove_layer(layer).map(drop)
    }

    /// Removes a layer that nobody uses, and from the pool what no other has; returns the bytes on
    /// disk of the latter.
    pub(super) fn remove_layer(&self, layer: &LayerKey) -> Result<u64, StoreError> {
        let home = self.layer_home(layer);
        let contents = match self.layer(layer) {
            Ok(Some(record)) => record.contents.map(|digest| contents::read(&home, digest)),
            _ => None,
        };
        self.discard(&home)?;
        // What is not known now is found by the next prune.
        match contents {
            Some(Ok(entries)) => self.pool().release(&entries),
            _ => Ok(0),
        }
    }

    /// How many images need each layer.
    pub(super) fn needed(&self) -> Result<BTreeMap<LayerKey, usize>, StoreError> {
        let mut needed = BTreeMap::new();
        for layer in self.all_stored()?.iter().flat_map(|image| &image.layers) {
            *needed.entry(*layer).or_default() += 1;
        }
        Ok(needed)
    }

    /// All images that are written down and can be read.
    fn all_stored(&self) -> Result<Vec<StoredImage>, StoreError> {
        let keys = self.image_keys()?.into_iter();
        Ok(keys.filter_map(|key| self.stored(&key).ok().flatten()).collect())
    }
}
