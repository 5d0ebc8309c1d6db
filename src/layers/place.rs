//! How a finished layer comes to its place: what is in it is written down, files that the pool has
//! are shared, room is made, all of it reaches the disk, and only then it is renamed. The new name
//! reaches the disk with the file system's next commit: a machine that stops before has no such
//! layer.

use super::record::LayerRecord;
use super::store::boot_id;
use super::{ImageHold, LayerKey, Marks, Store, StoreError};
use super::{contents, cost, hold, owners, remove_tree, usage};
use jiff::Timestamp;
use rustix::io::Errno;
use std::io;
use std::path::Path;

/// What is written down of an image and its name, at most, in bytes on disk.
const RECORDS: u64 = 16 << 10;

impl Store {
    /// Renames a finished layer (`directory` holds `fs`) into its place, and keeps it. `below`: the
    /// layers that it stands on, or among.
    pub(super) fn place(
        &self,
        directory: &Path,
        key: LayerKey,
        below: &[LayerKey],
        synced: bool,
    ) -> Result<ImageHold, StoreError> {
        for _ in 0..3 {
            if self.layer(&key)?.is_some() {
                match self.hold_layers(&[key])? {
                    Some(hold) => return Ok(hold),
                    // It has been evicted just now.
                    None => continue,
                }
            }
            if self.marks() == Marks::User {
                // What a sandbox closed is closed to us too.
                owners::open_up(&directory.join("fs"))?;
            }
            let placed = match synced {
                true => self.place_shared(directory, key, below)?,
                false => self.place_as_it_is(directory, key, below)?,
            };
            if let Some(hold) = placed {
                return Ok(hold);
            }
        }
        Err(StoreError::NoSuchLayer(key))
    }

    /// Without waiting for the disk, and without a look at what is in it. `None`: there is one in
    /// its place.
    fn place_as_it_is(
        &self,
        directory: &Path,
        key: LayerKey,
        below: &[LayerKey],
    ) -> Result<Option<ImageHold>, StoreError> {
        let used = usage::of_tree(&directory.join("fs"))?;
        self.await_room((used.bytes + RECORDS, RECORDS), below)?;
        let layer = LayerRecord {
            bytes: used.bytes,
            loose: used.bytes,
            unsynced_boot: Some(boot_id()?),
            ..LayerRecord::new(key, used.entries)
        };
        self.write_record(directory, &layer)?;
        self.budget().count(used.bytes);
        let _moving = self.budget().moving(used.bytes + RECORDS);
        let hold = self.hold_made(key, directory)?;
        Ok(self.rename_into(directory, &key)?.then_some(hold))
    }

    fn place_shared(
        &self,
        directory: &Path,
        key: LayerKey,
        below: &[LayerKey],
    ) -> Result<Option<ImageHold>, StoreError> {
        let found = contents::take(&directory.join("fs"), true)?;
        let bytes = contents::bytes(&found);
        let digest = contents::write(directory, &found)?;
        let sharing = self.pool().share(&found, &directory.join("link"))?;
        let loose = bytes.saturating_sub(sharing.shared + sharing.fresh);
        let layer = LayerRecord {
            bytes,
            loose,
            contents: Some(digest),
            ..LayerRecord::new(key, found.len() as u64)
        };
        self.write_record(directory, &layer)?;
        let records = cost::flat(directory)? + sharing.folders + RECORDS;
        let more = sharing.folders + RECORDS;
        self.await_room((loose + sharing.fresh + records, more), below)?;
        self.budget().count(loose + sharing.fresh + records);
        self.sync()?;
        let _moving = self.budget().moving(loose + sharing.fresh + more);
        // Before anybody else sees it: nobody would keep it where it is.
        let hold = self.hold_made(key, directory)?;
        if !self.rename_into(directory, &key)? {
            return Ok(None);
        }
        self.pool().add(&sharing, directory, &self.layer_home(&key))?;
        Ok(Some(hold))
    }

    fn write_record(&self, directory: &Path, layer: &LayerRecord) -> Result<(), StoreError> {
        // Made now, so that whoever uses the layer need not write into its directory.
        fs_err::File::create(directory.join(hold::LOCK))?;
        let bytes = serde_json::to_vec(layer).map_err(io::Error::from)?;
        Ok(fs_err::write(directory.join("layer.json"), bytes)?)
    }

    /// Renames a layer into its place. One that is there and good stays; one that is there and
    /// cannot be trusted makes way. Whether it was this one that came to the place.
    fn rename_into(&self, from: &Path, key: &LayerKey) -> Result<bool, StoreError> {
        let to = &self.layer_home(key);
        for _ in 0..3 {
            match rustix::fs::rename(from, to) {
                Ok(()) => return Ok(true),
                Err(Errno::EXIST | Errno::NOTEMPTY) if self.layer(key)?.is_some() => {
                    return Ok(false);
                }
                Err(Errno::EXIST | Errno::NOTEMPTY) => self.discard(to)?,
                Err(error) => return Err(StoreError::call("rename a layer to", to)(error)),
            }
        }
        Err(StoreError::call("rename a layer to", to)(Errno::NOTEMPTY))
    }

    /// Takes a directory out of sight at once, and then removes it.
    pub(super) fn discard(&self, path: &Path) -> Result<(), StoreError> {
        let aside = self.fresh("dead")?;
        match fs_err::rename(path, &aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        Ok(remove_tree(&aside)?)
    }
}

impl LayerRecord {
    fn new(key: LayerKey, entries: u64) -> Self {
        Self {
            key,
            bytes: 0,
            loose: 0,
            entries,
            contents: None,
            created: Timestamp::now(),
            unsynced_boot: None,
        }
    }
}
