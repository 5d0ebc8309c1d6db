//! What is unpacked under a disk budget waits for room bit by bit: nobody knows beforehand how large
//! it becomes.

use super::{LayerKey, Store, StoreError};
use std::io::{self, Read};
use std::sync::atomic::Ordering;

/// This part of the budget is unpacked between two looks, within bounds in bytes. Small files take
/// more than their bytes, so twice as much room must be there.
const BIT: (u64, u64, u64) = (128, 64 << 10, 4 << 20);

/// A stream that waits for room before more of it is unpacked.
pub(super) struct Paced<'a, R> {
    from: R,
    store: &'a Store,
    /// The layers of the image that is made: who waits for room does not wait for these.
    with: &'a [LayerKey],
    left: u64,
    refused: &'a mut Option<StoreError>,
}

impl<'a, R: Read> Paced<'a, R> {
    /// That there is no room is told by an error of the stream, and said in `refused`.
    pub(super) fn new(
        from: R,
        store: &'a Store,
        with: &'a [LayerKey],
        refused: &'a mut Option<StoreError>,
    ) -> Self {
        store.filling().fetch_add(1, Ordering::Relaxed);
        Self { from, store, with, left: 0, refused }
    }
}

impl<R> Drop for Paced<'_, R> {
    fn drop(&mut self) {
        self.store.filling().fetch_sub(1, Ordering::Relaxed);
    }
}

impl<R: Read> Read for Paced<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(limit) = self.store.budget_limit() else { return self.from.read(buffer) };
        if self.left == 0 {
            // Others who fill layers look at the same room.
            let (part, least, most) = BIT;
            let bit = (limit / part).clamp(least, most);
            let needed = 2 * bit * self.store.filling().load(Ordering::Relaxed);
            if let Err(error) = self.store.await_room((needed, needed), self.with) {
                let told = io::Error::other(error.to_string());
                *self.refused = Some(error);
                return Err(told);
            }
            self.left = bit;
        }
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = self.from.read(&mut buffer[..most])?;
        self.left -= count as u64;
        Ok(count)
    }
}
