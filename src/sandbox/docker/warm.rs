//! Containers made ahead of need: their pid 1 waits, and they belong to nobody.

use super::sandbox::Held;
use crate::layers::ImageKey;
use crate::sandbox::{Limits, Mount, Network, SandboxOptions};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

/// Most that stand ready, or are being made: each holds memory of the daemon's.
const MOST: usize = 16;

/// All that a container is made by. The rest (environment, lifetime) it gets when it is handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    image: ImageKey,
    limits: Limits,
    network: Network,
    mounts: Vec<Mount>,
    /// They cannot be changed later.
    labels: BTreeMap<String, String>,
}

impl Kind {
    pub(super) fn new(image: ImageKey, options: &SandboxOptions) -> Self {
        let SandboxOptions { limits, network, env: _, mounts, upper: _, lifetime: _, labels } =
            options;
        let (limits, mounts, labels) = (limits.clone(), mounts.clone(), labels.clone());
        Self { image, limits, network: *network, mounts, labels }
    }
}

type Made = tokio::task::JoinHandle<Option<Held>>;

/// Those that stand ready or are being made.
#[derive(Default)]
pub(super) struct Warm(Mutex<Vec<(Kind, Made)>>);

impl Warm {
    fn ready(&self) -> MutexGuard<'_, Vec<(Kind, Made)>> {
        self.0.lock().expect("nothing panics while it holds this lock")
    }

    /// Has another of a kind made, unless there are `count` of it or too many altogether.
    pub(super) fn add(&self, kind: Kind, count: usize, make: impl FnOnce() -> Made) {
        let mut ready = self.ready();
        let of_kind = ready.iter().filter(|(other, _)| *other == kind).count();
        if of_kind < count && ready.len() < MOST {
            ready.push((kind, make()));
        }
    }

    /// Takes one of a kind.
    pub(super) fn take(&self, kind: &Kind) -> Option<Made> {
        let mut ready = self.ready();
        let at = ready.iter().position(|(other, _)| other == kind)?;
        Some(ready.swap_remove(at).1)
    }

    /// Ends all of a kind, or all there are.
    pub(super) async fn end(&self, kind: Option<&Kind>) {
        let taken: Vec<_> = self
            .ready()
            .extract_if(.., |(other, _)| kind.is_none_or(|kind| other == kind))
            .collect();
        for (_, made) in taken {
            // Dropping it has it removed.
            drop(made.await);
        }
    }
}
