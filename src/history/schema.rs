//! The tables, and how the file is opened.

use super::HistoryError;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _};
use std::path::Path;
use std::time::Duration;

/// What the file says of itself.
const FORMAT: &str = "evalrun history 1";
/// How long a writer waits for others. A batch of hundreds takes some milliseconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// `evaluations` has what lists and sums are made of, `answers` the whole verdicts beside it, so that
/// who wants durations does not read through them.
const TABLES: &str = "
CREATE TABLE IF NOT EXISTS about (format TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS evaluations (
    id INTEGER PRIMARY KEY,
    question TEXT NOT NULL,
    at INTEGER NOT NULL,
    run TEXT NOT NULL,
    place TEXT NOT NULL,
    model TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    instance TEXT NOT NULL,
    repo TEXT NOT NULL,
    version TEXT NOT NULL,
    image TEXT NOT NULL,
    verdict TEXT NOT NULL,
    outcome TEXT NOT NULL,
    worth INTEGER NOT NULL,
    flaky INTEGER NOT NULL,
    took INTEGER NOT NULL,
    cpu INTEGER NOT NULL,
    peak INTEGER NOT NULL,
    waited INTEGER NOT NULL,
    UNIQUE (place, at)
);
CREATE INDEX IF NOT EXISTS by_question ON evaluations (question, at);
CREATE INDEX IF NOT EXISTS by_instance ON evaluations (instance, at);
CREATE TABLE IF NOT EXISTS answers (
    evaluation INTEGER PRIMARY KEY REFERENCES evaluations (id) ON DELETE CASCADE,
    evaluated BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS tests (
    image TEXT NOT NULL,
    test TEXT NOT NULL,
    passed INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    flips INTEGER NOT NULL,
    PRIMARY KEY (image, test)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS images (
    id INTEGER PRIMARY KEY,
    image TEXT NOT NULL,
    name TEXT NOT NULL,
    instance TEXT NOT NULL,
    repo TEXT NOT NULL,
    at INTEGER NOT NULL,
    built INTEGER NOT NULL,
    took INTEGER NOT NULL,
    UNIQUE (name, at)
);
";

/// Opens the file, and makes it if there is none; with it why nothing can be written, if that is so.
pub(super) fn open(path: &Path) -> Result<(Connection, Option<String>), HistoryError> {
    let error = |source| HistoryError::Sqlite { path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        // Where that fails the file cannot be made either, and that says why.
        let _ = fs_err::create_dir_all(folder);
    }
    match writable(path) {
        Ok(connection) => check(&connection, path).map(|()| (connection, None)),
        Err(why) if is_about_writing(&why) && path.is_file() => {
            let connection = readable(path).map_err(error)?;
            check(&connection, path)?;
            Ok((connection, Some(why.to_string())))
        }
        Err(why) => Err(error(why)),
    }
}

fn writable(path: &Path) -> rusqlite::Result<Connection> {
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(PATIENCE)?;
    // What a power cut takes of the last moments can be read again out of the journals.
    connection.execute_batch("PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;")?;
    if is_made(&connection)? {
        // Says at once whether anything can be written.
        connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK;")?;
        return Ok(connection);
    }
    connection.execute_batch("PRAGMA journal_mode = WAL;")?;
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    // Another process may have made it meanwhile.
    if !is_made(&transaction)? {
        transaction.execute_batch(TABLES)?;
        transaction.execute("INSERT INTO about (format) VALUES (?1)", [FORMAT])?;
    }
    transaction.commit()?;
    Ok(connection)
}

/// A file that cannot be written, and perhaps stands where no other file can be made.
fn readable(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let usable = |connection: Connection| {
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok::<_, rusqlite::Error>(connection)
    };
    if let Ok(connection) = Connection::open_with_flags(path, flags).and_then(usable) {
        return Ok(connection);
    }
    let uri = format!("file:{}?immutable=1", escaped(path));
    Connection::open_with_flags(uri, flags).and_then(usable)
}

/// A path as part of a URI.
fn escaped(path: &Path) -> String {
    let text = path.to_string_lossy();
    text.replace('%', "%25").replace('?', "%3f").replace('#', "%23")
}

fn is_made(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'about'", [], |row| {
        Ok(row.get::<_, i64>(0)? > 0)
    })
}

fn check(connection: &Connection, path: &Path) -> Result<(), HistoryError> {
    let found: Option<String> = connection
        .query_row("SELECT format FROM about", [], |row| row.get(0))
        .optional()
        .map_err(|source| HistoryError::Sqlite { path: path.to_owned(), source })?;
    match found {
        Some(format) if format == FORMAT => Ok(()),
        other => Err(HistoryError::Foreign {
            path: path.to_owned(),
            found: other.unwrap_or_else(|| "nothing".to_owned()),
        }),
    }
}

/// Whether something can still be read, though not written.
fn is_about_writing(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
                | ErrorCode::PermissionDenied
                | ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
        )
    )
}
