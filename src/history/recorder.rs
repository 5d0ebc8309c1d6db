//! Writes down what a run learns, beside it: the run never waits for the history.

use super::{History, ImageRecord, Record};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

/// How many records are written at once.
const BATCH: usize = 256;

/// What is to be written down.
enum Note {
    Evaluation(Box<Record>),
    Image(Box<ImageRecord>),
}

/// A thread that writes into a history. Dropped, it writes what it has and ends.
#[derive(Debug)]
pub struct Recorder {
    notes: Option<Sender<Note>>,
    thread: Option<JoinHandle<()>>,
}

impl Recorder {
    /// Starts it.
    #[must_use]
    pub fn start(history: History) -> Self {
        let (notes, received) = channel();
        let thread = std::thread::Builder::new()
            .name("history".to_owned())
            .spawn(move || write(&history, &received));
        // Without a thread nothing is learned; the run does not depend on it.
        match thread {
            Ok(thread) => Self { notes: Some(notes), thread: Some(thread) },
            Err(_) => Self { notes: None, thread: None },
        }
    }

    /// An evaluation to write down.
    pub fn add(&self, record: Record) {
        self.send(Note::Evaluation(Box::new(record)));
    }

    /// An image to write down.
    pub fn add_image(&self, record: ImageRecord) {
        self.send(Note::Image(Box::new(record)));
    }

    fn send(&self, note: Note) {
        if let Some(notes) = &self.notes {
            let _ = notes.send(note);
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.notes = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn write(history: &History, notes: &Receiver<Note>) {
    let mut said = false;
    while let Ok(first) = notes.recv() {
        let (mut records, mut images) = (Vec::new(), Vec::new());
        for note in std::iter::once(first).chain(notes.try_iter()).take(BATCH) {
            match note {
                Note::Evaluation(record) => records.push(*record),
                Note::Image(image) => images.push(*image),
            }
        }
        if let Err(error) = history.add(&records, &images)
            && !std::mem::replace(&mut said, true)
        {
            tracing::warn!("nothing is learned from this run: {error}");
        }
    }
}
