//! Images that others have built: pulled when an instance asks for them.

use super::room::Size;
use super::{ImageError, Inner, ReadyImage};
use crate::layers::{self, ImageKey, LayerKey, TagOrigin};
use crate::model::{Instance, RootSource};
use crate::sandbox::Root;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Where the image of an instance comes from that is not in the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ImagePolicy {
    /// It is built where there is a recipe, else pulled under the name that its row gives, or that
    /// the incumbent publishes it under.
    #[default]
    Auto,
    /// It is pulled, whether or not there is a recipe.
    Pull,
    /// It is built; what has no recipe must be in the store.
    Build,
}

/// How long to wait before a pull that failed for a passing reason is tried again; the requests it
/// is made of have been tried for half a minute each.
const PAUSES: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(30)];

/// An image made way for others before it could be used.
pub(super) fn gone(name: &str) -> ImageError {
    ImageError::Root {
        root: name.to_owned(),
        why: "it made way for others again and again; raise --disk-budget".to_owned(),
    }
}

impl Inner {
    /// Whether the image of an instance is to be pulled now.
    pub(super) fn is_pulled(&self, instance: &Instance) -> bool {
        if self.options.registry.is_none() {
            return false;
        }
        let wanted = match self.options.policy {
            ImagePolicy::Auto => instance.env.is_none() && instance.dockerfile.is_none(),
            ImagePolicy::Pull => true,
            ImagePolicy::Build => false,
        };
        let here = self.store.resolve(&instance.image_name);
        wanted && (self.options.force || here.is_none_or(|(_, origin)| origin == TagOrigin::Built))
    }

    /// Pulls the image that a recipe starts from, if it is named and not here.
    pub(super) async fn pull_base(&self, instance: &Instance) -> Result<(), ImageError> {
        let Some(RootSource::Named(name)) = instance.env.as_ref().map(|env| &env.base) else {
            return Ok(());
        };
        if self.store.resolve(name).is_none()
            && self.named(name).await?.is_none()
            && self.options.registry.is_some()
        {
            self.pull(name).await?;
        }
        Ok(())
    }

    /// Pulls an image when it is its turn, and gives it to the back-end.
    pub(super) async fn pull(&self, name: &str) -> Result<ReadyImage, ImageError> {
        let pulled = self.in_turn(Size::Paced, async || self.pull_now(name).await.map(Some));
        pulled.await?.ok_or_else(|| gone(name))
    }

    /// Pulls an image, keeps it, and gives it to the back-end.
    pub(super) async fn pull_now(&self, name: &str) -> Result<ReadyImage, ImageError> {
        let registry = self.options.registry.as_ref().expect("whoever pulls has looked");
        let mut pauses = PAUSES.iter();
        let (pulled, hold) = loop {
            match registry.pull_held(name).await {
                Ok(pulled) => break pulled,
                Err(error) => match pauses.next().filter(|_| error.may_pass()) {
                    Some(pause) => {
                        tracing::warn!("{error}; pulling again in {} s", pause.as_secs());
                        tokio::time::sleep(*pause).await;
                    }
                    None => return Err(error.into()),
                },
            }
        };
        self.hand_over(pulled.key).await?;
        Ok(ReadyImage {
            key: pulled.key,
            name: pulled.name,
            built: 0,
            digest: format!("sha256:{}", pulled.key),
            _hold: Some(Arc::new(hold)),
        })
    }

    /// Gives an image of the store to a back-end that keeps its images elsewhere.
    pub(super) async fn hand_over(&self, key: ImageKey) -> Result<(), ImageError> {
        let Some(image) = self.store.image(&key)? else { return Ok(()) };
        if self.has(key).await? {
            return Ok(());
        }
        let failed = || ImageError::file("export an image");
        let (reader, writer) = io::pipe().map_err(failed())?;
        let store = self.store.clone();
        let writing =
            tokio::task::spawn_blocking(move || layers::export_image(&store, &key, writer, true));
        let reader = std::fs::File::from(std::os::fd::OwnedFd::from(reader));
        let root = Root::Tar(Box::new(tokio::fs::File::from_std(reader)));
        let imported = self.backend.import(LayerKey(key.0), root, &image.config).await;
        let written = writing.await.map_err(io::Error::other).map_err(failed())?;
        match (imported, written) {
            (Ok(_), Ok(())) => Ok(()),
            // It may have left unread what follows the end mark.
            (Ok(_), Err(_)) if self.has(key).await? => Ok(()),
            (Ok(_), Err(error)) => Err(error.into()),
            (Err(error), _) => Err(ImageError::sandbox("image")(error)),
        }
    }
}
