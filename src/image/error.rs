//! Why an image could not be had.

use super::repo::RepoError;
use crate::layers::{RegistryError, StoreError};
use crate::sandbox::SandboxError;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// An image could not be had. Cheap to clone: a failure is kept and told to all who wait for it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// Nothing says how to get this image.
    #[error(
        "image `{image}` of {instance} is not in the store and no recipe says how to build it; \
         pull it (not with --offline or --images build), import it, or write configs/envs/<owner>__<repo>.toml"
    )]
    Unknown {
        /// The task.
        instance: String,
        /// The name it asks for.
        image: String,
    },
    /// The root file system below everything could not be had.
    #[error("root file system {root}: {why}")]
    Root {
        /// Which, e.g. `debian:bookworm`.
        root: String,
        /// Why not, with a remedy.
        why: String,
    },
    /// The image could not be pulled.
    #[error(transparent)]
    Registry(Arc<RegistryError>),
    /// The repository could not be had.
    #[error(transparent)]
    Repo(Arc<RepoError>),
    /// A step of a layer ended badly.
    #[error(
        "layer {layer}: step `{step}` {ended}; the log is {}; its last lines:\n{tail}",
        log.display()
    )]
    Step {
        /// The layer, for people.
        layer: String,
        /// The step.
        step: String,
        /// How it ended: `exited with status 1`, …
        ended: String,
        /// The whole log of the layer.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// A Dockerfile makes no sense, or asks for what is not there.
    #[error("{}:{line}: {why}", file.display())]
    Dockerfile {
        /// The file.
        file: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// The sandbox of a build failed.
    #[error("layer {layer}: {source}")]
    Sandbox {
        /// The layer, for people.
        layer: String,
        /// What failed.
        source: Arc<SandboxError>,
    },
    /// The store of layers failed.
    #[error("the store of layers: {0}")]
    Store(Arc<StoreError>),
    /// A file of ours.
    #[error("{what}: {source}")]
    File {
        /// What was tried.
        what: String,
        /// The system's answer; it names the path.
        source: Arc<io::Error>,
    },
}

impl ImageError {
    /// A short stable word for reports.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            error if error.is_over_budget() => "image_over_disk_budget",
            Self::Unknown { .. } => "image_unknown",
            Self::Root { .. } => "image_root_unavailable",
            Self::Registry(error) => error.reason(),
            Self::Repo(_) => "repo_unavailable",
            Self::Step { .. } => "image_build_failed",
            Self::Dockerfile { .. } => "image_dockerfile_wrong",
            Self::Sandbox { .. } => "image_sandbox_failed",
            Self::Store(_) => "image_store_failed",
            Self::File { .. } => "image_file_failed",
        }
    }

    /// Whether it lies with what the user wrote, and not with what was done.
    #[must_use]
    pub fn is_bad_input(&self) -> bool {
        matches!(self, Self::Dockerfile { .. } | Self::Unknown { .. })
    }

    /// Whether what is in use leaves no room for a layer of it.
    #[must_use]
    pub fn is_over_budget(&self) -> bool {
        let error = match self {
            Self::Store(error) => Some(error.as_ref()),
            Self::Sandbox { source, .. } => match source.as_ref() {
                SandboxError::Store(error) => error.downcast_ref(),
                _ => None,
            },
            Self::Registry(error) => error.of_store(),
            _ => None,
        };
        matches!(error, Some(StoreError::OverBudget { .. }))
    }

    pub(super) fn sandbox(layer: &str) -> impl FnOnce(SandboxError) -> Self {
        let layer = layer.to_owned();
        move |source| Self::Sandbox { layer, source: Arc::new(source) }
    }

    pub(super) fn file(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::File { what, source: Arc::new(source) }
    }
}

impl From<RegistryError> for ImageError {
    fn from(error: RegistryError) -> Self {
        Self::Registry(Arc::new(error))
    }
}

impl From<RepoError> for ImageError {
    fn from(error: RepoError) -> Self {
        Self::Repo(Arc::new(error))
    }
}

impl From<StoreError> for ImageError {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}
