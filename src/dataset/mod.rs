//! Every foreign dialect of rows and predictions, resolved and validated before anything starts.
//!
//! The ways in are [`load()`] for instances, [`load_predictions`] for predictions, [`Selection`] for
//! a part of them, and [`recipe`] for the files that say how an environment is built. All of them
//! look at the whole input and report every problem they find, not the first alone.

mod assets;
mod convert;
mod dialect;
mod digest;
mod embedded;
mod error;
mod fields;
mod hub;
mod instance;
mod load;
mod names;
mod nearest;
mod patch;
mod predictions;
mod read;
pub mod recipe;
mod script;
mod selection;
mod task_repo;

pub use convert::convert;
pub use digest::instance_digest;
pub use error::{DatasetError, Place, Problem, Problems};
pub use hub::{FetchedAssets, fetch_assets};
pub use names::{HubId, Location, Named, registry};
pub use predictions::load_predictions;
pub use selection::Selection;

use crate::model::{Digest, Instance, InstanceId};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

/// A task list: instances of one split, ready to be run.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Its name for people: the alias, the hub id, the file's stem, or what `dataset.toml` says.
    pub name: String,
    /// The split the instances belong to.
    pub split: String,
    /// Digest of all that bears on verdicts, of the whole split as it was loaded; the container
    /// format, the order of rows and columns and the texts for agents do not change it.
    pub digest: Digest,
    /// The instances, in the order of the rows (or of the [`Selection`] applied).
    pub instances: Vec<Instance>,
    /// The dataset directory it came from, if it came from one.
    pub directory: Option<PathBuf>,
    /// The ids of the whole split; a [`Selection`] does not change them.
    pub ids: Arc<BTreeSet<InstanceId>>,
}

/// What [`load()`] needs to know beside the name.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// The split wanted; absent: the one the registry names, else `test`.
    pub split: Option<String>,
    /// The registry of names (`datasets/registry.toml`). Where the file does not exist, the copy
    /// inside the program is used.
    pub registry: PathBuf,
    /// Folders of recipes, looked through in order; the copies inside the program come last.
    pub envs: Vec<PathBuf>,
    /// Folder for downloads (`<home>/datasets-v1`).
    pub cache: PathBuf,
    /// The hub's address; absent: `https://huggingface.co`.
    pub hf_endpoint: Option<String>,
    /// Token for the hub.
    pub hf_token: Option<String>,
    /// Revision wanted: branch, tag or commit; absent: the pinned one.
    pub revision: Option<String>,
    /// Use only what is in the cache.
    pub offline: bool,
    /// Whether a log parser of this name exists; absent: every name is taken.
    pub known_parser: Option<fn(&str) -> bool>,
}

/// Loads a task list: a file of rows (`.jsonl`, `.json`, `.parquet`, `.csv`), a directory of
/// `<split>.parquet`, a dataset directory, a task repository, a name of the registry, or an id of the hub
/// (`owner/name`).
///
/// # Errors
/// [`DatasetError`] with every problem of the input.
pub async fn load(spec: &str, options: &LoadOptions) -> Result<Dataset, DatasetError> {
    load::load(spec, options).await
}

/// Whether a text has the form `owner/name`, of characters that are safe in a path.
fn is_repo(text: &str) -> bool {
    let safe = |part: &str| {
        !part.is_empty()
            && part.len() <= 100
            && part != "."
            && part != ".."
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    text.split_once('/').is_some_and(|(owner, name)| safe(owner) && safe(name))
}
