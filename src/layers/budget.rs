//! A bound on what the store takes on disk: what was not used for longest makes room for what is
//! new. What is held stays, and so does what was brought in by hand, which nobody could make again.
//!
//! What is being made counts as well: layers that are unpacked, what sandboxes write, work trees.
//! Nobody knows how large it becomes, so it is watched, and room is made ahead of it.

use super::{ImageKey, LayerKey, Store, StoreError, StoredImage, TagOrigin, contents, lock, usage};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long to wait before it is looked again whether something was let go.
const PAUSE: Duration = Duration::from_millis(200);
/// How often it is looked how much is being made, at most.
const LOOK: Duration = Duration::from_millis(100);
/// A look may take this part of the time.
const LOOKING: u32 = 6;
/// The part of the budget that is kept free ahead of what is being made, and its bound in bytes:
/// what a disk takes between two looks.
const AHEAD: (u64, u64) = (12, 256 << 20);

/// The bound, and who waits for room.
#[derive(Debug, Default)]
pub(super) struct Budget {
    limit: Mutex<Option<u64>>,
    /// One evicts at a time.
    evicting: Mutex<()>,
    waiting: Mutex<Waiters>,
    /// How many layers are being filled.
    filling: AtomicU64,
    /// Bytes of layers that are on their way to their place.
    moving: AtomicU64,
    /// What is in its place, in bytes on disk, as last counted.
    counted: AtomicU64,
    watched: AtomicBool,
}

/// Bytes that are on their way until it is dropped.
pub(super) struct Moving<'a>(&'a AtomicU64, u64);

impl Drop for Moving<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::Release);
    }
}

impl Budget {
    /// So much is on its way from what is made to its place.
    pub(super) fn moving(&self, bytes: u64) -> Moving<'_> {
        self.moving.fetch_add(bytes, Ordering::Relaxed);
        Moving(&self.moving, bytes)
    }

    /// So much has come to its place since it was counted.
    pub(super) fn count(&self, bytes: u64) {
        self.counted.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Who waits for room: those who make one image. Others could wait for them, and they for others.
#[derive(Debug, Default)]
struct Waiters {
    layers: Vec<LayerKey>,
    count: usize,
}

/// A place among the waiters, which is given back when dropped.
struct Waiting<'a>(&'a Mutex<Waiters>);

impl<'a> Waiting<'a> {
    /// A place for one who makes an image of these layers; none if it would be another's image.
    fn new(all: &'a Mutex<Waiters>, layers: &[LayerKey]) -> Option<Self> {
        let mut waiters = all.lock().expect("no holder panics");
        if waiters.count > 0 && (layers.is_empty() || waiters.layers != layers) {
            return None;
        }
        waiters.layers = layers.to_vec();
        waiters.count += 1;
        Some(Self(all))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.lock().expect("no holder panics").count -= 1;
    }
}

/// How the store stands against its budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// What it may take.
    pub limit: u64,
    /// What it takes, with what is being made.
    pub used: u64,
}

impl Room {
    fn lacks(self, needed: u64) -> u64 {
        (self.used + needed).saturating_sub(self.limit)
    }
}

