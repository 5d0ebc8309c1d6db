//! Sandboxes made ahead of need: they have done all that comes before a first command, and belong to
//! nobody.

use super::backend::Inner;
use super::handle::{EndReason, Shared};
use crate::layers::ImageKey;
use crate::sandbox::{Limits, Mount, Network, SandboxError, SandboxOptions, Upper};
use std::sync::{Arc, Mutex, MutexGuard};

/// Most that stand ready: each holds memory.
const MOST: usize = 64;

/// All that a sandbox is made by. What is not here (environment, lifetime, labels) it gets when it
/// is handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    image: ImageKey,
    limits: Limits,
    network: Network,
    mounts: Vec<Mount>,
    upper: Upper,
}

impl Kind {
    /// The kind of sandbox that these ask for.
    pub(super) fn new(image: ImageKey, options: &SandboxOptions) -> Self {
        let SandboxOptions { limits, network, env: _, mounts, upper, lifetime: _, labels: _ } =
            options;
        Self {
            image,
            limits: limits.clone(),
            network: *network,
            mounts: mounts.clone(),
            upper: *upper,
        }
    }
}

/// Those that stand ready.
#[derive(Default)]
pub(super) struct Warm(Mutex<Vec<(Kind, Arc<Shared>)>>);

impl Warm {
    fn ready(&self) -> MutexGuard<'_, Vec<(Kind, Arc<Shared>)>> {
        self.0.lock().expect("nothing panics while it holds this lock")
    }

    /// Whether fewer than `count` of a kind stand ready, and another may.
    fn has_room(&self, kind: &Kind, count: usize) -> bool {
        let ready = self.ready();
        ready.len() < MOST && ready.iter().filter(|(other, _)| other == kind).count() < count
    }

    /// Takes all of a kind, or all there are.
    pub(super) fn take_all(&self, kind: Option<&Kind>) -> Vec<Arc<Shared>> {
        let mut ready = self.ready();
        let taken = ready.extract_if(.., |(other, _)| kind.is_none_or(|kind| other == kind));
        taken.map(|(_, shared)| shared).collect()
    }
}

impl Inner {
    /// Takes one of this kind that lives.
    pub(super) fn take_warm(self: &Arc<Self>, kind: &Kind) -> Option<Arc<Shared>> {
        loop {
            let mut ready = self.warm.ready();
            let at = ready.iter().position(|(other, _)| other == kind)?;
            let (_, shared) = ready.remove(at);
            drop(ready);
            if !shared.is_over() {
                return Some(shared);
            }
            self.end_warm(vec![shared]);
        }
    }

    /// Makes sandboxes until `count` of this kind stand ready, or as many as may at all.
    pub(super) async fn make_ready(
        self: Arc<Self>,
        kind: Kind,
        options: SandboxOptions,
        count: usize,
    ) -> Result<(), SandboxError> {
        let image = self.image(&kind.image)?;
        while self.warm.has_room(&kind, count) {
            let shared = self.bear(&image, &options).await?;
            self.warm.ready().push((kind.clone(), shared));
        }
        Ok(())
    }

    /// Ends some that nobody has had, and clears them away.
    pub(super) fn end_warm(self: &Arc<Self>, ended: Vec<Arc<Shared>>) {
        for shared in ended {
            shared.end(EndReason::Asked);
            self.tasks.spawn_on(self.clone().clear_away(shared), &self.runtime);
        }
    }
}
