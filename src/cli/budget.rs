//! `--disk-budget`: the bound on the store, and what is said of it before anything is made.

use super::exit::Failure;
use super::terminal::{Terminal, bytes};
use crate::image::Images;
use crate::layers::Store;
use crate::model::Instance;
use anyhow::anyhow;

/// Bounds the store and says what the images of these instances will need.
///
/// # Errors
/// Bad input if one image is known to be too large.
pub(super) fn set(
    budget: Option<u64>,
    store: &Store,
    (images, instances): (&Images, &[Instance]),
    terminal: &Terminal,
) -> Result<(), Failure> {
    let Some(limit) = budget else { return Ok(()) };
    let estimate = images.estimate(instances).map_err(Failure::broken)?;
    if let Some((name, known)) = estimate.largest.filter(|(_, known)| *known > limit) {
        let error = anyhow!(
            "image {name} alone takes {}, and the disk budget is {}",
            bytes(known),
            bytes(limit)
        );
        return Err(Failure::input(error).hint("raise --disk-budget"));
    }
    let used = store.bytes().map_err(Failure::broken)?;
    let mut text = format!(
        "disk budget {}: the store takes {}; of the images wanted {} are there",
        bytes(limit),
        bytes(used),
        bytes(estimate.there)
    );
    if estimate.missing > 0 {
        text.push_str(&format!(", {} layers are to be made", estimate.missing));
        if estimate.unknown < estimate.missing {
            text.push_str(&format!(" (at most about {}", bytes(estimate.expected)));
            if estimate.unknown > 0 {
                text.push_str(&format!(" and {} of unknown size", estimate.unknown));
            }
            text.push(')');
        }
    }
    terminal.say(&text);
    store.set_budget(budget).map_err(Failure::broken)
}
