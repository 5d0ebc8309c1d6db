//! What the images of a task list will take on disk, as far as that can be known before they are made.

use super::{ImageError, Images, LayerKind};
use crate::layers::LayerKey;
use crate::model::Instance;
use std::collections::BTreeMap;

/// What images take and will take. Files that layers share are counted with each of them: in truth
/// it is less.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Bytes of the layers that are there.
    pub there: u64,
    /// Layers that are to be made.
    pub missing: usize,
    /// Bytes of those, after the layers of their kind that are there.
    pub expected: u64,
    /// Of those, layers of whose kind none is there.
    pub unknown: usize,
    /// The name of the image of which most is known, and these bytes.
    pub largest: Option<(String, u64)>,
}

/// Layers of a kind that are there: how many, and their bytes.
#[derive(Clone, Copy, Default)]
struct Known {
    count: u64,
    bytes: u64,
}

impl Images {
    /// What the images of these instances take and will take. Those of which no plan can be made are
    /// left out. Blocks.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn estimate(&self, instances: &[Instance]) -> Result<Estimate, ImageError> {
        let store = &self.0.store;
        let mut estimate = Estimate::default();
        let mut layers: BTreeMap<LayerKey, (LayerKind, Option<u64>)> = BTreeMap::new();
        for instance in instances {
            let Ok(plan) = self.plan(instance) else { continue };
            let mut known = 0;
            for layer in &plan.layers {
                let size = if layer.present { store.size_of(&layer.key)? } else { None };
                known += size.unwrap_or(0);
                layers.insert(layer.key, (layer.kind, size));
            }
            if estimate.largest.as_ref().is_none_or(|(_, most)| known > *most) {
                estimate.largest = Some((plan.image_name, known));
            }
        }
        let mut kinds: [Known; 4] = Default::default();
        for (kind, size) in layers.values() {
            let Some(size) = size else { continue };
            let known = &mut kinds[*kind as usize];
            *known = Known { count: known.count + 1, bytes: known.bytes + size };
            estimate.there += size;
        }
        for (kind, _) in layers.values().filter(|(_, size)| size.is_none()) {
            estimate.missing += 1;
            let known = kinds[*kind as usize];
            match known.bytes.checked_div(known.count) {
                Some(mean) => estimate.expected += mean,
                None => estimate.unknown += 1,
            }
        }
        Ok(estimate)
    }
}
