//! What a parser gives: tests by name, in the order of the log.

use crate::model::TestStatus;
use indexmap::IndexMap;
use serde::{Serialize, Serializer};

/// Tests by name, in the order in which the log first named them. A later status of the same test
/// takes the place of the earlier one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusMap(IndexMap<String, TestStatus>);

impl StatusMap {
    /// The status of a test.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&TestStatus> {
        self.0.get(name)
    }

    /// Name and status of every test, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &TestStatus)> {
        self.0.iter().map(|(name, status)| (name.as_str(), status))
    }

    /// How many tests there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no test was seen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tests with such a status.
    pub(in crate::grade) fn only(mut self, keep: impl Fn(&TestStatus) -> bool) -> Self {
        self.0.retain(|_, status| keep(status));
        self
    }

    pub(super) fn insert(&mut self, name: impl Into<String>, status: TestStatus) {
        self.0.insert(name.into(), status);
    }

    pub(super) fn passed(&mut self, name: impl Into<String>) {
        self.insert(name, TestStatus::Passed);
    }

    pub(super) fn failed(&mut self, name: impl Into<String>) {
        self.insert(name, TestStatus::Failed);
    }

    pub(super) fn skipped(&mut self, name: impl Into<String>) {
        self.insert(name, TestStatus::Skipped);
    }
}

impl Serialize for StatusMap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}
