//! What the journals of old runs have to teach.

use super::{History, HistoryError, ImageRecord, Question, Record};
use crate::journal::{Event, Header, InstanceFacts, read};
use crate::layers::ImageKey;
use crate::model::{Digest, InstanceId, PredictionKey};
use jiff::Timestamp;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How many evaluations are written at once.
const BATCH: usize = 256;

/// What came of an import.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Evaluations that were not known.
    pub new: usize,
    /// Evaluations that the run has.
    pub found: usize,
}

/// Where the files of a prediction are, below the directory of its run.
pub type Place<'a> = dyn Fn(&PredictionKey) -> PathBuf + 'a;

/// What has been read of a journal so far.
#[derive(Default)]
struct Reading {
    header: Option<Box<Header>>,
    patches: HashMap<PredictionKey, Digest>,
    images: HashMap<InstanceId, ImageKey>,
    started: HashMap<PredictionKey, Timestamp>,
    records: Vec<Record>,
    made: Vec<ImageRecord>,
}

impl History {
    /// Takes in what the journal of the run in `dir` holds; `place` says where the files of a
    /// prediction are. What was imported before, or written down while it ran, is not taken twice.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn import(&self, dir: &Path, place: &Place<'_>) -> Result<Imported, HistoryError> {
        let mut reading = Reading::default();
        read(dir, &mut |_, at, event, _| {
            reading.take(at, event, place);
            Ok(())
        })?;
        let Reading { records, made, .. } = reading;
        let mut imported = Imported { new: 0, found: records.len() };
        for batch in records.chunks(BATCH) {
            imported.new += self.add(batch, &[])?;
        }
        self.add(&[], &made)?;
        Ok(imported)
    }
}

impl Reading {
    fn take(&mut self, at: Timestamp, event: Event, place: &Place<'_>) {
        match event {
            Event::Header(header) => {
                let facts = header.predictions.iter();
                self.patches = facts.map(|facts| (facts.key.clone(), facts.patch)).collect();
                self.header = Some(header);
            }
            Event::ImageReady { instance_id, name, image, built, took, .. } => {
                self.images.insert(instance_id.clone(), image);
                if let Some(instance) = self.facts(&instance_id) {
                    let instance = instance.clone();
                    self.made.push(ImageRecord { image, name, instance, at, built, took });
                }
            }
            Event::Started { key, .. } => {
                self.started.insert(key, at);
            }
            // What was taken over was learned where it ran.
            Event::Evaluated(evaluated) if evaluated.known.is_none() && evaluated.round > 0 => {
                let Some(record) = self.record(at, *evaluated, place) else { return };
                self.records.push(record);
            }
            _ => {}
        }
    }

    fn record(
        &self,
        at: Timestamp,
        evaluated: crate::journal::Evaluated,
        place: &Place<'_>,
    ) -> Option<Record> {
        let header = self.header.as_ref()?;
        let instance = self.facts(&evaluated.key.instance_id)?.clone();
        let image = *self.images.get(&evaluated.key.instance_id)?;
        let patch = *self.patches.get(&evaluated.key)?;
        let began = self.started.get(&evaluated.key);
        let held = began.map(|began| at.duration_since(*began));
        let took = held.and_then(|held| Duration::try_from(held).ok());
        Some(Record {
            question: Question::of(header, image, &instance, patch),
            at,
            run_id: header.run_id.clone(),
            place: place(&evaluated.key),
            image,
            took: took.unwrap_or(evaluated.evaluation.usage.wall),
            instance,
            evaluated,
        })
    }

    fn facts(&self, id: &InstanceId) -> Option<&InstanceFacts> {
        let instances = &self.header.as_ref()?.instances;
        let at = instances.binary_search_by(|facts| facts.id.cmp(id)).ok()?;
        instances.get(at)
    }
}
