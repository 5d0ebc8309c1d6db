//! Whether the store holds what it says.

use super::{Store, StoreError, TagOrigin, owners, usage};
use serde::Serialize;
use std::path::PathBuf;

/// What is wrong with a store.
#[derive(Clone, Debug, Serialize)]
pub struct Fault {
    /// The file or directory.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

impl Store {
    /// Looks through the store: every layer has its record and as many entries as it says, every
    /// image its layers, every name its image. What the content of a file should be is written
    /// down nowhere, so it is not looked at. Blocks.
    ///
    /// # Errors
    /// The store's directories cannot be read.
    pub fn verify(&self) -> Result<Vec<Fault>, StoreError> {
        let _using = self.use_lock()?;
        let mut faults = Vec::new();
        let mut fault = |path: PathBuf, why: String| faults.push(Fault { path, why });
        for key in self.layer_keys()? {
            let home = self.layer_home(&key);
            match self.layer(&key) {
                Err(error) => fault(home, error.to_string()),
                Ok(None) => {
                    let why = "it was not on disk when the machine stopped, or has no record";
                    fault(home, why.to_owned());
                }
                Ok(Some(layer)) => {
                    match usage::of_tree(&self.layer_dir(&key)) {
                        Err(error) => fault(home.clone(), error.to_string()),
                        Ok(used) if used.entries != layer.entries => {
                            let (found, stated) = (used.entries, layer.entries);
                            fault(home.clone(), format!("it has {found} entries, not {stated}"));
                        }
                        Ok(_) => {}
                    }
                    if let Err(error) = owners::read(&home) {
                        fault(home, error.to_string());
                    }
                }
            }
        }
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
        assert!(store.verify().unwrap().is_empty());
        fs_err::write(store.layer_dir(&changed).join("more"), "x").unwrap();
        crate::layers::remove_tree(&store.layer_home(&lost)).unwrap();
        let faults: Vec<_> = store.verify().unwrap().into_iter().map(|fault| fault.why).collect();
        assert_eq!(faults.len(), 3, "{faults:?}");
        assert!(faults.iter().any(|why| why.contains("3 entries, not 2")), "{faults:?}");
        assert!(faults.iter().any(|why| why.contains("layer of it is missing")), "{faults:?}");
        assert!(faults.iter().any(|why| why.contains("`name:latest`")), "{faults:?}");
    }
}
