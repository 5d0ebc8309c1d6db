//! What is written down after an evaluation.

use super::known::{flaky, lists, outcome, pack, unpack, worth};
use super::{History, HistoryError, Question};
use crate::journal::{Evaluated, InstanceFacts};
use crate::layers::ImageKey;
use crate::model::Verdict;
use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Transaction, TransactionBehavior, params};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// An evaluation, and what it was an evaluation of.
#[derive(Clone, Debug)]
pub struct Record {
    /// What it answers.
    pub question: Question,
    /// When it was done.
    pub at: Timestamp,
    /// The run.
    pub run_id: String,
    /// The directory that its files are in, absolute.
    pub place: PathBuf,
    /// The instance.
    pub instance: InstanceFacts,
    /// Its image.
    pub image: ImageKey,
    /// How long it held its place in the run.
    pub took: Duration,
    /// The evaluation itself.
    pub evaluated: Evaluated,
}

/// An image was made sure of.
#[derive(Clone, Debug)]
pub struct ImageRecord {
    /// Its key.
    pub image: ImageKey,
    /// Its name.
    pub name: String,
    /// The instance it was for.
    pub instance: InstanceFacts,
    /// When it was there.
    pub at: Timestamp,
    /// How many of its layers were made for it.
    pub built: usize,
    /// How long that took.
    pub took: Duration,
}

impl History {
    /// Writes all of them down, or nothing; what is there already is not written twice. Returns how
    /// many are new. Waits for other processes that write.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn add(&self, records: &[Record], images: &[ImageRecord]) -> Result<usize, HistoryError> {
        let mut connection = self.connection();
        let mut write = || {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut new = 0;
            for record in records {
                new += usize::from(add_one(&transaction, record)?);
            }
            for image in images {
                add_image(&transaction, image)?;
            }
            transaction.commit()?;
            Ok::<_, rusqlite::Error>(new)
        };
        write().map_err(|error| self.error(error))
    }
}

/// A number as SQLite has them.
fn whole(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

fn add_one(to: &Transaction<'_>, record: &Record) -> rusqlite::Result<bool> {
    let Record { question, at, run_id, place, instance, image, took, evaluated } = record;
    let usage = &evaluated.evaluation.usage;
    let before = last_answer(to, question)?;
    let inserted = to
        .prepare_cached(
            "INSERT OR IGNORE INTO evaluations (question, at, run, place, model, attempt, instance,
             repo, version, image, verdict, outcome, worth, flaky, took, cpu, peak, waited)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
        )?
        .execute(params![
            question.0.to_string(),
            at.as_millisecond(),
            run_id,
            place.to_string_lossy(),
            &*evaluated.key.model,
            evaluated.key.attempt,
            instance.id.as_str(),
            &*instance.repo,
            &*instance.version,
            image.to_string(),
            evaluated.evaluation.verdict.name(),
            outcome(evaluated).to_string(),
            worth(evaluated),
            flaky(evaluated),
            whole(took.as_millis()),
            whole((usage.user + usage.system).as_millis()),
            whole(usage.peak_memory),
            evaluated.waited,
        ])?;
    if inserted == 0 {
        return Ok(false);
    }
    let id = to.last_insert_rowid();
    if !matches!(evaluated.evaluation.verdict, Verdict::Infra { .. } | Verdict::EmptyPatch) {
        to.prepare_cached("INSERT INTO answers (evaluation, evaluated) VALUES (?1, ?2)")?
            .execute(params![id, pack(evaluated)])?;
        add_tests(to, (record, before.as_ref()))?;
    }
    Ok(true)
}

/// The newest evaluation that answers the same question.
fn last_answer(to: &Transaction<'_>, question: &Question) -> rusqlite::Result<Option<Evaluated>> {
    let packed: Option<Vec<u8>> = to
        .prepare_cached(
            "SELECT evaluated FROM evaluations JOIN answers ON evaluation = id
             WHERE question = ?1 ORDER BY at DESC, id DESC LIMIT 1",
        )?
        .query_row(params![question.0.to_string()], |row| row.get(0))
        .optional()?;
    // One that cannot be read has nothing to say.
    Ok(packed.and_then(|packed| unpack(&packed).ok()))
}

/// Counts how the expected tests did; those that did otherwise before, with the same patch, or when
/// they ran again, have changed their mind.
fn add_tests(
    to: &Transaction<'_>,
    (record, before): (&Record, Option<&Evaluated>),
) -> rusqlite::Result<()> {
    let image = record.image.to_string();
    let now = lists(&record.evaluated);
    let none = BTreeSet::new();
    let reruns = record.evaluated.evaluation.probes.reruns.as_ref();
    let again: BTreeSet<&str> =
        reruns.map(|reruns| reruns.passed.iter().map(String::as_str).collect()).unwrap_or_default();
    let before = before.map(lists);
    let mut add = to.prepare_cached(
        "INSERT INTO tests (image, test, passed, failed, flips) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (image, test) DO UPDATE SET passed = passed + excluded.passed,
         failed = failed + excluded.failed, flips = flips + excluded.flips",
    )?;
    for (passed, tests) in &now {
        let other = before.as_ref().map_or(&none, |lists| &lists[usize::from(*passed)].1);
        for test in tests {
            let flipped = other.contains(test) || !passed && again.contains(test);
            add.execute(params![image, test, passed, !passed, flipped])?;
        }
    }
    Ok(())
}

fn add_image(to: &Transaction<'_>, record: &ImageRecord) -> rusqlite::Result<()> {
    to.prepare_cached(
        "INSERT OR IGNORE INTO images (image, name, instance, repo, at, built, took)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        record.image.to_string(),
        record.name,
        record.instance.id.as_str(),
        &*record.instance.repo,
        record.at.as_millisecond(),
        whole(record.built),
        whole(record.took.as_millis()),
    ])?;
    Ok(())
}
