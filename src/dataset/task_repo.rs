//! Task repositories of swebench 5: a folder a task, and a Dockerfile for its image.
//!
//! Source: `swebench/task/repo.py` of 5.0.2. `sweb.yaml` names the data sets that a repository
//! publishes and their splits; `tasks/<id>/` holds `task.yaml` (the short fields of a row),
//! `tests.json`, `gold.patch`, `test.patch`, `eval.sh`, `problem_statement.md`, perhaps `hints.md`,
//! a `Dockerfile` whose context is the folder, and `test_assets/`: files to stage, at their places
//! below the work tree. What lies in `problem_assets/` is for readers.

use super::error::Problem;
use super::read::Row;
use super::{Place, read::kind};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The file that tells such a repository.
const CONFIG: &str = "sweb.yaml";
/// The file that tells a task.
const TASK: &str = "task.yaml";
/// Files that are fields of a row.
const FIELDS: [(&str, &str); 4] = [
    ("patch", "gold.patch"),
    ("test_patch", "test.patch"),
    ("eval_script", "eval.sh"),
    ("problem_statement", "problem_statement.md"),
];
const ASSETS: &str = "test_assets";
const SPLIT: &str = "test";

/// What a repository publishes.
struct Config {
    datasets: BTreeSet<String>,
    splits: BTreeSet<String>,
}

/// Whether a folder is a task repository.
pub(super) fn is_one(folder: &Path) -> bool {
    folder.join(CONFIG).is_file() && folder.join("tasks").is_dir()
}

/// The tasks of a split: each a row, with `dockerfile` where it has one. Tasks of other splits, and
/// of data sets that are not published, are left out.
pub(super) fn tasks(
    folder: &Path,
    split: &str,
    sink: &mut dyn FnMut(&Path, Result<Row, Problem>),
) -> std::io::Result<()> {
    let config = match config(folder) {
        Ok(config) => config,
        Err(problem) => {
            sink(&folder.join(CONFIG), Err(problem));
            return Ok(());
        }
    };
    if !config.splits.contains(split) {
        let path = folder.join(CONFIG);
        let splits: Vec<_> = config.splits.into_iter().collect();
        let problem = Problem::new(&path, format!("publishes no split `{split}`"))
            .hint(format!("its splits are {}: name one with --split", splits.join(", ")));
        sink(&path, Err(problem));
        return Ok(());
    }
    let mut folders = Vec::new();
    for entry in fs_err::read_dir(folder.join("tasks"))? {
        folders.push(entry?.path());
    }
    folders.retain(|folder| folder.join(TASK).is_file());
    folders.sort();
    for folder in folders {
        let file = folder.join(TASK);
        match task(&folder) {
            Ok(fields) if is_wanted(&fields, split, &config) => {
                sink(&file, Ok(Row { place: Place::Line(1), key: None, fields }));
            }
            Ok(_) => {}
            Err(problem) => sink(&file, Err(problem)),
        }
    }
    Ok(())
}

fn is_wanted(fields: &Map<String, Value>, split: &str, config: &Config) -> bool {
    let own = fields.get("split").and_then(Value::as_str).unwrap_or(SPLIT);
    let published = match fields.get("datasets").and_then(Value::as_array) {
        Some(names) => {
            names.iter().filter_map(Value::as_str).any(|name| config.datasets.contains(name))
        }
        None => true,
    };
    own == split && published
}

