//! Verdicts that are known already: which question they answer, and which of them can be relied on.

use super::{History, HistoryError};
use crate::journal::{Evaluated, Header, InstanceFacts, KnownFrom};
use crate::layers::ImageKey;
use crate::model::{Digest, DigestBuilder, Verdict};
use fs_err as fs;
use jiff::Timestamp;
use rusqlite::params;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;

/// Part of every question: raised when evaluations mean something else than before.
const FORMAT: &str = "known verdict 1";

/// What a verdict is the answer to: the image, the evaluation script, the patch, the expected tests,
/// the parser and the rules that judge, the limits, the network and all else that a back-end is told.
/// The model, the run and the name of the image are no part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Question(pub(super) Digest);

impl Question {
    /// The question that an instance and a patch are in a run with this header.
    #[must_use]
    pub fn of(header: &Header, image: ImageKey, instance: &InstanceFacts, patch: Digest) -> Self {
        let settings = serde_json::to_string(&header.settings).expect("settings have a JSON form");
        Self(
            DigestBuilder::new(FORMAT)
                .field("image", image.to_string())
                .field("instance", instance.id.as_str())
                .field("version", &*instance.version)
                .field("script", instance.script.to_string())
                .field("tests", instance.tests.to_string())
                .field("patch", patch.to_string())
                .field("grader", header.versions.grader.to_string())
                .field("settings", settings)
                .field("arch", &header.host.arch)
                .field("backend", &header.host.backend)
                .list("caveat", &header.host.caveats)
                .finish(),
        )
    }
}

/// A verdict of an earlier run that answers a question.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// The verdict, as it was journaled.
    pub evaluated: Evaluated,
    /// Where it is from.
    pub from: KnownFrom,
}

impl Known {
    /// Copies the files of the evaluation into `dir` and returns it; `None` if they are not all there
    /// any more, or are not what they were. Then it is not known: nobody could look into it.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn take(self, dir: &Path) -> io::Result<Option<Evaluated>> {
        let mut files = Vec::new();
        for (name, digest) in &self.evaluated.files {
            let plain = Path::new(name).file_name().is_some_and(|own| own == name.as_str());
            match fs::read(self.from.place.join(name)) {
                Ok(bytes) if plain && Digest::of(&bytes) == *digest => files.push((name, bytes)),
                _ => return Ok(None),
            }
        }
        fs::create_dir_all(dir)?;
        for (name, bytes) in files {
            fs::write(dir.join(name), bytes)?;
        }
        Ok(Some(Evaluated { round: 0, known: Some(self.from), ..self.evaluated }))
    }
}

/// How far an evaluation proves its verdict: with two points it is known. A second evaluation that
/// comes to the same adds its own.
pub(super) fn worth(evaluated: &Evaluated) -> u32 {
    let evaluation = &evaluated.evaluation;
    let doubtful = evaluated.sign.is_some()
        || evaluated.log_sign.is_some()
        || !evaluated.evidence.is_empty()
        || flaky(evaluated);
    match &evaluation.verdict {
        // It ran and all was well: nothing of ours was at fault.
        Verdict::Resolved { .. } => 2,
        // What does not apply does so each time.
        Verdict::PatchRejected | Verdict::TestPatchRejected if !doubtful => 2,
        // What failed failed again in fresh sandboxes.
        Verdict::Unresolved { .. } if !doubtful && failed_again(evaluated) => 2,
        Verdict::Unresolved { .. } | Verdict::LogUnusable { .. } if !doubtful => 1,
        // A time-out, or too little memory, may be the machine's.
        _ => 0,
    }
}

/// Whether tests gave this once and that another time.
pub(super) fn flaky(evaluated: &Evaluated) -> bool {
    evaluated.evaluation.probes.reruns.as_ref().is_some_and(|reruns| !reruns.passed.is_empty())
}

fn failed_again(evaluated: &Evaluated) -> bool {
    let reruns = evaluated.evaluation.probes.reruns.as_ref();
    reruns.is_some_and(|reruns| reruns.runs > 0 && reruns.passed.is_empty())
}

/// What an evaluation came to, for comparison with another.
pub(super) fn outcome(evaluated: &Evaluated) -> Digest {
    let verdict = &evaluated.evaluation.verdict;
    let mut digest = DigestBuilder::new("outcome 1").field("verdict", verdict.name());
    if let Verdict::LogUnusable { why } = verdict {
        digest = digest.field("why", serde_json::to_string(why).expect("it has a JSON form"));
    }
    for (_, names) in lists(evaluated) {
        digest = digest.list("test", names);
    }
    digest.finish()
}

