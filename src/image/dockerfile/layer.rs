//! One layer of a build: found, or made and kept in its place while the build goes on.

use super::state::State;
use super::{Builder, FORMAT};
use crate::image::{ImageError, ImageEvent};
use crate::layers::{ImageKey, LayerKey};
use crate::model::{Digest, DigestBuilder};
use crate::sandbox::Network;
use std::sync::atomic::Ordering;

impl Builder<'_> {
    /// Makes sure of a layer: `make` builds it on the image below.
    pub(super) async fn layer<F>(
        &self,
        title: &str,
        key: Digest,
        make: impl FnOnce(LayerKey) -> F,
    ) -> Result<ImageKey, ImageError>
    where
        F: Future<Output = Result<(), ImageError>>,
    {
        let (inner, key) = (self.inner, LayerKey(key));
        let name = format!("{}: {title}", self.wanted.name);
        let begin = || async {
            let log = self.log.path().to_owned();
            inner.tell(ImageEvent::Started { layer: name.clone(), log });
            self.say(&format!("== {title}"))?;
            make(key).await
        };
        let work = || inner.build_unless_there(key.into(), &name, begin);
        if !inner.has(key.into()).await? {
            // It may have been made and evicted.
            inner.layers.forget_done(&key);
        }
        let built = inner.layers.get(key, work).await;
        if built.as_ref().is_err_and(ImageError::is_over_budget) {
            // It may fit when others have ended.
            inner.layers.forget(&key);
        }
        *self.count.lock().expect("no holder panics") += usize::from(built?);
        self.keep(key.into()).await?;
        Ok(key.into())
    }

    /// Keeps an image where it is for as long as the build goes on. What has been evicted already is
    /// noted, and found to be missing by who needs it.
    pub(super) async fn keep(&self, image: ImageKey) -> Result<(), ImageError> {
        match self.inner.hold(image).await? {
            Some(hold) => self.holds.lock().expect("no holder panics").push(hold),
            None if self.inner.store.has_budget() => self.evicted.store(true, Ordering::Relaxed),
            None => {}
        }
        Ok(())
    }

    /// The image of a stage with what it says; layers alone say nothing.
    pub(super) async fn seal(&self, state: State) -> Result<ImageKey, ImageError> {
        let config = serde_json::to_string(&state.config).expect("a config has text keys only");
        let key = DigestBuilder::new(FORMAT)
            .field("parent", state.image.to_string())
            .field("config", config)
            .finish();
        let make = |key| async move {
            let trouble = || ImageError::sandbox(&self.wanted.name);
            let backend = &self.inner.backend;
            let options = self.sandbox_options(Vec::new(), Network::None);
            let sandbox = backend.create(&state.image, &options).await.map_err(trouble())?;
            let sealed = sandbox.snapshot(Some(key), &state.config, true).await;
            let _ = sandbox.terminate().await;
            sealed.map(drop).map_err(trouble())
        };
        let before = *self.count.lock().expect("no holder panics");
        let key = self.layer("what the image says", key, make).await?;
        // It ran nothing.
        *self.count.lock().expect("no holder panics") = before;
        Ok(key)
    }
}
