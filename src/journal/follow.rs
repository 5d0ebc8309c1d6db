//! A journal read while it is written, from another process.

use super::file::{FIRST_SUM, Scan, scan_from};
use super::{Event, FILE_NAME, JournalError, Place, RunState};
use fs_err::File;
use jiff::Timestamp;
use std::path::{Path, PathBuf};

/// A journal that is followed: each look reads what has come since the last.
#[derive(Debug)]
pub struct Follow {
    path: PathBuf,
    scan: Scan,
    state: Option<RunState>,
}

impl Follow {
    /// Follows the journal of the run in `dir`. It need not be there yet.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        let scan = Scan { end: 0, sum: FIRST_SUM.to_owned(), line: 0 };
        Self { path: dir.join(FILE_NAME), scan, state: None }
    }

    /// Reads what has come since; `each` is told of every event, after it was taken into the state. A
    /// last line that is torn is read when it is whole.
    ///
    /// # Errors
    /// The journal cannot be read, or a line is damaged.
    pub fn look(
        &mut self,
        each: &mut dyn FnMut(Timestamp, &Event),
    ) -> Result<Option<&RunState>, JournalError> {
        if self.path.exists() {
            let file = File::open(&self.path)?;
            let (state, path) = (&mut self.state, &self.path);
            scan_from(&file, path, &mut self.scan, &mut |line, at, event, place: Place| {
                super::file::replay(state, at, &event, place, (path, line))?;
                each(at, &event);
                Ok(())
            })?;
        }
        Ok(self.state.as_ref())
    }
}
