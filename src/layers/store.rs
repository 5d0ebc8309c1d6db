//! The store: layers and images on disk, shared by processes.

use super::budget::Budget;
use super::disk::Disk;
use super::hold::Holds;
use super::lock::{self, UseGuard};
use super::pool::Pool;
use super::record::{self, LayerRecord};
use super::workshop::{NewLayer, Workshop};
use super::{ImageEntry, ImageKey, LayerKey, Marks, NewImage, StoreError, StoredImage};
use jiff::Timestamp;
use rustix::fs::{Mode, XattrFlags};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A handle on the store below one home directory; clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    home: PathBuf,
    layers: PathBuf,
    images: PathBuf,
    marks: Marks,
    workshop: Workshop,
    pool: Pool,
    holds: Holds,
    budget: Budget,
    disk: Disk,
}

/// `layers-v1/store.json`.
#[derive(Serialize, Deserialize)]
struct StoreRecord {
    marks: Marks,
}

impl Store {
    /// Opens the store below `home`, and makes it where there is none.
    ///
    /// # Errors
    /// [`StoreError::Foreign`] if another kind of user made it; trouble with files.
    pub fn open(home: &Path) -> Result<Self, StoreError> {
        let home = std::path::absolute(home)?;
        let layers = home.join("layers-v1");
        let images = home.join("images-v1");
        fs_err::create_dir_all(&layers)?;
        fs_err::create_dir_all(images.join("tags"))?;
        // Layers hold set-user-id programs of images: nobody else may reach them.
        rustix::fs::chmod(&layers, Mode::RWXU).map_err(StoreError::call("chmod", &layers))?;
        let tag = home.join("CACHEDIR.TAG");
        if !tag.exists() {
            fs_err::write(&tag, "Signature: 8a477f597d28d172789f06886806bc55\n")?;
        }
        let marks = settle_marks(&home, &layers)?;
        let inner = Inner {
            workshop: Workshop::new(layers.clone()),
            pool: Pool::new(&layers),
            holds: Holds::default(),
            budget: Budget::default(),
            disk: Disk::default(),
            home,
            layers,
            images,
            marks,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The directory everything is below.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.inner.home
    }

    /// In which form this store's layers carry whiteouts and opaque directories.
    #[must_use]
    pub fn marks(&self) -> Marks {
        self.inner.marks
    }

    /// Keeps everything in its place until the guard is dropped; waits while another process
    /// prunes.
    ///
    /// # Errors
    /// The lock file cannot be opened or locked.
    pub fn use_lock(&self) -> Result<UseGuard, StoreError> {
        Ok(self.prune_lock()?.and(lock::shared(&self.keep_path())?))
    }

    /// Keeps others from pruning until the guard is dropped, but not from making room for what is new:
    /// whoever holds it must also [`hold`](Self::hold) the images that are used.
    ///
    /// # Errors
    /// As [`Store::use_lock`].
    pub fn prune_lock(&self) -> Result<UseGuard, StoreError> {
        lock::shared(&self.lock_path())
    }

    /// The image of this key, if it and all its layers are here.
    ///
    /// # Errors
    /// Its files cannot be read or make no sense.
    pub fn image(&self, key: &ImageKey) -> Result<Option<StoredImage>, StoreError> {
        let Some(mut image) = self.stored(key)? else { return Ok(None) };
        image.size = 0;
        for layer in &image.layers {
            match self.layer(layer)? {
                Some(layer) => image.size += layer.bytes,
                None => return Ok(None),
            }
        }
        Ok(Some(image))
    }

    /// Whether the image and all its layers are here.
    #[must_use]
    pub fn contains(&self, key: &ImageKey) -> bool {
        matches!(self.image(key), Ok(Some(_)))
    }

    /// Where the files of a layer are, in overlayfs' own form of whiteouts (see [`Store::marks`]).
    #[must_use]
    pub fn layer_dir(&self, key: &LayerKey) -> PathBuf {
        self.layer_home(key).join("fs")
    }

    /// Begins a layer: a directory to fill, on the store's file system.
    ///
    /// # Errors
    /// Trouble with files.
    pub fn begin(&self) -> Result<NewLayer, StoreError> {
        let layer = NewLayer::new(self.clone(), self.inner.workshop.fresh("layer")?)?;
        fs_err::create_dir(layer.root())?;
        rustix::fs::chmod(layer.root(), Mode::from_raw_mode(0o755))
            .map_err(StoreError::call("chmod", layer.root()))?;
        Ok(layer)
    }

    /// Takes `dir` (an overlay's upper directory on the same file system, unmounted) as a layer, by
    /// rename: the directory is gone afterwards, whether the layer is new or was here already.
    /// Its bytes are on disk when it returns.
    ///
    /// # Errors
    /// [`StoreError::NoSuchImage`] if the parent is not here; trouble with files.
    pub fn adopt(&self, dir: &Path, image: NewImage) -> Result<ImageKey, StoreError> {
        self.take(dir, image, true)
    }

    /// As [`Store::adopt`], but without waiting for the disk: the layer is good until the machine
    /// stops, and made again after that.
    ///
    /// # Errors
    /// As [`Store::adopt`].
    pub fn adopt_unsynced(&self, dir: &Path, image: NewImage) -> Result<ImageKey, StoreError> {
        self.take(dir, image, false)
    }

    fn take(&self, dir: &Path, image: NewImage, synced: bool) -> Result<ImageKey, StoreError> {
        let layers = self.layers_above(image.parent.as_ref(), image.key)?;
        let layer = NewLayer::new(self.clone(), self.inner.workshop.fresh("adopted")?)?;
        fs_err::rename(dir, layer.root())?;
        let _placed = self.place(layer.directory(), image.key, &layers, synced)?;
        self.register(image, layers)
    }

    /// All images, by key.
    ///
    /// # Errors
    /// A file of the store cannot be read or makes no sense.
    pub fn images(&self) -> Result<Vec<ImageEntry>, StoreError> {
        let names = self.names()?;
        let mut entries = Vec::new();
        for key in self.image_keys()? {
            let Some(image) = self.image(&key)? else { continue };
            let names = names.get(&key).cloned().unwrap_or_default();
            entries.push(ImageEntry { image, names });
        }
        Ok(entries)
    }

    /// Takes an image and its names away. Its layers stay until [`Store::prune`].
    ///
    /// # Errors
    /// Trouble with files. No such image is no error.
    pub fn forget(&self, key: &ImageKey) -> Result<(), StoreError> {
        for (name, _) in self.names()?.remove(key).unwrap_or_default() {
            self.untag(&name)?;
        }
        match fs_err::remove_file(self.image_path(key)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Removes what processes that died left half-made; returns how many things.
    ///
    /// # Errors
    /// Trouble with files.
    pub fn sweep(&self) -> Result<usize, StoreError> {
        self.inner.workshop.sweep()
    }

    /// What is written down of an image, whether or not its layers are here.
    pub(super) fn stored(&self, key: &ImageKey) -> Result<Option<StoredImage>, StoreError> {
        let path = self.image_path(key);
        let image = record::read::<StoredImage>(&path)?;
        if let Some(other) = image.as_ref().filter(|image| image.key != *key) {
            let why = format!("it says it is image {}", other.key);
            return Err(StoreError::Damaged { path, why });
        }
        Ok(image)
    }

    /// The keys of all images that are written down, whether or not their layers are here.
    pub(super) fn image_keys(&self) -> Result<BTreeSet<ImageKey>, StoreError> {
        let mut keys = BTreeSet::new();
        for entry in fs_err::read_dir(&self.inner.images)? {
            let name = entry?.file_name();
            let Some(digits) = name.to_str().and_then(|name| name.strip_suffix(".json")) else {
                continue;
            };
            if let Ok(digest) = digits.parse() {
                keys.insert(ImageKey(digest));
            }
        }
        Ok(keys)
    }

    /// The keys of all layers in place.
    pub(super) fn layer_keys(&self) -> Result<BTreeSet<LayerKey>, StoreError> {
        let mut keys = BTreeSet::new();
        for entry in fs_err::read_dir(&self.inner.layers)? {
            if let Some(Ok(digest)) = entry?.file_name().to_str().map(str::parse) {
                keys.insert(LayerKey(digest));
            }
        }
        Ok(keys)
    }

    /// What is written down of a layer; `None` if it is not here, or was not on disk when the
    /// machine stopped.
    pub(super) fn layer(&self, key: &LayerKey) -> Result<Option<LayerRecord>, StoreError> {
        let path = self.layer_home(key).join("layer.json");
        let Some(layer) = record::read::<LayerRecord>(&path)? else { return Ok(None) };
        if layer.key != *key {
            let why = format!("it says it is layer {}", layer.key);
            return Err(StoreError::Damaged { path, why });
        }
        match &layer.unsynced_boot {
            Some(boot) if *boot != boot_id()? => Ok(None),
            _ => Ok(Some(layer)),
        }
    }

    /// The layers of an image made of one more layer on `parent`.
    pub(super) fn layers_above(
        &self,
        parent: Option<&ImageKey>,
        key: LayerKey,
    ) -> Result<Vec<LayerKey>, StoreError> {
        let mut layers = match parent {
            Some(parent) => self.need(parent)?.layers,
            None => Vec::new(),
        };
        layers.push(key);
        Ok(layers)
    }

    /// The image of this key, or an error that says it is not here.
    pub(super) fn need(&self, key: &ImageKey) -> Result<StoredImage, StoreError> {
        self.image(key)?.ok_or(StoreError::NoSuchImage(*key))
    }

    /// Writes an image down. Its layers must be in place.
    pub(super) fn register(
        &self,
        image: NewImage,
        layers: Vec<LayerKey>,
    ) -> Result<ImageKey, StoreError> {
        let mut binds = match &image.parent {
            Some(parent) => self.need(parent)?.binds,
            None => Vec::new(),
        };
        for bind in image.binds {
            if !binds.contains(&bind) {
                binds.push(bind);
            }
        }
        let key = ImageKey::from(image.key);
        let stored = StoredImage {
            key,
            layers,
            config: image.config,
            binds,
            size: 0,
            created: Timestamp::now(),
        };
        record::write(&self.image_path(&key), &stored)?;
        Ok(key)
    }

    pub(super) fn image_path(&self, key: &ImageKey) -> PathBuf {
        self.inner.images.join(format!("{key}.json"))
    }

    pub(super) fn layer_home(&self, key: &LayerKey) -> PathBuf {
        self.inner.layers.join(key.to_string())
    }

    pub(super) fn tags_path(&self) -> PathBuf {
        self.inner.images.join("tags")
    }

    pub(super) fn images_path(&self) -> PathBuf {
        self.inner.images.clone()
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.inner.pool
    }

    pub(super) fn holds(&self) -> &Holds {
        &self.inner.holds
    }

    pub(super) fn budget(&self) -> &Budget {
        &self.inner.budget
    }

    /// A way to this store for who does not keep it.
    pub(super) fn downgrade(&self) -> impl Fn() -> Option<Self> + Send + use<> {
        let weak = Arc::downgrade(&self.inner);
        move || weak.upgrade().map(|inner| Self { inner })
    }

    /// Waits until all that was written to the store is on the disk.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.inner.disk.sync(&self.inner.layers)
    }

    /// The workshops of all processes.
    pub(super) fn workshops(&self) -> Result<Vec<PathBuf>, StoreError> {
        self.inner.workshop.all()
    }

    /// The lock of those who need everything where it is.
    pub(super) fn keep_path(&self) -> PathBuf {
        self.inner.layers.join("keep.lock")
    }

    pub(super) fn lock_path(&self) -> PathBuf {
        self.inner.layers.join("use.lock")
    }

    /// A path in this process's workshop that nothing has used.
    pub(super) fn fresh(&self, kind: &str) -> Result<PathBuf, StoreError> {
        self.inner.workshop.fresh(kind)
    }

    /// A file on the store's file system, for what is too large elsewhere. It goes when it is dropped;
    /// what a killed process left is swept by a later one.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn scratch_file(&self) -> Result<tempfile::NamedTempFile, StoreError> {
        let path = self.fresh("file")?;
        let workshop = path.parent().expect("it is below the workshop");
        Ok(tempfile::Builder::new().prefix("file-").tempfile_in(workshop)?)
    }
}

/// Which marks this process can set, checked against those the store was made with.
fn settle_marks(home: &Path, layers: &Path) -> Result<Marks, StoreError> {
    let path = layers.join("store.json");
    let able = able_marks(layers)?;
    match record::read::<StoreRecord>(&path)? {
        Some(StoreRecord { marks }) if marks == able => {}
        Some(StoreRecord { marks: Marks::Trusted }) => {
            let why = "root made this store, and you are not root".to_owned();
            return Err(StoreError::Foreign { home: home.to_owned(), why });
        }
        Some(StoreRecord { marks: Marks::User }) => {
            let why = "an unprivileged user made this store, and you are root".to_owned();
            return Err(StoreError::Foreign { home: home.to_owned(), why });
        }
        None => record::write(&path, &StoreRecord { marks: able })?,
    }
    Ok(able)
}

/// Tries a `trusted.*` attribute, which only the machine's root may set.
fn able_marks(layers: &Path) -> Result<Marks, StoreError> {
    let probe = tempfile::Builder::new()
        .prefix(".probe-")
        .tempdir_in(layers)
        .map_err(StoreError::call("create a directory in", layers))?;
    let set =
        rustix::fs::setxattr(probe.path(), "trusted.overlay.opaque", b"y", XattrFlags::empty());
    Ok(if set.is_ok() { Marks::Trusted } else { Marks::User })
}

/// What names the present boot of the machine.
pub(super) fn boot_id() -> Result<String, StoreError> {
    Ok(fs_err::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

#[cfg(test)]
mod tests;
