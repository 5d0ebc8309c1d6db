//! Names of images.

use super::{ImageKey, Store, StoreError, TagOrigin, names, record};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

/// `tags/<name>.json`.
#[derive(Serialize, Deserialize)]
struct Tag {
    name: String,
    image: ImageKey,
    origin: TagOrigin,
    created: Timestamp,
}

impl Store {
    /// Lets a name stand for an image, instead of whatever it stood for. Names are taken in the
    /// form Docker gives them: `python`, `docker.io/library/python:latest` are one.
    ///
    /// # Errors
    /// [`StoreError::NoSuchImage`]; the name is empty or too long; trouble with files.
    pub fn tag(&self, name: &str, image: &ImageKey, origin: TagOrigin) -> Result<(), StoreError> {
        if name.trim().is_empty() {
            return Err(StoreError::NoSuchName(name.to_owned()));
        }
        self.need(image)?;
        let name = names::canonical(name);
        let path = self.tag_path(&name);
        record::write(&path, &Tag { name, image: *image, origin, created: Timestamp::now() })
    }

    /// The image a name stands for, and how it came to. A name that cannot be read is as good as
    /// none: what it stood for is made or fetched again.
    #[must_use]
    pub fn resolve(&self, name: &str) -> Option<(ImageKey, TagOrigin)> {
        let path = self.tag_path(&names::canonical(name));
        let tag = record::read::<Tag>(&path).ok().flatten()?;
        self.contains(&tag.image).then_some((tag.image, tag.origin))
    }

    /// Takes a name away. No such name is no error.
    ///
    /// # Errors
    /// Trouble with files.
    pub fn untag(&self, name: &str) -> Result<(), StoreError> {
        match fs_err::remove_file(self.tag_path(&names::canonical(name))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// All names by image.
    pub(super) fn names(&self) -> Result<BTreeMap<ImageKey, Vec<(String, TagOrigin)>>, StoreError> {
        let mut names: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for entry in fs_err::read_dir(self.tags_path())? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            if let Ok(Some(tag)) = record::read::<Tag>(&path) {
                names.entry(tag.image).or_default().push((tag.name, tag.origin));
            }
        }
        for list in names.values_mut() {
            list.sort_by(|one, other| one.0.cmp(&other.0));
        }
        Ok(names)
    }

    /// A name of more than 255 bytes, encoded, cannot be a file's: its digest stands for it.
    fn tag_path(&self, name: &str) -> PathBuf {
        let mut file = names::encode(name.as_bytes());
        if file.len() > 240 {
            file = crate::model::Digest::of(name).to_string();
        }
        self.tags_path().join(format!("{file}.json"))
    }
}
