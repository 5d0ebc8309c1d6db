//! Images under a disk budget: what is made is held from layer to layer, and those who may have to
//! wait for each other's room make theirs one after the other.

use super::plan::ImagePlan;
use super::{ImageError, Inner, build};
use crate::layers::{ImageHold, ImageKey, StoreError};
use crate::model::EnvSpec;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Images that are made at a time, where there is room for all of them.
const MANY: u32 = 1024;
/// How often an image is begun again that was evicted while it was made.
const TRIES: usize = 3;

/// Who makes images, and how large they become.
pub(super) struct Room {
    turns: Semaphore,
    /// Bytes that the largest image has added so far.
    largest: AtomicU64,
}

/// What is known of the size of an image before it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    /// Nothing: it may become as large as the largest so far.
    Unknown,
    /// Nothing, but each of its layers waits for room as it is unpacked, so that those it shares with
    /// others stay.
    Paced,
}

/// What was made of a plan.
pub(super) struct Made {
    /// Layers that were built now.
    pub(super) built: usize,
    /// Keeps the layers in their place.
    pub(super) hold: Option<Arc<ImageHold>>,
}

impl Room {
    pub(super) fn new() -> Self {
        Self { turns: Semaphore::new(MANY as usize), largest: AtomicU64::new(0) }
    }

    /// A turn to make an image: side by side with others, or alone.
    async fn turn(&self, alone: bool) -> SemaphorePermit<'_> {
        let permits = if alone { MANY } else { 1 };
        self.turns.acquire_many(permits).await.expect("the semaphore is never closed")
    }
}

impl Inner {
    /// Keeps an image where it is, if the store has it.
    pub(super) async fn hold(&self, key: ImageKey) -> Result<Option<ImageHold>, ImageError> {
        let store = self.store.clone();
        self.blocking(move || store.hold(&key)).await
    }

    /// Builds what is missing of a plan.
    pub(super) async fn make(
        &self,
        plan: &ImagePlan,
        spec: &EnvSpec,
        before: Made,
    ) -> Result<Made, ImageError> {
        if !self.options.force && self.has(plan.key()).await? {
            // What is above stands on what is below: if the top is there, all is.
            return Ok(before);
        }
        let made = self.in_turn(Size::Unknown, || self.make_layers(plan, spec)).await?;
        made.ok_or_else(|| StoreError::NoSuchImage(plan.key()).into())
    }

    /// Makes an image when it is its turn; again and alone if there was no room, or if `work` says
    /// by `None` that something was evicted meanwhile. Must not be called within itself.
    pub(super) async fn in_turn<T, F>(
        &self,
        size: Size,
        work: impl Fn() -> F,
    ) -> Result<Option<T>, ImageError>
    where
        F: Future<Output = Result<Option<T>, ImageError>>,
    {
        let mut alone = self.is_tight().await?;
        for _ in 0..=TRIES {
            let _turn = self.room.turn(alone).await;
            if size == Size::Unknown {
                self.make_way(alone).await?;
            }
            let before = self.placed().await?;
            match work().await {
                Ok(Some(made)) => {
                    let added = self.placed().await?.saturating_sub(before);
                    self.room.largest.fetch_max(added, Ordering::Relaxed);
                    return Ok(Some(made));
                }
                Ok(None) => {}
                // Others who make images hold what they need. Alone it may fit.
                Err(error) if !alone && error.is_over_budget() => {}
                Err(error) => return Err(error),
            }
            alone = true;
        }
        Ok(None)
    }

    /// Makes room for an image as large as the largest so far, and waits for it if nobody else makes
    /// images. That there is none is found when there is something to be placed.
    async fn make_way(&self, alone: bool) -> Result<(), ImageError> {
        let largest = self.room.largest.load(Ordering::Relaxed);
        if largest == 0 || !self.store.has_budget() {
            return Ok(());
        }
        let store = self.store.clone();
        self.blocking(move || match alone {
            true => store.wait_for_room(largest).map(drop),
            false => store.make_room(largest).map(drop),
        })
        .await
    }

    /// `None`: a layer was evicted before the next stood on it.
    async fn make_layers(
        &self,
        plan: &ImagePlan,
        spec: &EnvSpec,
    ) -> Result<Option<Made>, ImageError> {
        let mut made = Made { built: 0, hold: None };
        for (n, layer) in plan.layers.iter().enumerate() {
            let key = ImageKey::from(layer.key);
            let there = self.has(key).await?;
            if !there {
                // It may have been made and evicted.
                self.layers.forget_done(&layer.key);
            }
            let job = build::Job { inner: self, spec, layer, below: &plan.layers[..n] };
            let result = self.layers.get(layer.key, || job.run()).await;
            if result.as_ref().is_err_and(ImageError::is_over_budget) {
                // It may fit when others have ended.
                self.layers.forget(&layer.key);
            }
            made.built += usize::from(result?);
            let hold = self.hold(key).await?;
            if hold.is_none() && self.store.has_budget() && !self.has(key).await? {
                return Ok(None);
            }
            made.hold = hold.map(Arc::new);
        }
        Ok(Some(made))
    }

    /// Whether two images more may be too many for the budget.
    async fn is_tight(&self) -> Result<bool, ImageError> {
        let store = self.store.clone();
        let Some(room) = self.blocking(move || store.room()).await? else { return Ok(false) };
        let largest = self.room.largest.load(Ordering::Relaxed);
        let builders = self.options.parallel.max(1) as u64;
        Ok(largest == 0 || room.used + largest * (builders + 1) > room.limit)
    }

    /// Bytes of what is in its place in the store; nothing where there is no budget and nobody asks.
    async fn placed(&self) -> Result<u64, ImageError> {
        if !self.store.has_budget() {
            return Ok(0);
        }
        let store = self.store.clone();
        self.blocking(move || store.bytes()).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, ImageError> {
        let done = tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other);
        Ok(done.map_err(ImageError::file("ask the store"))??)
    }
}
