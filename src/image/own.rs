//! Images that a back-end has of its own, whoever put them there: used as they are.

use super::pulled::ImagePolicy;
use super::{ImageError, Inner, ReadyImage};
use crate::layers::{ImageConfig, ImageKey, TagOrigin};
use crate::model::Instance;
use crate::sandbox::NamedImage;

impl Inner {
    /// The back-end's own image of an instance, if it is to be used: where none was imported or
    /// pulled under the name, and nothing is to be made anew.
    pub(super) async fn own_image(
        &self,
        instance: &Instance,
    ) -> Result<Option<ReadyImage>, ImageError> {
        let has_recipe = instance.env.is_some() || instance.dockerfile.is_some();
        let is_built = self.options.policy == ImagePolicy::Build && has_recipe;
        let name = &instance.image_name;
        let here = self.store.resolve(name);
        let foreign = here
            .is_some_and(|(_, origin)| matches!(origin, TagOrigin::Pulled | TagOrigin::Imported));
        if self.options.force || is_built || foreign {
            return Ok(None);
        }
        let Some(found) = self.named(name).await? else { return Ok(None) };
        let digest = format!("sha256:{}", found.key);
        Ok(Some(ReadyImage { key: found.key, name: name.clone(), built: 0, digest, _hold: None }))
    }

    /// The back-end's own image of a name, from now on known.
    pub(super) async fn named(&self, name: &str) -> Result<Option<NamedImage>, ImageError> {
        let found = self.backend.named(name).await.map_err(ImageError::sandbox(name))?;
        if let Some(found) = &found {
            let mut own = self.own.lock().expect("no holder panics");
            own.insert(name.to_owned(), found.clone());
        }
        Ok(found)
    }

    /// The image of a name, in the store or of the back-end's own, as far as it was looked for.
    pub(super) fn known(&self, name: &str) -> Option<ImageKey> {
        let own = || self.own.lock().expect("no holder panics").get(name).map(|image| image.key);
        self.store.resolve(name).map(|(key, _)| key).or_else(own)
    }

    /// What an image says that is known, wherever it is.
    pub(super) fn known_config(&self, key: &ImageKey) -> Result<Option<ImageConfig>, ImageError> {
        if let Some(image) = self.store.image(key)? {
            return Ok(Some(image.config));
        }
        let own = self.own.lock().expect("no holder panics");
        Ok(own.values().find(|image| image.key == *key).map(|image| image.config.clone()))
    }
}