impl Store {
    /// Bounds what layers and images may take on disk, and what is being made of them, from now on
    /// and for this process; `None`: no bound. A thread watches it; what is there already and too
    /// much goes at its first look.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn set_budget(&self, bytes: Option<u64>) -> Result<(), StoreError> {
        *self.budget().limit.lock().expect("no holder panics") = bytes;
        if bytes.is_none() || self.budget().watched.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let weak = self.downgrade();
        let watch = move || {
            while let Some(store) = weak() {
                let began = Instant::now();
                if let Err(error) = store.keep_ahead() {
                    tracing::debug!("the disk budget cannot be looked after: {error}");
                }
                drop(store);
                std::thread::sleep(LOOK.max(began.elapsed() * LOOKING));
            }
        };
        std::thread::Builder::new().name("budget".to_owned()).spawn(watch)?;
        Ok(())
    }

    /// Makes room ahead of what is being made.
    fn keep_ahead(&self) -> Result<(), StoreError> {
        let Some(limit) = self.budget_limit() else { return Ok(()) };
        let making = self.in_the_making()?;
        let (part, most) = AHEAD;
        let ahead = if making > 0 { (limit / part).min(most) } else { 0 };
        let counted = self.budget().counted.load(Ordering::Relaxed);
        if counted == 0 || counted + making + ahead > limit {
            self.make_room(ahead)?;
        }
        Ok(())
    }

    /// Bytes on disk of what is not in its place yet: layers in the making, what sandboxes have
    /// written to disk, and what builds have put aside, of this process and of others.
    fn in_the_making(&self) -> Result<u64, StoreError> {
        let mut places: Vec<PathBuf> = self.workshops()?;
        // Of the back-end and of who builds; they are on the same disk.
        places.extend(["sandboxes-v1", "scratch-v1"].map(|name| self.home().join(name)));
        usage::of_trees_alone(&places)
    }

    /// Whether it has a budget.
    #[must_use]
    pub fn has_budget(&self) -> bool {
        self.budget_limit().is_some()
    }

    /// What it may take.
    pub(super) fn budget_limit(&self) -> Option<u64> {
        *self.budget().limit.lock().expect("no holder panics")
    }

    /// How the store stands against its budget, if it has one. Blocks.
    ///
    /// # Errors
    /// Its files cannot be read.
    pub fn room(&self) -> Result<Option<Room>, StoreError> {
        let Some(limit) = self.budget_limit() else { return Ok(None) };
        // In the order in which a layer comes to its place, so that none is missed on its way.
        let making = self.in_the_making()?;
        let moving = self.budget().moving.load(Ordering::Acquire);
        let placed = self.bytes()?;
        self.budget().counted.store(placed, Ordering::Relaxed);
        Ok(Some(Room { limit, used: placed + moving + making }))
    }

    /// Evicts until there is room for so many bytes more, as far as that can be done now; returns
    /// how many are still lacking. Without a budget there is always room. Blocks.
    ///
    /// # Errors
    /// Trouble with files.
    pub fn make_room(&self, needed: u64) -> Result<u64, StoreError> {
        if !self.has_budget() {
            return Ok(0);
        }
        // What is on its way out is not counted, and still there.
        let _turn = self.budget().evicting.lock().expect("no holder panics");
        let Some(room) = self.room()? else { return Ok(0) };
        if room.lacks(needed) == 0 {
            return Ok(0);
        }
        let all = lock::for_a_moment(|| lock::try_exclusive(&self.keep_path()))?;
        if all.is_none() {
            // Another process needs everything where it is.
            return Ok(room.lacks(needed));
        }
        self.sweep()?;
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

    /// Makes room for so many bytes and waits for it while images are held in this process; false
    /// if there is none all the same. Blocks.
    ///
    /// # Errors
    /// Trouble with files.
    pub fn wait_for_room(&self, bytes: u64) -> Result<bool, StoreError> {
        match self.await_room((bytes, bytes), &[]) {
            Ok(()) => Ok(true),
            Err(StoreError::OverBudget { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes room for a layer that is about to be placed on these or among these, and waits for it
    /// while other images are held in this process. Of its bytes some are on disk already.
    pub(super) fn await_room(
        &self,
        (needed, more): (u64, u64),
        layers: &[LayerKey],
    ) -> Result<(), StoreError> {
        let mut waiting = None;
        loop {
            // Before room is made: what is let go meanwhile is found at the next look.
            let others = self.holds().all().iter().any(|layer| !layers.contains(layer));
            let lacking = self.make_room(more)?;
            if lacking == 0 {
                return Ok(());
            }
            waiting = waiting.or_else(|| Waiting::new(&self.budget().waiting, layers));
            // Two who wait could wait for each other.
            if !others || waiting.is_none() {
                let limit = self.room()?.map_or(0, |room| room.limit);
                return Err(StoreError::OverBudget { needed, lacking, limit });
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// How many layers are being filled.
    pub(super) fn filling(&self) -> &AtomicU64 {
        &self.budget().filling
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
        // Not by its key: that of a pulled image is no layer's.
        let mut alone = None;
        if let Some(top) = image.layers.last() {
            let home = self.layer_home(top);
            alone = self.holds().try_alone(top, &home)?;
            if alone.is_none() && home.exists() {
                return Ok(false);
            }
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
