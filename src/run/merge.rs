//! Shards of a run put together again: one journal, one folder, the report of the whole.

use super::open::write_reports;
use crate::journal::{Event, Header, Journal, JournalError, Place, RunState, load, read, read_at};
use crate::report::RunDir;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// Shards do not make a run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// There is nothing to merge.
    #[error("no shards are named")]
    Nothing,
    /// A run that is no shard.
    #[error("{} is a whole run, no shard", .0.display())]
    NotAShard(PathBuf),
    /// Some are not there.
    #[error("of {of} shards {} missing", missing_text(numbers))]
    Missing {
        /// Their numbers, from 1.
        numbers: Vec<usize>,
        /// How many there must be.
        of: usize,
    },
    /// One has not ended.
    #[error("shard {number}, {}, is not finished: {open} predictions have no verdict", dir.display())]
    Unfinished {
        /// Its number.
        number: usize,
        /// Its directory.
        dir: PathBuf,
        /// How many predictions have no verdict.
        open: usize,
    },
    /// One is there twice.
    #[error("shard {number} is there twice: {} and {}", one.display(), other.display())]
    Doubled {
        /// Its number.
        number: usize,
        /// Where.
        one: PathBuf,
        /// Where else.
        other: PathBuf,
    },
    /// One is of another run.
    #[error("{} does not belong to {}: {why}", dir.display(), first.display())]
    Foreign {
        /// Its directory.
        dir: PathBuf,
        /// The shard it was compared with.
        first: PathBuf,
        /// What is not the same.
        why: String,
    },
    /// The run exists.
    #[error("{} exists already; choose another name for the merged run", .0.display())]
    Exists(PathBuf),
    /// A journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A file.
    #[error(transparent)]
    Io(#[from] io::Error),
}

fn missing_text(numbers: &[usize]) -> String {
    let list = numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let verb = if numbers.len() == 1 { "is" } else { "are" };
    format!("{list} {verb}")
}

/// A shard, and where it is.
struct Shard {
    dir: PathBuf,
    state: RunState,
}

/// Puts the shards in these directories together as `run_id` below `reports`; without a name, as the
/// run they were cut from. They must be all shards of one cut, finished, each once.
///
/// # Errors
/// [`MergeError`], which names the shard that does not fit.
pub fn merge(
    dirs: &[PathBuf],
    reports: &Path,
    run_id: Option<&str>,
) -> Result<(RunState, RunDir), MergeError> {
    let mut shards = Vec::new();
    for dir in dirs {
        shards.push(Shard { dir: dir.clone(), state: load(dir)? });
    }
    let shards = checked(shards)?;
    let header = header(&shards, run_id);
    let dir = RunDir::new(reports, &header.run_id);
    let (mut journal, before) = Journal::open(dir.path())?;
    if before.is_some() {
        return Err(MergeError::Exists(dir.path().to_owned()));
    }
    let began = shards.iter().map(|shard| shard.state.began).min().unwrap_or_default();
    journal.append(began, &[Event::Header(Box::new(header.clone()))])?;
    let mut state = RunState::new(header, began);
    let mut last = began;
    for (at, shard, place) in in_order(&shards)? {
        let event = read_at(&shards[shard].dir, place)?;
        let places = journal.append(at, std::slice::from_ref(&event))?;
        state.apply(at, &event, places[0]).expect("all shards have the same predictions");
        last = at;
    }
    for shard in &shards {
        copy_files(shard, &dir)?;
    }
    let end = shards.iter().map(|shard| shard.state.last).max().unwrap_or(last);
    let places = journal.append(end, &[Event::Finished])?;
    state.apply(end, &Event::Finished, places[0]).expect("it names no prediction");
    journal.sync()?;
    write_reports(&dir, &state)?;
    Ok((state, dir))
}

