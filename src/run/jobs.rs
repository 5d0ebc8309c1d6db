//! The two things that a run needs done for it: an image made sure of, a prediction evaluated.
//! Tests put something in their place that needs no sandbox.

use crate::evaluate::{EvalOptions, Task, evaluate};
use crate::layers::ImageKey;
use crate::model::{Evaluation, InfraCause, Instance};
use crate::sandbox::{Backend, SandboxOptions};
use async_trait::async_trait;
use std::path::Path;
use std::sync::Arc;

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
    /// Waits until nothing is left of what was evaluated.
    async fn close(&self);
}

/// The real thing.
pub(crate) struct SandboxJobs {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) images: crate::image::Images,
    /// What sandboxes of the next jobs are made ahead with, if they are.
    pub(crate) ahead: Option<SandboxOptions>,
}

#[async_trait]
impl Jobs for SandboxJobs {
    fn backend(&self) -> (&'static str, Vec<String>) {
        (self.backend.name(), self.backend.caveats())
    }

    async fn prepare(&self, instance: &Instance) -> Result<Prepared, InfraCause> {
        let ready = self.images.ensure(instance).await.map_err(|error| InfraCause {
            reason: error.reason().to_owned(),
            detail: error.to_string(),
        })?;
        if let Some(options) = &self.ahead {
            // One that cannot be had ahead is made when its job begins, or that says why not.
            let _ = self.backend.make_ready(&ready.key, options, 1).await;
        }
        Ok(Prepared { key: ready.key, name: ready.name, digest: ready.digest, built: ready.built })
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

    async fn close(&self) {
        self.backend.close().await;
    }
}
