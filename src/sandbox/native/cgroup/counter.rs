//! A small file of the kernel's that is read again and again.

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::OnceLock;

/// Longer than any file that is read so.
const LONGEST: usize = 1024;

/// The file, opened when it is first read; opening costs several times what reading does.
#[derive(Debug)]
pub(super) struct Counter {
    path: PathBuf,
    /// `None`: it is opened each time.
    file: Option<OnceLock<OwnedFd>>,
}

impl Counter {
    /// One at this path, kept open from the first use on or not.
    pub(super) fn new(path: PathBuf, keep_open: bool) -> Self {
        Self { path, file: keep_open.then(OnceLock::new) }
    }

    /// What `find` finds in it.
    pub(super) fn read<T>(&self, find: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let mut text = [0; LONGEST];
        let count = self.with(|file| rustix::io::pread(file, &mut text, 0)).ok()?;
        find(std::str::from_utf8(&text[..count]).ok()?)
    }

    /// Writes to it.
    pub(super) fn write(&self, text: &str) -> Result<(), Errno> {
        self.with(|file| rustix::io::pwrite(file, text.as_bytes(), 0)).map(drop)
    }

    fn with<T>(&self, work: impl FnOnce(&OwnedFd) -> Result<T, Errno>) -> Result<T, Errno> {
        let Some(kept) = &self.file else { return work(&self.open()?) };
        if let Some(file) = kept.get() {
            return work(file);
        }
        let file = self.open()?;
        work(kept.get_or_init(|| file))
    }

    fn open(&self) -> Result<OwnedFd, Errno> {
        let open = |flags| rustix::fs::open(&self.path, flags | OFlags::CLOEXEC, Mode::empty());
        open(OFlags::RDWR).or_else(|_| open(OFlags::RDONLY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_the_file_says_now() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("count");
        for keep_open in [false, true] {
            let counter = Counter::new(path.clone(), keep_open);
            let number = || counter.read(|text| text.trim().parse::<u32>().ok());
            let _ = fs_err::remove_file(&path);
            assert_eq!(number(), None);
            fs_err::write(&path, "7\n").unwrap();
            assert_eq!(number(), Some(7));
            counter.write("9").unwrap();
            assert_eq!(number(), Some(9));
        }
    }
}
