//! Trouble of our own with sandboxes.

use crate::layers::ImageKey;
use std::io;

/// Our machinery failed. How a command inside ended is never an error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// The image is not in the store.
    #[error("image {0} is not here")]
    NoSuchImage(ImageKey),
    /// The sandbox has ended already.
    #[error("the sandbox has ended")]
    Gone,
    /// The command could not be started for a reason that lies with the command.
    #[error("cannot start `{program}`: {source}")]
    CannotStart {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// This machine cannot do it.
    #[error("{what} is not possible on this machine: {why}")]
    Unsupported {
        /// What.
        what: &'static str,
        /// Why, and what would mend it.
        why: String,
    },
    /// A path inside cannot be used.
    #[error("path `{path}` in the sandbox: {why}")]
    Path {
        /// The path.
        path: String,
        /// Why not.
        why: String,
    },
    /// More than allowed.
    #[error("`{path}` is larger than the limit of {limit} bytes")]
    TooLarge {
        /// The path inside.
        path: String,
        /// The limit.
        limit: u64,
    },
    /// A step of the machinery failed.
    #[error("{step}: {source}")]
    System {
        /// What was tried.
        step: String,
        /// The system's answer.
        source: io::Error,
    },
    /// The store of layers.
    #[error("the store of layers: {0}")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The connection to where the sandbox is was lost, and did not come back: nothing is known of
    /// what runs there.
    #[error("the connection to the sandbox was lost: {0}")]
    Lost(String),
    /// The other side said something that makes no sense.
    #[error("the sandbox's helper: {0}")]
    Protocol(String),
}

impl SandboxError {
    /// For `map_err`: names the step that failed.
    pub fn step(step: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let step = step.into();
        move |source| Self::System { step, source }
    }
}
