//! What can be wrong with a history.

use crate::journal::JournalError;
use std::io;
use std::path::PathBuf;

/// The history cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// SQLite, or the disk below it.
    #[error("the history {}: {source}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: rusqlite::Error,
    },
    /// The file holds something else.
    #[error("{} is no history of this evalrun: it says `{found}`", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it says of itself.
        found: String,
    },
    /// A row cannot be understood.
    #[error("the history {}: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A file of a run.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The journal of a run.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A table of durations.
    #[error("{} is no table of durations: {why}", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}
