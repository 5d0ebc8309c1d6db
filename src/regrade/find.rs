//! Where the logs of a run are.

use super::RegradeError;
use crate::journal;
use crate::model::{Evaluation, InstanceId, PredictionKey};
use crate::report::RunDir;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use walkdir::WalkDir;

const TEST_LOG: &str = "test_output.txt";
const INSTANCE_LOG: &str = "run_instance.log";
const PATCH: &str = "patch.diff";
/// The end of the name of a log of swebench 1.x: `<instance>.<model>.eval.log`, and of those who
/// collect such logs, `<model>.<instance>.log`.
const OLD_LOG: &str = ".log";

/// What is known of an evaluation.
#[derive(Clone, Debug, PartialEq)]
pub enum Logged {
    /// A run of ours: the facts of its journal.
    Ours(Box<Evaluation>),
    /// A run of another harness.
    Foreign {
        /// The patch is there, and empty.
        empty: bool,
    },
}

/// An evaluation that left a log.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The prediction.
    pub key: PredictionKey,
    /// Its directory, or its log where that is all there is.
    pub place: PathBuf,
    /// What is known of it.
    pub logged: Logged,
}

impl Found {
    /// The log of the tests, and the log of the instance (empty where there is none).
    ///
    /// # Errors
    /// An error of the system other than that a file is not there.
    pub fn logs(&self) -> io::Result<(Option<Vec<u8>>, Vec<u8>)> {
        if self.place.is_file() {
            return Ok((Some(fs_err::read(&self.place)?), Vec::new()));
        }
        let instance_log = read(&self.place.join(INSTANCE_LOG))?.unwrap_or_default();
        Ok((read(&self.place.join(TEST_LOG))?, instance_log))
    }

    /// The patch; empty where it was not kept.
    #[must_use]
    pub fn patch(&self) -> String {
        let bytes = fs_err::read(self.place.join(PATCH)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The directory its report belongs into.
    #[must_use]
    pub fn directory(&self) -> &Path {
        match self.place.is_file() {
            true => self.place.parent().unwrap_or(&self.place),
            false => &self.place,
        }
    }
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs_err::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Every evaluation of these instances below a directory, in the order of model, attempt and
/// instance: of a run of ours (it has a journal), or of directories and files in the incumbent's
/// layouts, old and new. `model` names the model where the layout does not.
///
/// # Errors
/// [`RegradeError`], also where there is none.
pub fn find(
    path: &Path,
    ids: &BTreeSet<InstanceId>,
    model: Option<&str>,
) -> Result<Vec<Found>, RegradeError> {
    let mut found = match path.join(journal::FILE_NAME).is_file() {
        true => of_a_run(path)?,
        false => of_a_tree(path, ids, model)?,
    };
    found.retain(|one| ids.contains(&one.key.instance_id));
    if found.is_empty() {
        return Err(RegradeError::Nothing(path.to_owned()));
    }
    found.sort_by(|a, b| {
        let order = |one: &Found| (one.key.model.clone(), one.key.attempt);
        order(a).cmp(&order(b)).then_with(|| a.key.instance_id.cmp(&b.key.instance_id))
    });
    // Of the same prediction in two places the first counts.
    found.dedup_by(|b, a| a.key == b.key);
    Ok(found)
}

/// Every evaluation of one instance, whatever task list it is of.
pub(super) fn every(path: &Path, instance: &str) -> Result<Vec<Found>, RegradeError> {
    let id = InstanceId::new(instance)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))?;
    find(path, &BTreeSet::from([id]), None)
}

fn of_a_run(path: &Path) -> Result<Vec<Found>, RegradeError> {
    let state = journal::load(path)?;
    let parent = path.parent().unwrap_or(Path::new(""));
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let dir = RunDir::new(parent, &name);
    let mut found = Vec::new();
    for (facts, status) in state.predictions() {
        let Some(done) = status.done() else { continue };
        let event = journal::read_at(path, done.place)?;
        let journal::Event::Evaluated(evaluated) = event else { continue };
        found.push(Found {
            key: facts.key.clone(),
            place: dir.prediction(&facts.key),
            logged: Logged::Ours(Box::new(evaluated.evaluation)),
        });
    }
    Ok(found)
}

fn of_a_tree(
    path: &Path,
    ids: &BTreeSet<InstanceId>,
    model: Option<&str>,
) -> Result<Vec<Found>, RegradeError> {
    let mut found = Vec::new();
    // A missing directory is an error of its own, not an empty tree.
    fs_err::metadata(path)?;
    for entry in WalkDir::new(path).sort_by_file_name() {
        let entry = entry.map_err(io::Error::from)?;
        let name = entry.file_name().to_string_lossy();
        if entry.file_type().is_dir() {
            if let Ok(id) = InstanceId::new(&name)
                && ids.contains(&id)
                && is_evaluation(entry.path())
            {
                found.push(of_a_directory(path, entry.path(), id, model)?);
            }
        } else if let Some(stem) = name.strip_suffix(OLD_LOG)
            && let Some((id, named)) = old_name(stem, ids)
        {
            let named = if named.is_empty() { "model".to_owned() } else { named };
            let model = Arc::from(model.map_or(named.as_str(), |model| model));
            let key = PredictionKey { model, instance_id: id, attempt: 1 };
            let place = entry.path().to_owned();
            found.push(Found { key, place, logged: Logged::Foreign { empty: false } });
        }
    }
    Ok(found)
}

fn is_evaluation(folder: &Path) -> bool {
    [TEST_LOG, INSTANCE_LOG, PATCH].iter().any(|name| folder.join(name).is_file())
}

/// `…/<run>/<model>/<instance>`, our `…/<model>/attempt-2/<instance>`, or `…/<run>/<instance>`
/// directly below what was named.
fn of_a_directory(
    root: &Path,
    folder: &Path,
    id: InstanceId,
    model: Option<&str>,
) -> io::Result<Found> {
    let name = |path: Option<&Path>| {
        path.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned())
    };
    let mut parent = folder.parent();
    let mut attempt = 1;
    if let Some(number) = name(parent).as_deref().and_then(|name| name.strip_prefix("attempt-"))
        && let Ok(number) = number.parse()
    {
        attempt = number;
        parent = parent.and_then(Path::parent);
    }
    let below_root = parent.is_some_and(|parent| parent.starts_with(root));
    let own = name(parent.filter(|_| below_root));
    let model = model.map(str::to_owned).or(own).unwrap_or_else(|| "model".to_owned());
    let empty = match read(&folder.join(PATCH))? {
        Some(patch) => patch.is_empty() && !folder.join(TEST_LOG).is_file(),
        None => false,
    };
    Ok(Found {
        key: PredictionKey { model: model.into(), instance_id: id, attempt },
        place: folder.to_owned(),
        logged: Logged::Foreign { empty },
    })
}

/// The instance and the model in the name of an old log: the longest id that stands between dots,
/// and what is left.
fn old_name(stem: &str, ids: &BTreeSet<InstanceId>) -> Option<(InstanceId, String)> {
    let stem = stem.strip_suffix(".eval").unwrap_or(stem);
    let parts: Vec<&str> = stem.split('.').collect();
    let ranges = (1..=parts.len())
        .rev()
        .flat_map(|length| (0..=parts.len() - length).map(move |start| (start, start + length)));
    for (start, end) in ranges {
        let Ok(id) = InstanceId::new(&parts[start..end].join(".")) else { continue };
        if ids.contains(&id) {
            let rest: Vec<&str> = parts[..start].iter().chain(&parts[end..]).copied().collect();
            return Some((id, rest.join(".")));
        }
    }
    None
}
