//! Work that is done once, however many ask for it, in this process or another.

use fs_err::File;
use std::collections::HashMap;
use std::fs::TryLockError;
use std::hash::Hash;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::OnceCell;

/// How long to wait before a lock is tried again.
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// Takes the lock of a file, which is made if missing; dropping the file frees it. Waits by trying
/// again, so that a cancelled waiter leaves no thread behind.
pub(super) async fn lock(path: &Path) -> io::Result<File> {
    let file = File::options().create(true).truncate(false).write(true).open(path)?;
    loop {
        match file.file().try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(LOCK_PAUSE).await,
            Err(TryLockError::Error(source)) => return Err(source),
        }
    }
}

type Cell<E> = Arc<OnceCell<Result<(), E>>>;

/// Results by key. A failure is kept too: it is told to all who ask later.
pub(super) struct OnceMap<K, E>(Mutex<HashMap<K, Cell<E>>>);

impl<K, E> Default for OnceMap<K, E> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, E: Clone> OnceMap<K, E> {
    /// Does the work for this key unless it was done, or waits for who does it. If who does it is
    /// cancelled, one of those who wait takes over. True if this very call did something, as `work`
    /// says it.
    pub(super) async fn get<F>(&self, key: K, work: impl FnOnce() -> F) -> Result<bool, E>
    where
        F: Future<Output = Result<bool, E>>,
    {
        let cell = self.0.lock().expect("no holder panics").entry(key).or_default().clone();
        let mut did = false;
        cell.get_or_init(|| async {
            let result = work().await;
            result.map(|done| did = done)
        })
        .await
        .clone()?;
        Ok(did)
    }

    /// Forgets that a work was done; a failure, and work that goes on, stay.
    pub(super) fn forget_done(&self, key: &K) {
        let mut cells = self.0.lock().expect("no holder panics");
        if cells.get(key).is_some_and(|cell| matches!(cell.get(), Some(Ok(())))) {
            cells.remove(key);
        }
    }

    /// Forgets the result of a key: whoever asks next does the work again.
    pub(super) fn forget(&self, key: &K) {
        self.0.lock().expect("no holder panics").remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::OnceMap;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    #[tokio::test]
    async fn many_ask_and_one_works() {
        let map: OnceMap<u8, String> = OnceMap::default();
        let runs = AtomicUsize::new(0);
        let ask = || {
            map.get(1, || async {
                runs.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(10)).await;
                Ok(true)
            })
        };
        let (a, b, c) = tokio::join!(ask(), ask(), ask());
        let worked = [a, b, c].into_iter().filter(|r| *r == Ok(true)).count();
        assert_eq!((worked, runs.load(Ordering::SeqCst)), (1, 1));
    }

    #[tokio::test]
    async fn a_failure_is_remembered() {
        let map: OnceMap<u8, String> = OnceMap::default();
        let first = map.get(1, || async { Err("broken".to_owned()) }).await;
        let second = map.get(1, || async { Ok(true) }).await;
        assert_eq!(first, Err("broken".to_owned()));
        assert_eq!(second, Err("broken".to_owned()));
    }

    #[tokio::test]
    async fn a_cancelled_worker_is_replaced() {
        let map: OnceMap<u8, String> = OnceMap::default();
        let slow = map.get(1, || async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            Ok(true)
        });
        assert!(tokio::time::timeout(Duration::from_millis(5), slow).await.is_err());
        assert_eq!(map.get(1, || async { Ok(true) }).await, Ok(true));
    }
}
