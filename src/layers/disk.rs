//! The way to the disk. Layers that are finished together wait for it together: one call takes all
//! that was written before it began.

use super::StoreError;
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard};

/// Who waits for the disk of a store.
#[derive(Debug, Default)]
pub(super) struct Disk {
    rounds: Mutex<Rounds>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Rounds {
    begun: u64,
    /// The last that ended well.
    done: u64,
    running: bool,
}

impl Disk {
    /// Waits until all that was written to the file system of this directory is on the disk.
    pub(super) fn sync(&self, directory: &Path) -> Result<(), StoreError> {
        let mut rounds = self.rounds();
        // One that runs already may have passed what was written last.
        let mine = rounds.begun + 1;
        while rounds.done < mine {
            if rounds.running {
                rounds = self.ended.wait(rounds).expect("no holder panics");
                continue;
            }
            rounds.running = true;
            rounds.begun += 1;
            let round = rounds.begun;
            drop(rounds);
            let synced = sync_now(directory);
            rounds = self.rounds();
            rounds.running = false;
            if synced.is_ok() {
                rounds.done = round;
            }
            self.ended.notify_all();
            synced?;
        }
        Ok(())
    }

    fn rounds(&self) -> MutexGuard<'_, Rounds> {
        self.rounds.lock().expect("no holder panics")
    }
}

fn sync_now(directory: &Path) -> Result<(), StoreError> {
    let handle = fs_err::File::open(directory)?;
    rustix::fs::syncfs(&handle).map_err(StoreError::call("sync", directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_together_shares_a_round() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::default();
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| disk.sync(folder.path()).unwrap());
            }
        });
        let rounds = disk.rounds();
        assert!(rounds.done >= 1 && rounds.done == rounds.begun && !rounds.running);
        drop(rounds);
        // A failure is its own: the next tries again.
        assert!(disk.sync(&folder.path().join("none")).is_err());
        disk.sync(folder.path()).unwrap();
    }
}
