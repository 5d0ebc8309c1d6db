//! The two things that a run needs done for it: an image made sure of, a prediction evaluated.
//! Tests put something in their place that needs no sandbox.

use crate::evaluate::{EvalOptions, Task, evaluate, sandbox_options};
use crate::image::{Images, ReadyImage};
use crate::layers::ImageKey;
use crate::model::{Evaluation, InfraCause, Instance, InstanceId};
use crate::sandbox::{Backend, SandboxOptions};
use async_trait::async_trait;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

/// An image that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// Its key.
    pub key: ImageKey,
    /// Its name.
    pub name: String,
    /// What it holds, as a digest.
    pub digest: String,
    /// Layers built for it now.
    pub built: usize,
}

/// What a run needs done for it.
#[async_trait]
pub trait Jobs: Send + Sync {
    /// Where it is done, and what cannot be enforced there.
    fn backend(&self) -> (&'static str, Vec<String>);
    /// The key of an instance's image, where it can be told without making it. May block.
    fn image_key(&self, _instance: &Instance) -> Option<ImageKey> {
        None
    }
    /// Makes sure of an instance's image. Asked once an instance and session: it does its own
    /// tries again.
    async fn prepare(&self, instance: &Instance) -> Result<Prepared, InfraCause>;
    /// Evaluates a prediction and writes its files into `dir`.
    async fn evaluate(
        &self,
        image: &ImageKey,
        task: Task<'_>,
        options: &EvalOptions,
        dir: &Path,
    ) -> Evaluation;
    /// This will be evaluated soon; must return at once.
    fn is_next(&self, _image: &ImageKey, _task: Task<'_>, _options: &EvalOptions) {}
    /// Nothing more will be evaluated in the image of this instance.
    fn finished(&self, _instance: &Instance) {}
    /// Waits until nothing is left of what was evaluated.
    async fn close(&self);
}

/// The real thing.
pub(crate) struct SandboxJobs {
    backend: Arc<dyn Backend>,
    images: Images,
    /// What sandboxes of the next jobs are made ahead with, if they are.
    ahead: Option<SandboxOptions>,
    /// Images that stay where they are until nothing of their instance is left to do.
    ready: Mutex<HashMap<InstanceId, ReadyImage>>,
}

impl SandboxJobs {
    pub(crate) fn new(
        backend: Arc<dyn Backend>,
        images: Images,
        ahead: Option<SandboxOptions>,
    ) -> Self {
        Self { backend, images, ahead, ready: Mutex::default() }
    }

    fn ready(&self) -> MutexGuard<'_, HashMap<InstanceId, ReadyImage>> {
        self.ready.lock().expect("no holder panics")
    }
}

#[async_trait]
impl Jobs for SandboxJobs {
    fn backend(&self) -> (&'static str, Vec<String>) {
        (self.backend.name(), self.backend.caveats())
    }

    fn image_key(&self, instance: &Instance) -> Option<ImageKey> {
        self.images.known_key(instance)
    }

    async fn prepare(&self, instance: &Instance) -> Result<Prepared, InfraCause> {
        let ready = self.images.ensure(instance).await.map_err(|error| InfraCause {
            reason: error.reason().to_owned(),
            detail: error.to_string(),
        })?;
        if let Some(options) = self.ahead.as_ref().filter(|_| !self.backend.starts_slowly()) {
            // One that cannot be had ahead is made when its job begins, or that says why not.
            let _ = self.backend.make_ready(&ready.key, options, 1).await;
        }
        let prepared = Prepared {
            key: ready.key,
            name: ready.name.clone(),
            digest: ready.digest.clone(),
            built: ready.built,
        };
        self.ready().insert(instance.id.clone(), ready);
        Ok(prepared)
    }

    async fn evaluate(
        &self,
        image: &ImageKey,
        task: Task<'_>,
        options: &EvalOptions,
        dir: &Path,
    ) -> Evaluation {
        evaluate(self.backend.as_ref(), image, task, options, dir).await
    }

    fn is_next(&self, image: &ImageKey, task: Task<'_>, options: &EvalOptions) {
        if self.backend.starts_slowly() {
            let (backend, image) = (self.backend.clone(), *image);
            let sandbox = sandbox_options(task, options);
            tokio::spawn(async move {
                // One that cannot be had ahead is made when its job begins, or that says why not.
                let _ = backend.make_ready(&image, &sandbox, 1).await;
            });
        }
    }

    fn finished(&self, instance: &Instance) {
        self.ready().remove(&instance.id);
    }

    async fn close(&self) {
        // Who still makes an image may wait for room.
        self.ready().clear();
        self.backend.close().await;
    }
}