fn config(folder: &Path) -> Result<Config, Problem> {
    let path = folder.join(CONFIG);
    let fields = yaml(&path)?;
    let names = |key: &str| match fields.get(key) {
        None | Some(Value::Null) => Ok(BTreeSet::new()),
        Some(Value::Array(names)) if names.iter().all(Value::is_string) => {
            Ok(names.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        }
        Some(other) => {
            let what = format!("{} where a list of names is wanted", kind(other));
            Err(Problem::new(&path, what).field(key))
        }
    };
    let (datasets, mut splits) = (names("datasets")?, names("splits")?);
    if datasets.is_empty() {
        let problem = Problem::new(&path, "names no data set").field("datasets");
        return Err(problem.hint("write the names of the data sets that the tasks belong to"));
    }
    if splits.is_empty() {
        splits.insert(SPLIT.to_owned());
    }
    Ok(Config { datasets, splits })
}

fn task(folder: &Path) -> Result<Map<String, Value>, Problem> {
    let path = folder.join(TASK);
    let mut fields = yaml(&path)?;
    // YAML takes `1.10` for a number, and a version is a text.
    if let Some(version) = fields.get("version").filter(|version| version.is_number()) {
        let what = format!("the version {version} is a number");
        return Err(Problem::new(&path, what).field("version").hint("put it in quotes"));
    }
    for (field, name) in FIELDS {
        fields.insert(field.to_owned(), text(&folder.join(name))?.into());
    }
    let hints = folder.join("hints.md");
    if hints.is_file() {
        fields.insert("hints_text".to_owned(), text(&hints)?.into());
    }
    let tests = folder.join("tests.json");
    let wrong = |why: String| Problem::new(&tests, why);
    match serde_json::from_str(&text(&tests)?) {
        Ok(Value::Object(tests)) => fields.extend(tests),
        Ok(other) => return Err(wrong(format!("{} where an object is wanted", kind(&other)))),
        Err(error) => return Err(wrong(format!("is no JSON ({error})"))),
    }
    stage(folder, &mut fields)?;
    let dockerfile = folder.join("Dockerfile");
    if dockerfile.is_file() {
        let path = std::path::absolute(&dockerfile).unwrap_or(dockerfile);
        fields.insert("dockerfile".to_owned(), path.to_string_lossy().into());
    }
    Ok(fields)
}

/// Adds the files of `test_assets` to those that `image_assets` names; they go before an address.
fn stage(folder: &Path, fields: &mut Map<String, Value>) -> Result<(), Problem> {
    let own = folder.join(ASSETS);
    if !own.is_dir() {
        return Ok(());
    }
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in walkdir::WalkDir::new(&own).sort_by_file_name() {
        let entry =
            entry.map_err(|error| Problem::new(&own, format!("cannot be read: {error}")))?;
        if entry.file_type().is_file() {
            files.push(entry.into_path());
        }
    }
    let mut assets = match fields.swap_remove("image_assets") {
        Some(Value::Object(assets)) => assets,
        Some(Value::String(text)) => serde_json::from_str(&text).unwrap_or_default(),
        _ => Map::new(),
    };
    let path_of = |file: &Path| {
        file.strip_prefix(&own).expect("the walk stays below").to_string_lossy().into_owned()
    };
    let paths: BTreeSet<String> = files.iter().map(|file| path_of(file)).collect();
    for group in ["test_patch", "patch"] {
        if let Some(Value::Array(items)) = assets.get_mut(group) {
            items.retain(|item| {
                item.get("path").and_then(Value::as_str).is_none_or(|path| !paths.contains(path))
            });
        }
    }
    let staged =
        paths.iter().map(|path| json!({ "path": path, "file": format!("{ASSETS}/{path}") }));
    let list = assets.entry("test_patch").or_insert_with(|| json!([]));
    if let Value::Array(list) = list {
        list.extend(staged);
    }
    fields.insert("image_assets".to_owned(), Value::Object(assets));
    Ok(())
}

/// The fields of a YAML file that holds a mapping.
fn yaml(path: &Path) -> Result<Map<String, Value>, Problem> {
    let text = text(path)?;
    match serde_saphyr::from_str(&text) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(other) => Err(Problem::new(path, format!("{} where a mapping is wanted", kind(&other)))),
        Err(error) => {
            let error = error.to_string();
            let error = error.lines().next().unwrap_or_default();
            Err(Problem::new(path, format!("is no YAML ({})", error.trim_start_matches("error: "))))
        }
    }
}

