//! Trouble of our own during an evaluation.

use crate::sandbox::SandboxError;
use std::io;

/// Our machinery failed; nothing can be said of the patch.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// The sandbox.
    #[error("sandbox: {0}")]
    Sandbox(#[from] SandboxError),
    /// A file of the run's own.
    #[error("files of the run: {0}")]
    Files(#[from] io::Error),
    /// A file the instance needs was not downloaded.
    #[error("asset `{0}` was not fetched")]
    AssetMissing(String),
}

impl EvaluateError {
    /// A short stable word for reports.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Sandbox(SandboxError::NoSuchImage(_)) => "image_missing",
            Self::Sandbox(SandboxError::Unsupported { .. }) => "sandbox_unsupported",
            Self::Sandbox(SandboxError::Lost(_)) => "connection_lost",
            Self::Sandbox(_) => "sandbox_failed",
            Self::Files(error) if error.kind() == io::ErrorKind::StorageFull => "disk_full",
            Self::Files(_) => "files_failed",
            Self::AssetMissing(_) => "asset_missing",
        }
    }
}
