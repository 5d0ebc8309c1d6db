//! What is known, for people and programs.

use super::{History, HistoryError};
use serde::Serialize;
use std::collections::BTreeMap;

/// What is known of an instance in an image.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct InstanceHistory {
    /// The instance.
    pub instance: String,
    /// The image's key.
    pub image: String,
    /// How often it was evaluated in it.
    pub evaluations: u32,
    /// How often with which verdict.
    pub verdicts: BTreeMap<String, u32>,
    /// Seconds it took: the mean, and the longest.
    pub seconds: (f64, f64),
    /// Seconds of CPU time, the mean.
    pub cpu_seconds: f64,
    /// Bytes of memory at its peak, the most.
    pub peak_memory: u64,
    /// Tests that gave this once and that another time, with the same patch in the same image.
    pub flaky: Vec<String>,
}

/// An evaluation, for other programs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Exported {
    /// When, in UTC.
    pub at: String,
    /// The run.
    pub run: String,
    /// The model.
    pub model: String,
    /// The attempt.
    pub attempt: u32,
    /// The instance.
    pub instance: String,
    /// Its repository.
    pub repo: String,
    /// Its version.
    pub version: String,
    /// The image's key.
    pub image: String,
    /// The verdict.
    pub verdict: String,
    /// Seconds it took.
    pub seconds: f64,
    /// Seconds of CPU time.
    pub cpu_seconds: f64,
    /// Bytes of memory at its peak.
    pub peak_memory: u64,
    /// The share of the time in which tasks of the machine waited for a CPU, 0 to 1.
    pub waited: f64,
    /// What it answers.
    pub question: String,
    /// Where its files are.
    pub place: String,
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of evaluations are small")]
fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}

impl History {
    /// What is known of each instance, by id and image.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn instances(&self) -> Result<Vec<InstanceHistory>, HistoryError> {
        let mut found: BTreeMap<(String, String), InstanceHistory> = BTreeMap::new();
        let connection = self.connection();
        let mut read = || {
            let mut rows = connection.prepare(
                "SELECT instance, image, verdict, count(*), sum(took), max(took), sum(cpu),
                 max(peak) FROM evaluations GROUP BY instance, image, verdict",
            )?;
            let mut rows = rows.query([])?;
            while let Some(row) = rows.next()? {
                let (instance, image): (String, String) = (row.get(0)?, row.get(1)?);
                let one = found.entry((instance.clone(), image.clone())).or_insert_with(|| {
                    InstanceHistory { instance, image, ..InstanceHistory::default() }
                });
                let count: u32 = row.get(3)?;
                one.evaluations += count;
                one.verdicts.insert(row.get(2)?, count);
                // Sums until all are there.
                one.seconds.0 += seconds(row.get(4)?);
                one.seconds.1 = one.seconds.1.max(seconds(row.get(5)?));
                one.cpu_seconds += seconds(row.get(6)?);
                one.peak_memory = one.peak_memory.max(row.get::<_, i64>(7)?.unsigned_abs());
            }
            Ok::<_, rusqlite::Error>(())
        };
        read().map_err(|error| self.error(error))?;
        drop(connection);
        let mut found: Vec<_> = found.into_values().collect();
        for one in &mut found {
            let count = f64::from(one.evaluations.max(1));
            one.seconds.0 /= count;
            one.cpu_seconds /= count;
            one.flaky = self.unsteady(&one.image)?;
        }
        Ok(found)
    }

    /// Gives every evaluation to `each`, the oldest first.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn export(&self, each: &mut dyn FnMut(Exported)) -> Result<(), HistoryError> {
        let connection = self.connection();
        let mut read = || {
            let mut rows = connection.prepare(
                "SELECT at, run, model, attempt, instance, repo, version, image, verdict, took, cpu,
                 peak, waited, question, place FROM evaluations ORDER BY at, id",
            )?;
            let rows = rows.query_map([], |row| {
                let at = jiff::Timestamp::from_millisecond(row.get(0)?).unwrap_or_default();
                Ok(Exported {
                    at: at.to_string(),
                    run: row.get(1)?,
                    model: row.get(2)?,
                    attempt: row.get(3)?,
                    instance: row.get(4)?,
                    repo: row.get(5)?,
                    version: row.get(6)?,
                    image: row.get(7)?,
                    verdict: row.get(8)?,
                    seconds: seconds(row.get(9)?),
                    cpu_seconds: seconds(row.get(10)?),
                    peak_memory: row.get::<_, i64>(11)?.unsigned_abs(),
                    waited: seconds(row.get(12)?),
                    question: row.get(13)?,
                    place: row.get(14)?,
                })
            })?;
            for row in rows {
                each(row?);
            }
            Ok::<_, rusqlite::Error>(())
        };
        read().map_err(|error| self.error(error))
    }
}
