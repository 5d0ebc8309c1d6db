//! Predictions: what agents propose, from the files they come in.

use super::{Dataset, DatasetError, Problem};
use crate::model::Prediction;

/// Loads predictions from files (`.json` list, `.json` object by id, `.jsonl`), directories of
/// such files, `gold` (the reference solutions) and `empty` (no patch), in any mix. Several
/// attempts of one model at one instance are numbered in the order of their appearance.
///
/// # Errors
/// [`DatasetError`] with every problem of every file.
pub fn load_predictions(
    specs: &[String],
    dataset: &Dataset,
) -> Result<Vec<Prediction>, DatasetError> {
    let _ = dataset;
    Err(Problem::new(specs.join(" "), "loading is not here yet").into())
}
