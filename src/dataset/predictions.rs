//! Predictions: what agents propose, from the files they come in.

use super::Dataset;
use super::error::{DatasetError, Problem, Problems};
use super::fields::{Fields, short};
use super::nearest;
use super::read::{self, Format, Row, kind};
use crate::model::{InstanceId, Prediction};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The word for the reference solutions, and the model's name in their reports.
const GOLD: &str = "gold";
/// The word for no patch at all, likewise.
const EMPTY: &str = "empty";

/// Loads predictions from files (`.json` list, `.json` object by id, `.jsonl`), directories of
/// such files, `gold` (the reference solutions) and `empty` (no patch), in any mix.
///
/// Several attempts of one model at one instance are numbered in the order of their appearance;
/// the same patch twice is two attempts. Files may speak of any instance the data set had before a
/// selection ([`Dataset::ids`]); `gold` and `empty` give one for each of [`Dataset::instances`].
///
/// # Errors
/// [`DatasetError`] with every problem of every file.
pub fn load_predictions(
    specs: &[String],
    dataset: &Dataset,
) -> Result<Vec<Prediction>, DatasetError> {
    let mut loader = Loader {
        dataset,
        problems: Problems::default(),
        predictions: Vec::new(),
        attempts: HashMap::new(),
        models: BTreeMap::new(),
    };
    if specs.is_empty() {
        let problem = Problem::new("--predictions", "no predictions are named");
        loader.problems.push(problem.hint("name a file, or `gold` for the reference solutions"));
    }
    for spec in specs {
        match spec.as_str() {
            GOLD => loader.gold(),
            EMPTY => loader.empty(),
            path => loader.path(Path::new(path)),
        }
    }
    loader.problems.ok()?;
    Ok(loader.predictions)
}

struct Loader<'a> {
    dataset: &'a Dataset,
    problems: Problems,
    predictions: Vec<Prediction>,
    attempts: HashMap<(Arc<str>, InstanceId), u32>,
    /// Models by the name of their directory.
    models: BTreeMap<String, Arc<str>>,
}

impl Loader<'_> {
    fn gold(&mut self) {
        let dataset = self.dataset;
        for instance in &dataset.instances {
            if instance.gold_patch.is_none() {
                let problem = Problem::new(GOLD, "the row has no reference solution (`patch`)");
                let problem = problem.of(instance.id.as_str());
                self.problems
                    .push(problem.hint("leave these instances out with --instance or --filter"));
            }
            self.add(GOLD, instance.id.clone(), instance.gold_patch.clone());
        }
    }

    fn empty(&mut self) {
        let dataset = self.dataset;
        for instance in &dataset.instances {
            self.add(EMPTY, instance.id.clone(), None);
        }
    }

    fn path(&mut self, path: &Path) {
        if !path.is_dir() {
            if Format::of(path)
                .is_none_or(|format| format == Format::Json || format == Format::JsonLines)
            {
                return self.file(path);
            }
            let problem = Problem::new(path, "predictions are read from .jsonl and .json files");
            return self
                .problems
                .push(problem.hint("write one JSON object a line to a .jsonl file"));
        }
        match files_of(path) {
            Ok(files) if files.is_empty() => {
                let problem = Problem::new(path, "the directory holds no .json or .jsonl file");
                self.problems.push(problem.hint("name a file, or a directory of such files"));
            }
            Ok(files) => files.iter().for_each(|file| self.file(file)),
            Err(error) => {
                self.problems.push(Problem::new(path, format!("cannot be read: {error}")));
            }
        }
    }

    fn file(&mut self, path: &Path) {
        if !path.exists() {
            let name = path.to_string_lossy();
            let hint = match nearest::nearest(&name, [GOLD, EMPTY]) {
                Some(near) => format!("did you mean `{near}`?"),
                None => {
                    "name a .json or .jsonl file, a directory of them, `gold` or `empty`".to_owned()
                }
            };
            return self.problems.push(Problem::new(path, "no such file").hint(hint));
        }
        let before = self.problems.count();
        let mut count = 0;
        let mut keys = BTreeMap::new();
        read::rows(path, &mut |row| {
            count += 1;
            match row {
                Ok(row) => self.row(path, row, &mut keys),
                Err(problem) => self.problems.push(problem),
            }
        });
        if count == 0 && self.problems.count() == before {
            let problem = Problem::new(path, "holds no prediction");
            self.problems.push(problem.hint("write one JSON object a line, or name `empty`"));
        }
    }

    fn row(&mut self, path: &Path, row: Row, keys: &mut BTreeMap<String, super::Place>) {
        let dataset = self.dataset;
        let mut row = Fields::new(path, row, &mut self.problems);
        let id = prediction_id(&mut row, keys);
        if let Some(id) = &id
            && !dataset.ids.contains(id)
        {
            let what = format!(
                "`{}` is no instance of {}, split {}",
                short(id.as_str()),
                dataset.name,
                dataset.split
            );
            let hint =
                match nearest::nearest(id.as_str(), dataset.ids.iter().map(InstanceId::as_str)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "check --dataset and --split, or take the line out".to_owned(),
                };
            row.wrong("instance_id", what, hint);
        }
        let model = model(&mut row);
        if !row.has("model_patch") {
            row.wrong("model_patch", "missing", "write the patch as text, null if there is none");
        }
        let patch = match row.value("model_patch") {
            Some(Value::String(text)) => Some(text),
            Some(other) => {
                let what = format!("{} where text is wanted", kind(&other));
                row.wrong("model_patch", what, "write the patch as text, null if there is none");
                None
            }
            None => None,
        };
        let place = row.place();
        if let (true, Some(id), Some(model)) = (row.good(), id, model) {
            if let Some(other) = self.other_model_of(&model) {
                let what = format!("`{model}` and `{other}` would share one directory");
                let problem = Problem::new(path, what).at(Some(place)).field("model_name_or_path");
                self.problems.push(problem.hint("`/` becomes `__` in paths: rename one of them"));
            }
            self.add(&model, id, patch.filter(|text| !text.is_empty()));
        }
    }

    /// A model of another name whose reports would stand in the same directory.
    fn other_model_of(&self, model: &str) -> Option<Arc<str>> {
        let known = self.models.get(&model.replace('/', "__"))?;
        (**known != *model).then(|| known.clone())
    }

    fn add(&mut self, model: &str, instance_id: InstanceId, patch: Option<String>) {
        let entry = self.models.entry(model.replace('/', "__")).or_insert_with(|| model.into());
        let model = if **entry == *model { entry.clone() } else { model.into() };
        let attempt = self.attempts.entry((model.clone(), instance_id.clone())).or_insert(0);
        *attempt += 1;
        self.predictions.push(Prediction { instance_id, model, patch, attempt: *attempt });
    }
}

