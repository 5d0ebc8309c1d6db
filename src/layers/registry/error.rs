//! Why an image could not be pulled or pushed.

use crate::layers::StoreError;

/// An image could not be pulled or pushed. `what` names the image, and the blob where it was one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The name is none.
    #[error("`{name}` is no name of an image: {why}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// The registry does not have it.
    #[error("{what}: the registry does not have it (status 404){said}")]
    NotFound {
        /// What was asked for.
        what: String,
        /// What the registry said.
        said: String,
    },
    /// The registry does not give it to us.
    #[error(
        "{what}: the registry does not give it to us (status {status}){said}; it may not exist, or \
         `docker login {host}` may help"
    )]
    Denied {
        /// What was asked for.
        what: String,
        /// The registry.
        host: String,
        /// 401 or 403.
        status: u16,
        /// What the registry said.
        said: String,
    },
    /// Too many requests, and waiting did not help.
    #[error(
        "{what}: the registry has had too many requests (status 429){said}; wait, or \
         `docker login {host}`, which may allow more"
    )]
    Limited {
        /// What was asked for.
        what: String,
        /// The registry.
        host: String,
        /// What the registry said.
        said: String,
    },
    /// The network or the registry failed, however often it was tried.
    #[error("{what}: {why}")]
    Failed {
        /// What was asked for.
        what: String,
        /// The last failure.
        why: String,
    },
    /// What the registry gave cannot be used.
    #[error("{what}: {why}")]
    Senseless {
        /// What was asked for.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// A layer could not be put into the store.
    #[error("{what}: {source}")]
    Layer {
        /// The image and the layer's blob.
        what: String,
        /// What is wrong with it.
        source: StoreError,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RegistryError {
    /// A short stable word for reports.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Name { .. } => "image_name_invalid",
            Self::NotFound { .. } => "image_not_found",
            Self::Denied { .. } => "registry_denied",
            Self::Limited { .. } => "registry_rate_limited",
            Self::Failed { .. } | Self::Senseless { .. } | Self::Layer { .. } => {
                "image_pull_failed"
            }
            Self::Store(_) => "image_store_failed",
        }
    }

    /// What the store says, if it was the store that failed.
    #[must_use]
    pub fn of_store(&self) -> Option<&StoreError> {
        match self {
            Self::Store(error) | Self::Layer { source: error, .. } => Some(error),
            _ => None,
        }
    }

    /// Whether trying again later may end better.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Limited { .. } | Self::Failed { .. })
    }
}
