//! What can go wrong with the store and with what fills it.

use super::unpack::UnpackError;
use super::{ImageKey, LayerKey};
use crate::model::Digest;
use std::io;
use std::path::{Path, PathBuf};

/// The store, or a source of layers, failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A file operation; the message names the path.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A system call on a path.
    #[error("{what} {path}: {source}")]
    Call {
        /// What was tried.
        what: &'static str,
        /// The path.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The image is not in the store.
    #[error("image {0} is not in the store")]
    NoSuchImage(ImageKey),
    /// No image of this name is in the store.
    #[error("no image in the store is named `{0}`")]
    NoSuchName(String),
    /// An image names a layer that is not there.
    #[error("layer {0} is not in the store, though an image needs it")]
    NoSuchLayer(LayerKey),
    /// A file of the store cannot be read.
    #[error("{path}: {why}; remove it and what it names is made again")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The store was made by another kind of user.
    #[error("{home}: {why}; choose another directory with EVALRUN_HOME")]
    Foreign {
        /// The store's home.
        home: PathBuf,
        /// What does not fit.
        why: String,
    },
    /// Another process uses the store.
    #[error("{home} is in use by another evalrun; try again when it has ended")]
    InUse {
        /// The store's home.
        home: PathBuf,
    },
    /// What is in use leaves no room for a layer.
    #[error(
        "{} for a layer do not fit the disk budget of {}: all that is left is in use or was \
         brought in by hand, and {} are lacking; raise --disk-budget",
        size(*needed), size(*limit), size(*lacking)
    )]
    OverBudget {
        /// Bytes that the layer adds.
        needed: u64,
        /// Bytes that are lacking when all has gone that may.
        lacking: u64,
        /// The budget.
        limit: u64,
    },
    /// A tar stream could not be unpacked.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// Content is not what its digest says.
    #[error("{what} is damaged: its digest is sha256:{found}")]
    Corrupt {
        /// What was expected, by its digest.
        what: String,
        /// What was found.
        found: Digest,
    },
    /// An archive, layout or registry says something that cannot be used.
    #[error("{source_name}: {why}")]
    Source {
        /// The archive, directory or reference.
        source_name: String,
        /// What is wrong.
        why: String,
    },
}

impl StoreError {
    /// For `map_err`: names the call and the path.
    pub(crate) fn call<E: Into<io::Error>>(
        what: &'static str,
        path: &Path,
    ) -> impl FnOnce(E) -> Self + use<E> {
        let path = path.to_owned();
        move |source| Self::Call { what, path, source: source.into() }
    }

    /// A source that cannot be used.
    pub(crate) fn source_error(name: impl ToString, why: impl ToString) -> Self {
        Self::Source { source_name: name.to_string(), why: why.to_string() }
    }
}

/// Bytes for people.
fn size(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mebibytes = bytes as f64 / f64::from(1 << 20);
    if mebibytes < 1024.0 {
        format!("{mebibytes:.1} MiB")
    } else {
        format!("{:.2} GiB", mebibytes / 1024.0)
    }
}
