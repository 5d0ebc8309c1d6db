//! The append-only record of a run: the truth that progress, resume and reports are folds over.
//!
//! A journal is a file of JSON lines. Every line ends with the key `sum`: the first eight
//! hexadecimal digits of the SHA-256 of the line before it (its `sum`) and of the line's own text
//! without that key. So a line that was changed, lost or moved is found, and named.
//!
//! A process that dies while it writes leaves a last line that is torn. That is normal: the line
//! did not count yet, and it is dropped. Damage anywhere else is an error.

mod changes;
mod event;
mod file;
mod follow;
mod state;

pub use changes::Change;
pub use event::{
    DatasetFacts, Evaluated, Event, FORMAT, GRADER, Header, Host, InfraSign, InstanceFacts,
    KnownFrom, PredictionFacts, Settings, ShardFacts, Versions,
};
pub use file::{FILE_NAME, Journal, Place, Visit, load, load_watching, read, read_at};
pub use follow::Follow;
pub use state::{Done, RunState, Status, TestCounts, reason_of, reported};

use crate::model::PredictionKey;
use std::io;
use std::path::PathBuf;

/// The journal cannot be written, or cannot be believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// A file could not be read or written.
    #[error("the journal: {0}")]
    Io(#[from] io::Error),
    /// An earlier append failed: what the file ends with is not known.
    #[error("the journal {} cannot be continued after a failed write", .0.display())]
    Broken(PathBuf),
    /// Another process has it.
    #[error("another evalrun is working on this run: {} is locked", .0.display())]
    Busy(PathBuf),
    /// There is a run of this name already.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// There is no journal.
    #[error("there is no run here: {} does not exist", .0.display())]
    Missing(PathBuf),
    /// A line is not what was written.
    #[error("{}, line {line}: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// Written by another version of evalrun.
    #[error("{} has format {found}, this evalrun reads format {FORMAT}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The format it says it has.
        found: u32,
    },
    /// An event speaks of a prediction that the header does not know.
    #[error("{}, line {line}: {key} is not a prediction of this run", path.display())]
    Stranger {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The prediction.
        key: Box<PredictionKey>,
    },
}

#[cfg(test)]
mod tests;