/// The shards by number, if they make a whole.
fn checked(shards: Vec<Shard>) -> Result<Vec<Shard>, MergeError> {
    let mut by_number: BTreeMap<usize, Shard> = BTreeMap::new();
    let Some(first) = shards.first() else { return Err(MergeError::Nothing) };
    let (first_dir, first) = (first.dir.clone(), first.state.header.clone());
    let of = match &first.shard {
        Some(facts) => facts.of,
        None => return Err(MergeError::NotAShard(first_dir)),
    };
    for shard in shards {
        let Some(facts) = &shard.state.header.shard else {
            return Err(MergeError::NotAShard(shard.dir));
        };
        if let Some(why) = difference(&first, &shard.state.header) {
            return Err(MergeError::Foreign { dir: shard.dir, first: first_dir, why });
        }
        let number = facts.number;
        if let Some(one) = by_number.get(&number) {
            let (one, other) = (one.dir.clone(), shard.dir);
            return Err(MergeError::Doubled { number, one, other });
        }
        by_number.insert(number, shard);
    }
    let numbers: Vec<usize> = (1..=of).filter(|number| !by_number.contains_key(number)).collect();
    if !numbers.is_empty() {
        return Err(MergeError::Missing { numbers, of });
    }
    for (number, shard) in &by_number {
        if !shard.state.finished {
            let own = |facts: &&(&crate::journal::PredictionFacts, &crate::journal::Status)| {
                let id = &facts.0.key.instance_id;
                shard.state.header.instances.iter().any(|instance| instance.id == *id)
            };
            let open = shard.state.predictions().filter(|facts| own(&facts));
            let open = open.filter(|(_, status)| status.done().is_none()).count();
            let (number, dir) = (*number, shard.dir.clone());
            return Err(MergeError::Unfinished { number, dir, open });
        }
    }
    Ok(by_number.into_values().collect())
}

/// What tells two shards of different runs apart.
fn difference(first: &Header, other: &Header) -> Option<String> {
    let (a, b) = (first.shard.as_ref()?, other.shard.as_ref()?);
    if first.dataset != other.dataset {
        return Some("it is of another task list".to_owned());
    }
    if a.of != b.of {
        return Some(format!("it is one of {} shards, not of {}", b.of, a.of));
    }
    if a.durations != b.durations {
        return Some("it was cut by other durations".to_owned());
    }
    if first.predictions != other.predictions {
        return Some("it has other predictions".to_owned());
    }
    if a.cut != b.cut {
        return Some("the run was cut otherwise for it".to_owned());
    }
    // Whatever else verdicts depend on; instances and parts differ, as they must.
    let alike =
        Header { instances: first.instances.clone(), shard: first.shard.clone(), ..other.clone() };
    first.changes(&alike).first().map(ToString::to_string)
}

fn header(shards: &[Shard], run_id: Option<&str>) -> Header {
    let first = &shards[0].state.header;
    let whole = first.shard.as_ref().map_or(first.run_id.as_str(), |facts| facts.run_id.as_str());
    let all = shards.iter().flat_map(|shard| shard.state.header.instances.iter().cloned());
    let mut instances: Vec<_> = all.collect();
    instances.sort_by(|a, b| a.id.cmp(&b.id));
    Header { run_id: run_id.unwrap_or(whole).to_owned(), shard: None, instances, ..first.clone() }
}

/// Every event of the shards that a merged journal has, in the order in which they happened.
fn in_order(shards: &[Shard]) -> Result<Vec<(Timestamp, usize, Place)>, MergeError> {
    let mut events = Vec::new();
    for (number, shard) in shards.iter().enumerate() {
        read(&shard.dir, &mut |_, at, event, place| {
            // Beginnings and ends are those of the whole.
            let own =
                matches!(event, Event::Header(_) | Event::Interrupted { .. } | Event::Finished);
            if !own {
                events.push((at, number, place));
            }
            Ok(())
        })?;
    }
    // Stable: what one shard wrote at one moment stays in its order.
    events.sort_by_key(|(at, _, _)| *at);
    Ok(events)
}

/// The files of the predictions that are the shard's own.
fn copy_files(shard: &Shard, to: &RunDir) -> io::Result<()> {
    let from = RunDir::new(shard.dir.parent().unwrap_or(Path::new("")), &name_of(&shard.dir));
    for (facts, status) in shard.state.predictions() {
        if status.done().is_none() {
            continue;
        }
        let (from, to) = (from.prediction(&facts.key), to.prediction(&facts.key));
        let entries = match fs_err::read_dir(&from) {
            Ok(entries) => entries,
            // Of an empty patch nothing is left.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        fs_err::create_dir_all(&to)?;
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                fs_err::copy(entry.path(), to.join(entry.file_name()))?;
            }
        }
    }
    Ok(())
}

fn name_of(dir: &Path) -> String {
    dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
