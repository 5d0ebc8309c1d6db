//! Whether the store holds what it says.

use super::contents::{self, Entry, Found};
use super::{LayerKey, Store, StoreError, TagOrigin, owners, usage};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What is wrong with a store.
#[derive(Clone, Debug, Serialize)]
pub struct Fault {
    /// The file or directory.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

impl Store {
    /// Looks through the store: every layer has its record and holds what was written down of it,
    /// every image its layers, every name its image. `deep`: the content and attributes of every file
    /// are read too, else kinds, modes, owners, times and sizes are compared. Of layers that were
    /// taken without waiting for the disk only the number of entries is known. Blocks.
    ///
    /// # Errors
    /// The store's directories cannot be read.
    pub fn verify(&self, deep: bool) -> Result<Vec<Fault>, StoreError> {
        let _using = self.use_lock()?;
        let mut faults = Vec::new();
        for key in self.layer_keys()? {
            self.verify_layer(&key, deep, &mut faults);
        }
        let mut fault = |path: PathBuf, why: String| faults.push(Fault { path, why });
        for key in self.image_keys()? {
            match self.image(&key) {
                Err(error) => fault(self.image_path(&key), error.to_string()),
                Ok(None) => {
                    fault(self.image_path(&key), "a layer of it is missing".to_owned());
                }
                Ok(Some(_)) => {}
            }
        }
        for (image, names) in self.names()? {
            if !self.contains(&image) {
                let names: Vec<(String, TagOrigin)> = names;
                for (name, _) in names {
                    fault(self.tags_path(), format!("`{name}` stands for an image that is gone"));
                }
            }
        }
        Ok(faults)
    }

    fn verify_layer(&self, key: &LayerKey, deep: bool, faults: &mut Vec<Fault>) {
        let home = self.layer_home(key);
        let mut fault = |path: PathBuf, why: String| faults.push(Fault { path, why });
        let layer = match self.layer(key) {
            Err(error) => return fault(home, error.to_string()),
            Ok(None) => {
                let why = "it was not on disk when the machine stopped, or has no record";
                return fault(home, why.to_owned());
            }
            Ok(Some(layer)) => layer,
        };
        if let Err(error) = owners::read(&home) {
            fault(home.clone(), error.to_string());
        }
        let fs = self.layer_dir(key);
        let Some(digest) = layer.contents else {
            match usage::of_tree(&fs) {
                Err(error) => fault(home, error.to_string()),
                Ok(used) if used.entries != layer.entries => {
                    let (found, stated) = (used.entries, layer.entries);
                    fault(home, format!("it has {found} entries, not {stated}"));
                }
                Ok(_) => {}
            }
            return;
        };
        let both = contents::read(&home, digest)
            .and_then(|stated| Ok((stated, contents::take(&fs, deep)?)));
        match both {
            Err(error) => fault(home, error.to_string()),
            Ok((stated, found)) => self.compare(&fs, (&stated, &found, deep), &mut fault),
        }
    }

    /// Compares what was written down of a layer with what there is.
    fn compare(
        &self,
        fs: &Path,
        (stated, found, deep): (&[Entry], &[Found], bool),
        fault: &mut impl FnMut(PathBuf, String),
    ) {
        let mut found: BTreeMap<&str, &Found> =
            found.iter().map(|found| (found.entry.path.as_str(), found)).collect();
        for stated in stated {
            let Some(is) = found.remove(stated.path.as_str()) else {
                fault(fs.join(&stated.path), "it is missing".to_owned());
                continue;
            };
            let Some(what) = difference(stated, &is.entry, deep) else { continue };
            fault(is.path.clone(), format!("{what} is not what was written down"));
            // No layer that is made from now on gets it. If it stays there, the
            // next look finds it again.
            let _ = self.pool().banish(stated, is.inode);
        }
        for more in found.into_values() {
            fault(more.path.clone(), "nothing is written down of it".to_owned());
        }
    }
}

/// What tells an entry from what was written down of it.
fn difference(stated: &Entry, found: &Entry, deep: bool) -> Option<&'static str> {
    let pairs = [
        (stated.kind != found.kind, "its kind"),
        ((stated.uid, stated.gid) != (found.uid, found.gid), "its owner"),
        (stated.mode != found.mode, "its mode"),
        (stated.size != found.size, "its size"),
        (stated.time != found.time, "its time"),
        (deep && stated.content != found.content, "its content"),
        (deep && stated.attributes != found.attributes, "one of its attributes"),
    ];
    pairs.into_iter().find_map(|(differs, what)| differs.then_some(what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::{ImageConfig, LayerKey, NewImage};
    use crate::model::Digest;

    #[test]
    fn what_is_missing_or_damaged_is_named() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(home.path()).unwrap();
        let commit = |text: &str| {
            let layer = store.begin().unwrap();
            fs_err::write(layer.root().join("file"), text).unwrap();
            let key = LayerKey(Digest::of(text));
            let config = ImageConfig::default();
            let image = NewImage { key, parent: None, config, binds: Vec::new() };
            (key, layer.commit(image).unwrap())
        };
        let (lost, image) = commit("lost");
        let (changed, _) = commit("changed");
        store.tag("name", &image, TagOrigin::Built).unwrap();
        assert!(store.verify(true).unwrap().is_empty());
        fs_err::write(store.layer_dir(&changed).join("more"), "x").unwrap();
        crate::layers::remove_tree(&store.layer_home(&lost)).unwrap();
        let faults: Vec<_> =
            store.verify(true).unwrap().into_iter().map(|fault| fault.why).collect();
        assert_eq!(faults.len(), 3, "{faults:?}");
        assert!(faults.iter().any(|why| why.contains("nothing is written down")), "{faults:?}");
        assert!(faults.iter().any(|why| why.contains("layer of it is missing")), "{faults:?}");
        assert!(faults.iter().any(|why| why.contains("`name:latest`")), "{faults:?}");
    }
}
