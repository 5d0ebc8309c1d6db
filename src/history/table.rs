//! A table of expectations that travels: by it runs are cut into shards, on machines that have no
//! history or another one.

use super::{Expected, HistoryError};
use crate::model::{Digest, InstanceId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// [`Table::format`] of what this program writes.
const FORMAT: u32 = 1;

/// What to expect of the instances of a task list.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// The version of this form.
    pub format: u32,
    /// The task list, by its name; for people.
    #[serde(default)]
    pub dataset: String,
    /// By instance.
    pub instances: BTreeMap<InstanceId, Line>,
}

/// What to expect of an evaluation of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// How many seconds it takes.
    pub seconds: f64,
    /// How many seconds of CPU time.
    #[serde(default)]
    pub cpu_seconds: f64,
    /// Its peak of memory in bytes; 0: not known.
    #[serde(default)]
    pub memory: u64,
}

impl Line {
    /// A line that says so.
    #[must_use]
    pub fn of(expected: &Expected) -> Self {
        // Milliseconds are enough, and keep the file readable.
        let seconds = |time: Duration| (time.as_secs_f64() * 1000.0).round() / 1000.0;
        Self {
            seconds: seconds(expected.took),
            cpu_seconds: seconds(expected.cpu),
            memory: expected.peak,
        }
    }

    /// What it says.
    #[must_use]
    pub fn expected(&self) -> Expected {
        let time = |seconds: f64| Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default();
        Expected { took: time(self.seconds), cpu: time(self.cpu_seconds), peak: self.memory }
    }
}

impl Table {
    /// A table of this data set.
    #[must_use]
    pub fn new(dataset: &str, instances: BTreeMap<InstanceId, Line>) -> Self {
        Self { format: FORMAT, dataset: dataset.to_owned(), instances }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub fn read(path: &Path) -> Result<Self, HistoryError> {
        let text = fs_err::read_to_string(path)?;
        let wrong = |why: String| HistoryError::Table { path: path.to_owned(), why };
        let table: Self = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        if table.format != FORMAT {
            let why = format!("it has format {}, this evalrun reads {FORMAT}", table.format);
            return Err(wrong(why));
        }
        match table.instances.iter().find(|(_, line)| line.seconds.is_nan() || line.seconds < 0.0) {
            Some((id, _)) => Err(wrong(format!("{id} has no duration"))),
            None => Ok(table),
        }
    }

    /// The text of the file.
    #[must_use]
    pub fn to_text(&self) -> String {
        serde_json::to_string_pretty(self).expect("plain values always have a JSON form") + "\n"
    }

    /// What tells it from another: its durations alone.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let lines = self.instances.iter().map(|(id, line)| format!("{id} {:.3}", line.seconds));
        crate::model::DigestBuilder::new("durations 1").list("instance", lines).finish()
    }
}
