//! Forgetting.

use super::{History, HistoryError};
use jiff::Timestamp;
use rusqlite::{TransactionBehavior, params};
use std::path::Path;

/// What was forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Evaluations, with all that was learned of them.
    pub evaluations: usize,
    /// Verdicts whose files are gone: their durations stay.
    pub answers: usize,
}

impl History {
    /// Forgets evaluations from before a moment, and verdicts that nobody could look into because
    /// their files are gone.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn prune(&self, before: Option<Timestamp>) -> Result<Pruned, HistoryError> {
        let gone = self.gone()?;
        let mut connection = self.connection();
        let mut forget = || {
            let mut pruned = Pruned::default();
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            if let Some(before) = before {
                let before = before.as_millisecond();
                pruned.evaluations =
                    transaction.execute("DELETE FROM evaluations WHERE at < ?1", [before])?;
                transaction.execute("DELETE FROM images WHERE at < ?1", [before])?;
            }
            for id in &gone {
                pruned.answers += transaction
                    .execute("DELETE FROM answers WHERE evaluation = ?1", params![id])?;
                // It is no proof any more, either.
                transaction
                    .execute("UPDATE evaluations SET worth = 0 WHERE id = ?1", params![id])?;
            }
            transaction.execute(
                "DELETE FROM tests WHERE image NOT IN (SELECT image FROM evaluations)",
                [],
            )?;
            transaction.commit()?;
            connection.execute_batch("VACUUM")?;
            Ok::<_, rusqlite::Error>(pruned)
        };
        forget().map_err(|error| self.error(error))
    }

    /// Verdicts whose files are gone.
    fn gone(&self) -> Result<Vec<i64>, HistoryError> {
        let connection = self.connection();
        let read = || {
            let mut rows = connection
                .prepare("SELECT id, place FROM evaluations JOIN answers ON evaluation = id")?;
            let places = rows.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
            places.collect::<rusqlite::Result<Vec<(i64, String)>>>()
        };
        let places = read().map_err(|error| self.error(error))?;
        let gone = places.into_iter().filter(|(_, place)| !Path::new(place).is_dir());
        Ok(gone.map(|(id, _)| id).collect())
    }
}
