//! Recipes: the files that say how the environments of a repository are built
//! (`configs/envs/<owner>__<repo>.toml`).

use super::{DatasetError, Problem};
use std::path::Path;

/// Checks a recipe file.
///
/// # Errors
/// [`DatasetError`] with every problem of the file.
pub fn validate(path: &Path) -> Result<(), DatasetError> {
    if path.exists() { Ok(()) } else { Err(Problem::new(path, "no such file").into()) }
}