fn text(path: &Path) -> Result<String, Problem> {
    fs_err::read_to_string(path)
        .map_err(|error| Problem::new(path, format!("cannot be read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A repository of one task `a__b-1`, with these texts of its YAML files.
    fn repo(config: &str, task: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("tasks/a__b-1");
        fs_err::create_dir_all(own.join("test_assets/tests/data")).unwrap();
        fs_err::write(folder.path().join(CONFIG), config).unwrap();
        fs_err::write(own.join(TASK), task).unwrap();
        for (_, name) in FIELDS {
            fs_err::write(own.join(name), format!("the {name}\r\n")).unwrap();
        }
        let tests = r#"{"FAIL_TO_PASS": ["f"], "PASS_TO_PASS": ["p [1]"]}"#;
        fs_err::write(own.join("tests.json"), tests).unwrap();
        fs_err::write(own.join("Dockerfile"), "FROM scratch\n").unwrap();
        fs_err::write(own.join("test_assets/tests/data/x.bin"), [0, 1, 255]).unwrap();
        folder
    }

    fn rows(folder: &Path, split: &str) -> Vec<Result<Map<String, Value>, String>> {
        let mut rows = Vec::new();
        let mut take = |_: &Path, row: Result<Row, Problem>| {
            rows.push(row.map(|row| row.fields).map_err(|problem| problem.to_string()));
        };
        tasks(folder, split, &mut take).unwrap();
        rows
    }

    const CONFIG_TEXT: &str = "datasets:\n- o/One\n- o/Two\nsplits: [test, dev]\n";
    const TASK_TEXT: &str = "base_commit: 0123abc\ndatasets:\n- o/Two\ndifficulty: <15 min fix\n\
        image_assets:\n  test_patch:\n  - path: tests/data/x.bin\n    url: https://e.example/x\n\
        \x20 - path: other\n    url: https://e.example/o\n\
        instance_id: a__b-1\nlog_parser: parse_log_pytest\nrepo: a/b\nsplit: dev\nversion: '1.10'\n";

    #[test]
    fn a_task_is_a_row_of_all_its_files() {
        let folder = repo(CONFIG_TEXT, TASK_TEXT);
        assert!(is_one(folder.path()));
        let rows = rows(folder.path(), "dev");
        let row = rows[0].as_ref().unwrap();
        assert_eq!(
            (rows.len(), &row["version"], &row["base_commit"]),
            (1, &json!("1.10"), &json!("0123abc"))
        );
        assert_eq!(row["patch"], "the gold.patch\r\n");
        assert_eq!(row["PASS_TO_PASS"], json!(["p [1]"]));
        assert!(row["dockerfile"].as_str().unwrap().ends_with("tasks/a__b-1/Dockerfile"));
        let staged = json!([
            { "path": "other", "url": "https://e.example/o" },
            { "path": "tests/data/x.bin", "file": "test_assets/tests/data/x.bin" },
        ]);
        assert_eq!(row["image_assets"]["test_patch"], staged);
    }

    #[test]
    fn other_splits_and_what_is_not_published_are_left_out() {
        let folder = repo(CONFIG_TEXT, TASK_TEXT);
        assert_eq!(rows(folder.path(), "test").len(), 0);
        let none = rows(folder.path(), "train");
        assert!(none[0].as_ref().unwrap_err().contains("no split `train`"), "{none:?}");
        let folder = repo(CONFIG_TEXT, &TASK_TEXT.replace("o/Two", "o/Three"));
        assert_eq!(rows(folder.path(), "dev").len(), 0);
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (config, task, said) in [
            ("datasets: []", TASK_TEXT, "names no data set"),
            (CONFIG_TEXT, "a: [1\nb: 2", "no YAML"),
            (CONFIG_TEXT, "- a", "where a mapping is wanted"),
            (CONFIG_TEXT, "version: 1.10", "put it in quotes"),
        ] {
            let folder = repo(config, task);
            let rows = rows(folder.path(), "dev");
            let text = rows[0].as_ref().unwrap_err();
            assert!(text.contains(said), "{text}");
        }
    }
}
