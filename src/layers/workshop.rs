//! Where layers are made before they are renamed into place: one directory a process, locked for
//! as long as the process lives, so that others can tell what a dead one left.

use super::lock::{self, UseGuard};
use super::{ImageHold, ImageKey, LayerKey, NewImage, Store, StoreError, remove_tree};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Names of workshops begin so; names of layers never do.
const PREFIX: &str = ".making-";

/// This process's workshop, made when it is first needed.
#[derive(Debug)]
pub(super) struct Workshop {
    layers: PathBuf,
    open: Mutex<Option<(PathBuf, UseGuard)>>,
    count: AtomicU64,
}

impl Workshop {
    /// A workshop in the directory of layers; nothing is made yet.
    pub(super) fn new(layers: PathBuf) -> Self {
        Self { layers, open: Mutex::new(None), count: AtomicU64::new(0) }
    }

    /// A path in the workshop that nothing has used.
    pub(super) fn fresh(&self, kind: &str) -> Result<PathBuf, StoreError> {
        let mut open = self.open.lock().expect("nothing panics while it holds this lock");
        if open.is_none() {
            *open = Some(self.establish()?);
        }
        let (directory, _) = open.as_ref().expect("it was made above");
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        Ok(directory.join(format!("{kind}-{number}")))
    }

    /// Makes the directory and its lock while no other process looks for dead ones.
    fn establish(&self) -> Result<(PathBuf, UseGuard), StoreError> {
        let _quiet = lock::exclusive(&sweep_lock(&self.layers))?;
        let directory = tempfile::Builder::new()
            .prefix(&format!("{PREFIX}{}-", std::process::id()))
            .tempdir_in(&self.layers)
            .map_err(StoreError::call("create a directory in", &self.layers))?
            .keep();
        let guard = lock::try_exclusive(&directory.join("lock"))?
            .ok_or_else(|| StoreError::InUse { home: directory.clone() })?;
        Ok((directory, guard))
    }

    /// The workshops of all processes, dead ones too.
    pub(super) fn all(&self) -> Result<Vec<PathBuf>, StoreError> {
        let mut all = Vec::new();
        for entry in fs_err::read_dir(&self.layers)? {
            let entry = entry?;
            if entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
                all.push(entry.path());
            }
        }
        Ok(all)
    }

    /// Removes the workshops of processes that are no more; returns how many.
    pub(super) fn sweep(&self) -> Result<usize, StoreError> {
        let mut dead = Vec::new();
        {
            let _quiet = lock::exclusive(&sweep_lock(&self.layers))?;
            for path in self.all()? {
                match lock::try_exclusive(&path.join("lock")) {
                    Ok(Some(guard)) => dead.push((path, guard)),
                    Ok(None) => {}
                    // Whose it was has just removed it.
                    Err(StoreError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        for (path, _guard) in &dead {
            remove_tree(path)?;
        }
        Ok(dead.len())
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        let open = self.open.get_mut().ok().and_then(Option::take);
        if let Some((directory, _guard)) = open {
            // What cannot be removed now is swept by a later process.
            let _ = remove_tree(&directory);
        }
    }
}

fn sweep_lock(layers: &Path) -> PathBuf {
    layers.join("sweep.lock")
}

/// A layer in the making. Dropped without [`commit`](Self::commit), it is removed.
#[derive(Debug)]
pub struct NewLayer {
    store: Store,
    directory: PathBuf,
    root: PathBuf,
    _using: UseGuard,
}

impl NewLayer {
    /// Begins a layer in `directory`, which must not exist yet.
    pub(super) fn new(store: Store, directory: PathBuf) -> Result<Self, StoreError> {
        let using = store.prune_lock()?;
        fs_err::create_dir(&directory)?;
        let root = directory.join("fs");
        Ok(Self { store, directory, root, _using: using })
    }

    /// Where the layer's files go; exists and is empty at first.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directory that holds `fs` and what is written down beside it.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Puts the layer in its place and makes an image of it and the layers below. Its bytes are on
    /// disk when it returns. A layer of that key that is there already stays, and this one is dropped.
    ///
    /// # Errors
    /// [`StoreError::NoSuchImage`] if the parent is not here; trouble with files.
    pub fn commit(self, image: NewImage) -> Result<ImageKey, StoreError> {
        let layers = self.store.layers_above(image.parent.as_ref(), image.key)?;
        let _placed = self.store.place(&self.directory, image.key, &layers, true)?;
        self.store.register(image, layers)
    }

    /// Puts the layer in its place without making an image; it is kept until one is made of it and
    /// the others (`with`).
    pub(super) fn commit_layer(
        &self,
        key: LayerKey,
        with: &[LayerKey],
    ) -> Result<ImageHold, StoreError> {
        self.store.place(&self.directory, key, with, true)
    }
}

impl Drop for NewLayer {
    fn drop(&mut self) {
        // What cannot be removed now is swept by a later process.
        let _ = remove_tree(&self.directory);
    }
}
