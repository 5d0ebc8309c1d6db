//! Holds: what keeps the layers of an image in their place while something uses them, in this
//! process or another. Nothing that is held is evicted to make room.

use super::lock::{self, UseGuard};
use super::{ImageKey, LayerKey, Store, StoreError};
use std::collections::{BTreeSet, HashMap};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

/// The lock of a layer, beside its `fs`: shared by those who use it.
pub(super) const LOCK: &str = "use.lock";

/// How long to wait for who removes a layer.
const PAUSE: Duration = Duration::from_millis(5);

/// The layers that this process holds, and how often.
#[derive(Debug, Default)]
pub(super) struct Holds {
    held: Mutex<HashMap<LayerKey, Held>>,
}

#[derive(Debug)]
struct Held {
    count: usize,
    _lock: UseGuard,
}

/// Keeps an image, or layers of which one is to be made, in their places until it is dropped.
#[derive(Debug)]
pub struct ImageHold {
    store: Store,
    layers: Vec<LayerKey>,
}

impl Drop for ImageHold {
    fn drop(&mut self) {
        for layer in &self.layers {
            self.store.holds().release(layer);
        }
    }
}

impl Holds {
    fn held(&self) -> MutexGuard<'_, HashMap<LayerKey, Held>> {
        self.held.lock().expect("nothing panics while it holds this lock")
    }

    /// Holds a layer whose directory this is; false if it is not there (any more).
    pub(super) fn take(&self, key: LayerKey, home: &Path) -> Result<bool, StoreError> {
        let path = home.join(LOCK);
        loop {
            let mut held = self.held();
            if let Some(held) = held.get_mut(&key) {
                held.count += 1;
                return Ok(true);
            }
            let lock = match lock::try_shared(&path) {
                Ok(lock) => lock,
                Err(_) if !home.exists() => return Ok(false),
                Err(error) => return Err(error),
            };
            let Some(lock) = lock else {
                // It is being removed; that does not take long.
                drop(held);
                std::thread::sleep(PAUSE);
                continue;
            };
            // Whoever evicts takes the directory away under the lock: ours may be a dead one's.
            let here = fs_err::metadata(&path).map(|here| (here.dev(), here.ino())).ok();
            if here.is_none() || here != lock.identity() {
                return Ok(false);
            }
            held.insert(key, Held { count: 1, _lock: lock });
            return Ok(true);
        }
    }

    pub(super) fn release(&self, key: &LayerKey) {
        let mut held = self.held();
        if let Some(layer) = held.get_mut(key) {
            layer.count -= 1;
            if layer.count == 0 {
                held.remove(key);
            }
        }
    }

    /// All layers that this process holds.
    pub(super) fn all(&self) -> BTreeSet<LayerKey> {
        self.held().keys().copied().collect()
    }

    /// The lock of a layer that nobody holds, here or elsewhere.
    pub(super) fn try_alone(
        &self,
        key: &LayerKey,
        home: &Path,
    ) -> Result<Option<UseGuard>, StoreError> {
        // No hold of this process begins meanwhile.
        let held = self.held();
        if held.contains_key(key) {
            return Ok(None);
        }
        if !home.exists() {
            return Ok(None);
        }
        lock::try_exclusive(&home.join(LOCK))
    }
}

impl Store {
    /// Keeps an image in its place until the hold is dropped, and notes that it is used now; `None`
    /// if it is not here whole.
    ///
    /// # Errors
    /// Its files cannot be read or locked.
    pub fn hold(&self, key: &ImageKey) -> Result<Option<ImageHold>, StoreError> {
        let Some(image) = self.image(key)? else { return Ok(None) };
        let Some(hold) = self.hold_layers(&image.layers)? else { return Ok(None) };
        // Its layers may be here for others: it could be forgotten until its last one was held.
        if !self.image_path(key).exists() {
            return Ok(None);
        }
        for layer in &hold.layers {
            // The images below are used along with it.
            let below = ImageKey::from(*layer);
            if self.image_path(&below).exists() {
                self.touch(&below)?;
            }
        }
        Ok(Some(hold))
    }

    /// Keeps a layer that is about to come to its place from this directory.
    pub(super) fn hold_made(
        &self,
        key: LayerKey,
        directory: &Path,
    ) -> Result<ImageHold, StoreError> {
        match self.holds().take(key, directory)? {
            true => Ok(ImageHold { store: self.clone(), layers: vec![key] }),
            false => Err(StoreError::NoSuchLayer(key)),
        }
    }

    /// Keeps layers in their places; `None` if one is not here.
    pub(super) fn hold_layers(&self, layers: &[LayerKey]) -> Result<Option<ImageHold>, StoreError> {
        let mut hold = ImageHold { store: self.clone(), layers: Vec::new() };
        for layer in layers {
            if !self.holds().take(*layer, &self.layer_home(layer))? {
                return Ok(None);
            }
            hold.layers.push(*layer);
        }
        Ok(Some(hold))
    }
}
