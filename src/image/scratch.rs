//! Directories for work in progress. A process that is killed leaves its own behind; whoever comes
//! later knows by their locks that nobody holds them, and removes them.

use fs_err as fs;
use std::fs::TryLockError;
use std::io;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A directory that is removed with this value, or by [`sweep`] if its process died.
pub(super) struct Scratch {
    dir: TempDir,
    /// Held as long as the directory is in use; the kernel frees it whatever the process's end.
    _lock: fs::File,
}

impl Scratch {
    /// A new directory in the cache folder.
    pub(super) fn new(home: &Path) -> io::Result<Self> {
        let place = place(home);
        fs::create_dir_all(&place)?;
        // Between its making and its lock a directory looks abandoned: nobody may sweep then.
        let _gate = gate(&place)?;
        let dir = tempfile::tempdir_in(&place)?;
        let lock = fs::File::open(dir.path())?;
        lock.file().lock()?;
        Ok(Self { dir, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// Removes what killed builds left in the cache folder; returns how many directories.
///
/// # Errors
/// A directory cannot be read or removed.
pub fn sweep(home: &Path) -> io::Result<usize> {
    let place = place(home);
    if !place.exists() {
        return Ok(0);
    }
    let _gate = gate(&place)?;
    let mut swept = 0;
    for entry in fs::read_dir(&place)? {
        let path = entry?.path();
        if !path.is_dir() {
            continue;
        }
        let held = fs::File::open(&path)?;
        match held.file().try_lock() {
            Ok(()) => {
                fs::remove_dir_all(&path)?;
                swept += 1;
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(swept)
}

fn place(home: &Path) -> PathBuf {
    home.join("scratch-v1")
}

fn gate(place: &Path) -> io::Result<fs::File> {
    let file =
        fs::OpenOptions::new().create(true).truncate(false).write(true).open(place.join("lock"))?;
    file.file().lock()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::{Scratch, place, sweep};
    use fs_err as fs;

    #[test]
    fn only_what_nobody_holds_is_swept() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(sweep(home.path()).unwrap(), 0);
        let held = Scratch::new(home.path()).unwrap();
        let abandoned = place(home.path()).join("abandoned");
        fs::create_dir(&abandoned).unwrap();
        fs::write(abandoned.join("file"), "").unwrap();
        assert_eq!(sweep(home.path()).unwrap(), 1);
        assert!(held.path().exists() && !abandoned.exists());
        let path = held.path().to_owned();
        drop(held);
        assert!(!path.exists());
    }
}
