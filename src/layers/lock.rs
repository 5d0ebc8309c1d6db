//! Locks between processes, by flock(2): they end with the process, however it ends.

use super::StoreError;
use fs_err::{File, OpenOptions};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

/// Keeps what is in the store in its place. Ends when dropped.
#[derive(Debug)]
pub struct UseGuard {
    file: File,
    _other: Option<Box<UseGuard>>,
}

impl UseGuard {
    /// This lock and another one.
    pub(super) fn and(self, other: UseGuard) -> Self {
        Self { _other: Some(Box::new(other)), ..self }
    }

    /// Device and inode of the file that is locked.
    pub(super) fn identity(&self) -> Option<(u64, u64)> {
        let metadata = self.file.metadata().ok()?;
        Some((metadata.dev(), metadata.ino()))
    }
}

/// Opens (and makes) a lock file.
fn open(path: &Path) -> Result<File, StoreError> {
    Ok(OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?)
}

/// Waits for a shared lock.
pub(super) fn shared(path: &Path) -> Result<UseGuard, StoreError> {
    take(path, FlockOperation::LockShared)?
        .ok_or_else(|| StoreError::call("lock", path)(Errno::AGAIN))
}

/// Waits for an exclusive lock.
pub(super) fn exclusive(path: &Path) -> Result<UseGuard, StoreError> {
    take(path, FlockOperation::LockExclusive)?
        .ok_or_else(|| StoreError::call("lock", path)(Errno::AGAIN))
}

/// A shared lock if nobody holds an exclusive one now.
pub(super) fn try_shared(path: &Path) -> Result<Option<UseGuard>, StoreError> {
    take(path, FlockOperation::NonBlockingLockShared)
}

/// An exclusive lock if nobody holds one now.
pub(super) fn try_exclusive(path: &Path) -> Result<Option<UseGuard>, StoreError> {
    take(path, FlockOperation::NonBlockingLockExclusive)
}

/// Tries for half a second to get a lock that others may hold. A child that was forked and has not
/// yet begun its own program holds a copy of all that its parent had open, locks included.
pub(crate) fn for_a_moment<T, E>(
    mut attempt: impl FnMut() -> Result<Option<T>, E>,
) -> Result<Option<T>, E> {
    for _ in 0..20 {
        if let Some(lock) = attempt()? {
            return Ok(Some(lock));
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    attempt()
}

fn take(path: &Path, operation: FlockOperation) -> Result<Option<UseGuard>, StoreError> {
    let file = open(path)?;
    loop {
        match flock(&file, operation) {
            Ok(()) => return Ok(Some(UseGuard { file, _other: None })),
            Err(Errno::INTR) => {}
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(StoreError::call("lock", path)(error)),
        }
    }
}
