//! What past runs taught: how long evaluations take and what they need, which tests are not to be
//! relied on, and verdicts that are known already. A SQLite file in the home folder, used by several
//! processes at once.
//!
//! **Nothing depends on it.** Whatever is wrong with the file, a run goes on without it. It holds no
//! truth of its own: all of it can be read again out of journals ([`import`](History::import)).
//!
//! **Writing.** Each batch is one transaction that begins as a writer, so that two processes never
//! find out half way that both want to write; who comes second waits. The log of SQLite (WAL) lets
//! readers go on meanwhile.
//!
//! **Known verdicts.** The question that a verdict answers has a digest ([`Question`]). A verdict is
//! an answer worth taking over if it cannot be the fault of our own machinery or of tests that do not
//! always give the same ([`worth`](known::worth)).

mod error;
mod expect;
mod import;
mod instances;
mod known;
mod learn;
mod prune;
mod recorder;
mod schema;
mod table;

#[cfg(test)]
mod tests;

pub use error::HistoryError;
pub use expect::{Expectations, Expected, Source};
pub use import::{Imported, Place};
pub use instances::{Exported, InstanceHistory};
pub use known::{Known, Question};
pub use learn::{ImageRecord, Record};
pub use prune::Pruned;
pub use recorder::Recorder;
pub use table::{Line, Table};

use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

/// The name of the file in the home folder. A change of the format is a new number.
pub const FILE_NAME: &str = "history-v1.sqlite";

/// An open history. Cheap to clone; clones share their connection.
#[derive(Clone)]
pub struct History(Arc<Inner>);

struct Inner {
    path: PathBuf,
    connection: Mutex<Connection>,
    /// Why nothing can be written, if that is so.
    read_only: Option<String>,
}

impl History {
    /// Opens the history of a home folder, and makes it if there is none. Where it cannot be written
    /// it is opened to be read.
    ///
    /// # Errors
    /// [`HistoryError`]: it can neither be made nor read, or it is no history of this format.
    pub fn open(home: &Path) -> Result<Self, HistoryError> {
        let path = home.join(FILE_NAME);
        let (connection, read_only) = schema::open(&path)?;
        Ok(Self(Arc::new(Inner { path, connection: Mutex::new(connection), read_only })))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Why nothing can be written to it, if that is so.
    #[must_use]
    pub fn read_only(&self) -> Option<&str> {
        self.0.read_only.as_deref()
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A panic in between leaves a transaction that its guard has rolled back.
        self.0.connection.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn error(&self, source: rusqlite::Error) -> HistoryError {
        HistoryError::Sqlite { path: self.0.path.clone(), source }
    }
}

impl std::fmt::Debug for History {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("History").field("path", &self.0.path).finish_non_exhaustive()
    }
}
