//! The file of a journal: framing, locking, syncing, and what to do with a torn end.

use super::{Event, FORMAT, Header, JournalError, RunState};
use crate::layers::for_a_moment;
use crate::model::Digest;
use fs_err::{File, OpenOptions};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fs::TryLockError;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

/// The name of the file in a run's directory.
pub const FILE_NAME: &str = "journal.jsonl";

/// `,"sum":"` + 8 digits + `"}`.
const SEAL_LENGTH: usize = 8 + 8 + 2;
const SEAL_HEAD: &[u8] = b",\"sum\":\"";
pub(super) const FIRST_SUM: &str = "00000000";

/// Where an event stands in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Offset of its line in bytes.
    pub offset: u64,
    /// Length of its line in bytes, without the line feed.
    pub length: u64,
}

/// A line without its seal.
#[derive(Serialize, Deserialize)]
struct Line<E> {
    at: Timestamp,
    event: E,
}

/// A journal open for appending. It is locked: no other process can open it so at the same time.
#[derive(Debug)]
pub struct Journal {
    file: File,
    end: u64,
    sum: String,
    broken: bool,
}

impl Journal {
    /// Opens the journal of the run in `dir`, which is made if missing, and replays what it holds;
    /// `None` if that is nothing. A torn last line is cut off.
    ///
    /// # Errors
    /// [`JournalError::Busy`] if another process has it open, and all that [`read`] gives.
    pub fn open(dir: &Path) -> Result<(Self, Option<RunState>), JournalError> {
        fs_err::create_dir_all(dir)?;
        let path = dir.join(FILE_NAME);
        let file = OpenOptions::new().read(true).append(true).create(true).open(&path)?;
        lock(&file, &path)?;
        let mut state = None;
        let tail = scan(&file, &path, &mut |line, at, event, place| {
            replay(&mut state, at, &event, place, (&path, line))
        })?;
        if tail.torn {
            file.file().set_len(tail.end)?;
            file.sync_data()?;
        }
        if state.is_none() {
            // The name of a new file is on disk only once its directory is.
            File::open(dir)?.sync_all()?;
        }
        Ok((Self { file, end: tail.end, sum: tail.sum, broken: false }, state))
    }

    /// Appends these events with one write and returns where each stands. They are not safe from
    /// a power cut before [`Journal::sync`].
    ///
    /// # Errors
    /// The write failed. What is on disk is not known then: every later append is refused.
    pub fn append(&mut self, at: Timestamp, events: &[Event]) -> Result<Vec<Place>, JournalError> {
        self.usable()?;
        let mut text = Vec::new();
        let mut places = Vec::with_capacity(events.len());
        let mut sum = self.sum.clone();
        for event in events {
            let start = text.len();
            serde_json::to_writer(&mut text, &Line { at, event })
                .expect("an event always has a JSON form");
            sum = seal(&sum, &text[start..]);
            text.pop();
            text.extend_from_slice(SEAL_HEAD);
            text.extend_from_slice(sum.as_bytes());
            text.extend_from_slice(b"\"}");
            places.push(Place {
                offset: self.end + start as u64,
                length: (text.len() - start) as u64,
            });
            text.push(b'\n');
        }
        self.broken = true;
        self.file.write_all(&text)?;
        self.broken = false;
        self.end += text.len() as u64;
        self.sum = sum;
        Ok(places)
    }

    /// Waits until all that was appended is on disk.
    ///
    /// # Errors
    /// It could not be written; every later append is refused.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        self.usable()?;
        self.broken = true;
        self.file.sync_data()?;
        self.broken = false;
        Ok(())
    }

    fn usable(&self) -> Result<(), JournalError> {
        if self.broken {
            return Err(JournalError::Broken(self.file.path().to_owned()));
        }
        Ok(())
    }

    /// A journal on another file, to see writes fail.
    #[cfg(test)]
    pub(crate) fn on(file: File) -> Self {
        Self { file, end: 0, sum: FIRST_SUM.to_owned(), broken: false }
    }
}

/// Replays the journal of the run in `dir` without locking it: also while it is written.
///
/// # Errors
/// [`JournalError::Missing`] without a journal or with an empty one; else as [`read`].
pub fn load(dir: &Path) -> Result<RunState, JournalError> {
    load_watching(dir, &mut |_, _| {})
}

/// The same, and every event is shown on the way.
///
/// # Errors
/// As [`load`].
pub fn load_watching(
    dir: &Path,
    watch: &mut dyn FnMut(Timestamp, &Event),
) -> Result<RunState, JournalError> {
    let path = dir.join(FILE_NAME);
    let mut state = None;
    read(dir, &mut |line, at, event, place| {
        watch(at, &event);
        replay(&mut state, at, &event, place, (&path, line))
    })?;
    state.ok_or(JournalError::Missing(path))
}

/// What is done with an event: its line's number, its moment, itself, its place.
pub type Visit<'a> = dyn FnMut(usize, Timestamp, Event, Place) -> Result<(), JournalError> + 'a;

/// Reads the journal of the run in `dir`, event by event; a torn last line is passed over.
///
/// # Errors
/// It cannot be read, a line is damaged, or it has another format; what `visit` gives.
pub fn read(dir: &Path, visit: &mut Visit<'_>) -> Result<(), JournalError> {
    let path = dir.join(FILE_NAME);
    if !path.exists() {
        return Err(JournalError::Missing(path));
    }
    scan(&File::open(&path)?, &path, visit).map(|_| ())
}

