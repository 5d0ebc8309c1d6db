//! Words in a stream that may break and be joined again: each has a number, is kept until the other
//! side has said that it was received, and is sent again to whoever joins. A frame has no zero byte
//! in it and ends with one, so a frame that was cut off spoils nothing but itself.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::VecDeque;

/// Longest frame that is taken in.
const LONGEST: usize = 16 << 20;
/// So many words are received without an answer before one is sent that says nothing else.
const UNANSWERED: u64 = 32;

/// One side of a conversation.
#[derive(Debug, Default)]
pub(in crate::sandbox) struct Link {
    /// The last word said.
    said: u64,
    /// Frames that the other side may not have.
    kept: VecDeque<(u64, Vec<u8>)>,
    /// The last word received.
    received: u64,
    /// What was received when we last said so.
    answered: u64,
    /// The beginning of a frame.
    rest: Vec<u8>,
}

/// Number, the last number received, word. Number 0: outside the row.
type Frame<T> = (u64, u64, T);

fn frame<T: Serialize>(number: u64, received: u64, word: &T) -> Vec<u8> {
    postcard::to_stdvec_cobs(&(number, received, word)).expect("words are plain data")
}

impl Link {
    /// A word as a frame, which is kept until it was received.
    pub(in crate::sandbox) fn say<T: Serialize>(&mut self, word: &T) -> Vec<u8> {
        self.said += 1;
        let bytes = frame(self.said, self.received, word);
        self.kept.push_back((self.said, bytes.clone()));
        self.answered = self.received;
        bytes
    }

    /// A word outside the row, that is not kept: the first of a connection, or one that only says
    /// how much was received.
    pub(in crate::sandbox) fn aside<T: Serialize>(&mut self, word: &T) -> Vec<u8> {
        self.answered = self.received;
        frame(0, self.received, word)
    }

    /// How many words were received.
    pub(in crate::sandbox) fn received(&self) -> u64 {
        self.received
    }

    /// Whether the other side should be told how much was received.
    pub(in crate::sandbox) fn owes_answer(&self) -> bool {
        self.received >= self.answered + UNANSWERED
    }

    /// What the other side does not have of what was said, after it has said that it has `received`
    /// words.
    pub(in crate::sandbox) fn again(&mut self, received: u64) -> Vec<u8> {
        self.forget(received);
        self.kept.iter().flat_map(|(_, frame)| frame.iter().copied()).collect()
    }

    fn forget(&mut self, received: u64) {
        while self.kept.front().is_some_and(|(number, _)| *number <= received) {
            self.kept.pop_front();
        }
    }

    /// Takes bytes in and gives the words that are new, in their order. What makes no sense was cut
    /// off, and comes again.
    pub(in crate::sandbox) fn hear<T: DeserializeOwned>(&mut self, bytes: &[u8]) -> Vec<T> {
        let mut words = Vec::new();
        let mut from = 0;
        for at in memchr::memchr_iter(0, bytes) {
            self.rest.extend_from_slice(&bytes[from..=at]);
            from = at + 1;
            let mut whole = std::mem::take(&mut self.rest);
            let Ok((number, received, word)) = postcard::from_bytes_cobs::<Frame<T>>(&mut whole)
            else {
                continue;
            };
            self.forget(received);
            if number == 0 {
                words.push(word);
            } else if number == self.received + 1 {
                self.received = number;
                words.push(word);
            }
        }
        self.rest.extend_from_slice(&bytes[from..]);
        if self.rest.len() > LONGEST {
            self.rest.clear();
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::Link;

    #[test]
    fn words_arrive_once_and_in_order_over_broken_streams() {
        let (mut here, mut there) = (Link::default(), Link::default());
        let said: Vec<String> = (0..50).map(|n| format!("word\0 {n}")).collect();
        let mut arrived: Vec<String> = Vec::new();
        let mut under_way: Vec<u8> = Vec::new();
        for (nth, word) in said.iter().enumerate() {
            under_way.extend(here.say(word));
            if nth % 7 == 3 {
                // Cut in the middle of a frame, and joined again.
                under_way.truncate(under_way.len() - nth % 5 - 1);
                arrived.extend(there.hear::<String>(&under_way));
                under_way = vec![0];
                under_way.extend(here.again(there.received()));
            }
        }
        arrived.extend(there.hear::<String>(&under_way));
        assert_eq!(arrived, said);
        assert!(there.owes_answer());
        // What was received is not kept for ever.
        let answer = there.aside(&"thanks");
        assert_eq!(here.hear::<String>(&answer), ["thanks"]);
        assert!(here.again(0).is_empty());
        assert!(!there.owes_answer());
    }

    #[test]
    fn what_comes_twice_counts_once() {
        let (mut here, mut there) = (Link::default(), Link::default());
        let first = here.say(&1_u8);
        assert_eq!(there.hear::<u8>(&first), [1]);
        assert_eq!(there.hear::<u8>(&first), [0_u8; 0]);
        assert_eq!(there.hear::<u8>(b"\x05nonsense\0"), [0_u8; 0]);
        let second = here.say(&2_u8);
        assert_eq!(there.hear::<u8>(&second), [2]);
    }
}