/// The id a prediction is for: its own, else the key it stands under.
fn prediction_id(
    row: &mut Fields<'_>,
    keys: &mut BTreeMap<String, super::Place>,
) -> Option<InstanceId> {
    let hint = "every prediction names the instance it is for";
    let key = row.key().map(str::to_owned);
    let text = match key {
        Some(key) => {
            if let Some(first) = keys.insert(key.clone(), row.place()) {
                let what =
                    format!("the key `{}` stands twice in the object (first{first})", short(&key));
                row.wrong(
                    "instance_id",
                    what,
                    "a second attempt needs a file of its own, or a list instead of an object",
                );
                return None;
            }
            if row.has("instance_id") {
                let own = row.required("instance_id", hint)?;
                if own != key {
                    let what = format!("`{}` stands under the key `{}`", short(&own), short(&key));
                    row.wrong("instance_id", what, "the key of an object by id is the id");
                    return None;
                }
            }
            key
        }
        None => row.required("instance_id", hint)?,
    };
    InstanceId::new(&text)
        .map_err(|error| {
            row.wrong("instance_id", error.to_string(), "take the id from the data set")
        })
        .ok()
}

/// The model; its name becomes a directory.
fn model(row: &mut Fields<'_>) -> Option<String> {
    let field = "model_name_or_path";
    let model =
        row.required(field, "add `\"model_name_or_path\": \"<name>\"`; reports are named by it")?;
    let dir = model.replace('/', "__");
    let why = if dir == "." || dir == ".." {
        "names a directory"
    } else if dir.contains('\\') || dir.chars().any(char::is_control) {
        "holds a backslash or a control character"
    } else if dir.len() > 200 {
        "is longer than 200 bytes"
    } else {
        return Some(model);
    };
    row.wrong(
        field,
        format!("`{}` {why}", short(&model)),
        "reports are stored under this name: choose another",
    );
    None
}

/// The files of predictions in a directory, by name.
fn files_of(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs_err::read_dir(path)? {
        let file = entry?.path();
        if file.is_file() && matches!(Format::of(&file), Some(Format::Json | Format::JsonLines)) {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}