/// Reads one event again.
///
/// # Errors
/// It cannot be read.
pub fn read_at(dir: &Path, place: Place) -> Result<Event, JournalError> {
    let path = dir.join(FILE_NAME);
    let mut file = File::open(&path)?;
    file.seek(SeekFrom::Start(place.offset))?;
    let mut line = Vec::new();
    file.take(place.length).read_to_end(&mut line)?;
    let damaged = |why| JournalError::Damaged { path: path.clone(), line: 0, why };
    let body = unsealed(&line).ok_or_else(|| damaged("no event stands here".to_owned()))?.0;
    parse(&body).map(|line| line.event).map_err(|error| damaged(error.to_string()))
}

struct Tail {
    end: u64,
    sum: String,
    torn: bool,
}

/// How far a journal was read.
#[derive(Debug)]
pub(super) struct Scan {
    /// Bytes of whole lines.
    pub(super) end: u64,
    /// The sum of the last of them.
    pub(super) sum: String,
    /// How many they are.
    pub(super) line: usize,
}

fn scan(file: &File, path: &Path, visit: &mut Visit<'_>) -> Result<Tail, JournalError> {
    let mut scan = Scan { end: 0, sum: FIRST_SUM.to_owned(), line: 0 };
    let torn = scan_from(file, path, &mut scan, visit)?;
    Ok(Tail { end: scan.end, sum: scan.sum, torn })
}

/// Reads on from where it was read to; whether the last line is torn.
pub(super) fn scan_from(
    mut file: &File,
    path: &Path,
    scan: &mut Scan,
    visit: &mut Visit<'_>,
) -> Result<bool, JournalError> {
    file.seek(SeekFrom::Start(scan.end))?;
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(false);
        }
        let number = scan.line + 1;
        let length = line.len() as u64;
        let ended = line.pop_if(|byte| *byte == b'\n').is_some();
        let checked = if ended { check(&line, &scan.sum) } else { Err("it is torn".to_owned()) };
        match checked {
            Ok((parsed, sum)) => {
                if let Event::Header(header) = &parsed.event {
                    check_format(header, path)?;
                }
                let place = Place { offset: scan.end, length: length - 1 };
                visit(number, parsed.at, parsed.event, place)?;
                scan.sum = sum;
                scan.end += length;
                scan.line = number;
            }
            // Only what was written last can be torn.
            Err(_) if reader.fill_buf()?.is_empty() => {
                return Ok(true);
            }
            Err(why) => {
                return Err(JournalError::Damaged { path: path.to_owned(), line: number, why });
            }
        }
    }
}

fn check(line: &[u8], before: &str) -> Result<(Line<Event>, String), String> {
    let (body, sum) = unsealed(line).ok_or("it does not end with its sum")?;
    if seal(before, &body) != sum {
        return Err("its sum is wrong: it, or the line before it, was changed".to_owned());
    }
    let parsed = parse(&body).map_err(|error| error.to_string())?;
    Ok((parsed, sum))
}

fn parse(body: &[u8]) -> Result<Line<Event>, serde_json::Error> {
    serde_json::from_slice(body)
}

/// The text that was sealed, and its sum.
fn unsealed(line: &[u8]) -> Option<(Vec<u8>, String)> {
    let (body, seal) = line.split_at_checked(line.len().checked_sub(SEAL_LENGTH)?)?;
    let sum = seal.strip_prefix(SEAL_HEAD)?.strip_suffix(b"\"}")?;
    let mut body = body.to_vec();
    body.push(b'}');
    Some((body, String::from_utf8(sum.to_vec()).ok()?))
}

fn seal(before: &str, body: &[u8]) -> String {
    let mut digest = Digest::of([before.as_bytes(), body].concat()).to_string();
    digest.truncate(8);
    digest
}

fn check_format(header: &Header, path: &Path) -> Result<(), JournalError> {
    if header.format != FORMAT {
        return Err(JournalError::Format { path: path.to_owned(), found: header.format });
    }
    Ok(())
}

pub(super) fn replay(
    state: &mut Option<RunState>,
    at: Timestamp,
    event: &Event,
    place: Place,
    line: (&Path, usize),
) -> Result<(), JournalError> {
    match (state.as_mut(), event) {
        (None, Event::Header(header)) => {
            *state = Some(RunState::new(header.as_ref().clone(), at));
        }
        (None, _) => {
            return Err(JournalError::Damaged {
                path: line.0.to_owned(),
                line: line.1,
                why: "the first event is not a header".to_owned(),
            });
        }
        (Some(state), event) => {
            state.apply(at, event, place).map_err(|key| JournalError::Stranger {
                path: line.0.to_owned(),
                line: line.1,
                key: Box::new(key),
            })?;
        }
    }
    Ok(())
}

fn lock(file: &File, path: &Path) -> Result<(), JournalError> {
    let locked = for_a_moment(|| match file.file().try_lock() {
        Ok(()) => Ok(Some(())),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(JournalError::Io(error)),
    })?;
    locked.ok_or_else(|| JournalError::Busy(path.to_owned()))
}