/// The expected tests that did as they should, and those that did not; sorted.
pub(super) fn lists(evaluated: &Evaluated) -> [(bool, BTreeSet<&str>); 2] {
    let mut lists = [(true, BTreeSet::new()), (false, BTreeSet::new())];
    if let Some(tests) = evaluated.evaluation.verdict.tests() {
        for part in [&tests.fail_to_pass, &tests.pass_to_pass] {
            lists[0].1.extend(part.success.iter().map(String::as_str));
            lists[1].1.extend(part.failure.iter().map(String::as_str));
        }
    }
    lists
}

/// A row that may answer.
struct Candidate {
    id: i64,
    worth: u32,
    flaky: bool,
    outcome: String,
    image: String,
    from: KnownFrom,
}

impl History {
    /// The answers to a question, the newest first, if it is known: evaluations that all came to the
    /// same, and of which no expected test has ever changed its mind. Files are not looked at.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn known(&self, question: &Question) -> Result<Vec<Known>, HistoryError> {
        let rows = self.candidates(question)?;
        let counting: Vec<&Candidate> = rows.iter().filter(|row| row.worth > 0).collect();
        let Some(first) = counting.first() else { return Ok(Vec::new()) };
        let proven = counting.iter().map(|row| row.worth).sum::<u32>() >= 2;
        let agreed = counting.iter().all(|row| row.outcome == first.outcome);
        if !proven || !agreed || rows.iter().any(|row| row.flaky) {
            return Ok(Vec::new());
        }
        let unsteady = self.unsteady(&first.image)?;
        let mut known = Vec::new();
        for row in counting {
            let evaluated = self.answer(row.id)?;
            let [(_, passed), (_, failed)] = lists(&evaluated);
            if unsteady
                .iter()
                .any(|test| passed.contains(test.as_str()) || failed.contains(test.as_str()))
            {
                return Ok(Vec::new());
            }
            known.push(Known { evaluated, from: row.from.clone() });
        }
        Ok(known)
    }

    fn candidates(&self, question: &Question) -> Result<Vec<Candidate>, HistoryError> {
        let connection = self.connection();
        let mut rows = connection
            .prepare_cached(
                "SELECT id, worth, flaky, outcome, image, run, model, attempt, at, place
                 FROM evaluations WHERE question = ?1 ORDER BY at DESC, id DESC",
            )
            .map_err(|error| self.error(error))?;
        let found = rows.query_map(params![question.0.to_string()], |row| {
            Ok(Candidate {
                id: row.get(0)?,
                worth: row.get(1)?,
                flaky: row.get(2)?,
                outcome: row.get(3)?,
                image: row.get(4)?,
                from: KnownFrom {
                    run_id: row.get(5)?,
                    model: row.get::<_, String>(6)?.into(),
                    attempt: row.get(7)?,
                    at: Timestamp::from_millisecond(row.get(8)?).unwrap_or_default(),
                    place: row.get::<_, String>(9)?.into(),
                },
            })
        });
        found.and_then(Iterator::collect).map_err(|error| self.error(error))
    }

    /// Tests of an image that gave this once and that another time.
    pub(super) fn unsteady(&self, image: &str) -> Result<Vec<String>, HistoryError> {
        let connection = self.connection();
        let read = || {
            connection
                .prepare_cached("SELECT test FROM tests WHERE image = ?1 AND flips > 0")?
                .query_map(params![image], |row| row.get(0))?
                .collect::<rusqlite::Result<Vec<String>>>()
        };
        read().map_err(|error| self.error(error))
    }

    /// The whole of an evaluation.
    pub(super) fn answer(&self, id: i64) -> Result<Evaluated, HistoryError> {
        let packed: Vec<u8> = self
            .connection()
            .prepare_cached("SELECT evaluated FROM answers WHERE evaluation = ?1")
            .and_then(|mut rows| rows.query_row(params![id], |row| row.get(0)))
            .map_err(|error| self.error(error))?;
        unpack(&packed).map_err(|why| HistoryError::Damaged { path: self.path().to_owned(), why })
    }
}

/// An evaluation as it is stored.
pub(super) fn pack(evaluated: &Evaluated) -> Vec<u8> {
    let text = serde_json::to_vec(evaluated).expect("an evaluation has a JSON form");
    zstd::encode_all(text.as_slice(), 3).expect("memory takes all that is written")
}

pub(super) fn unpack(packed: &[u8]) -> Result<Evaluated, String> {
    let text = zstd::decode_all(packed).map_err(|error| error.to_string())?;
    serde_json::from_slice(&text).map_err(|error| error.to_string())
}
