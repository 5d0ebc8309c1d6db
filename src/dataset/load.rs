//! From a name or a path to a data set: which files hold the rows, and all of them resolved.

use super::error::{DatasetError, Place, Problem, Problems};
use super::instance::Resolver;
use super::names::{self, HubId, Location};
use super::read::{self, Format};
use super::recipe::Recipes;
use super::{Dataset, LoadOptions, dialect, digest, hub, task_repo};
use crate::model::Instance;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The split taken where nothing names one.
const DEFAULT_SPLIT: &str = "test";

/// `dataset.toml` of a dataset directory.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    name: String,
    rows: PathBuf,
    envs: Option<PathBuf>,
    split: Option<String>,
}

/// Files of rows, and what goes with them.
struct Rows {
    name: String,
    split: String,
    files: Vec<PathBuf>,
    envs: Vec<PathBuf>,
    directory: Option<PathBuf>,
}

/// Told of every instance, with the row it was made of, in the 5.x format as far as the row goes.
pub(super) type Keep<'a> = dyn FnMut(Map<String, Value>, &Instance) + Send + 'a;

pub(super) async fn load(spec: &str, options: &LoadOptions) -> Result<Dataset, DatasetError> {
    let rows = find(spec, options).await?;
    read_all(rows, options, None)
}

pub(super) async fn load_with(
    spec: &str,
    options: &LoadOptions,
    keep: &mut Keep<'_>,
) -> Result<Dataset, DatasetError> {
    let rows = find(spec, options).await?;
    read_all(rows, options, Some(keep))
}

/// The files that hold the rows.
async fn find(spec: &str, options: &LoadOptions) -> Result<Rows, DatasetError> {
    let (name, location) = names::resolve(spec, &options.registry)?;
    match location {
        Location::Hub(wanted) => from_hub(name, wanted, options).await,
        Location::Disk(path) if path.is_dir() => from_directory(name, &path, options),
        Location::Disk(path) => Ok(Rows {
            name,
            split: options.split.clone().unwrap_or_else(|| DEFAULT_SPLIT.to_owned()),
            files: vec![path],
            envs: options.envs.clone(),
            directory: None,
        }),
    }
}

async fn from_hub(
    name: String,
    wanted: HubId,
    options: &LoadOptions,
) -> Result<Rows, DatasetError> {
    let split = options.split.clone().unwrap_or_else(|| wanted.split.clone());
    let files = hub::fetch(&wanted, &split, options).await?;
    Ok(Rows { name, split, files, envs: options.envs.clone(), directory: None })
}

fn from_directory(name: String, path: &Path, options: &LoadOptions) -> Result<Rows, DatasetError> {
    if path.join("dataset.toml").is_file() {
        return from_manifest(path, options);
    }
    if task_repo::is_one(path) || dialect::holds_tasks(path) {
        let split = options.split.clone().unwrap_or_else(|| DEFAULT_SPLIT.to_owned());
        let (files, envs) = (vec![path.to_owned()], options.envs.clone());
        return Ok(Rows { name, split, files, envs, directory: None });
    }
    let split = options.split.clone().unwrap_or_else(|| DEFAULT_SPLIT.to_owned());
    let folders = [path.to_owned(), path.join("data")];
    let mut names = Vec::new();
    for folder in folders.iter().filter(|folder| folder.is_dir()) {
        let listed = fs_err::read_dir(folder)?;
        for entry in listed {
            names.push(entry?.path());
        }
    }
    names.retain(|file| Format::of(file).is_some());
    names.sort();
    let files = pick_split(&names, &split);
    if files.is_empty() {
        let found: Vec<_> = splits(&names).into_iter().collect();
        let problem = Problem::new(path, format!("holds no file of the split `{split}`"));
        let hint = if found.is_empty() {
            "a folder of rows holds <split>.parquet (or .jsonl, .json, .csv), or a dataset.toml"
                .to_owned()
        } else {
            format!("its splits are {}: name one with --split", found.join(", "))
        };
        return Err(problem.hint(hint).into());
    }
    Ok(Rows { name, split, files, envs: options.envs.clone(), directory: None })
}

/// The files of a split, of the first format that has any: `<split>.<end>`, or the parts
/// `<split>-00000-of-00001.<end>`.
fn pick_split(names: &[PathBuf], split: &str) -> Vec<PathBuf> {
    let formats = [Format::Parquet, Format::JsonLines, Format::Json, Format::Csv];
    let of_format = |format| {
        let fits = |file: &&PathBuf| Format::of(file) == Some(format) && split_of(file) == split;
        names.iter().filter(fits).cloned().collect::<Vec<_>>()
    };
    formats.into_iter().map(of_format).find(|files| !files.is_empty()).unwrap_or_default()
}

/// The splits that these files are of.
pub(super) fn splits(names: &[PathBuf]) -> std::collections::BTreeSet<String> {
    names.iter().map(|file| split_of(file)).collect()
}

fn split_of(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let parts: Vec<_> = stem.rsplitn(4, '-').collect();
    let digits = |part: &str| part.len() == 5 && part.bytes().all(|byte| byte.is_ascii_digit());
    match parts.as_slice() {
        [last, "of", first, split] if digits(last) && digits(first) => (*split).to_owned(),
        _ => stem.into_owned(),
    }
}

fn from_manifest(folder: &Path, options: &LoadOptions) -> Result<Rows, DatasetError> {
    let path = folder.join("dataset.toml");
    let text = fs_err::read_to_string(&path)
        .map_err(|error| Problem::new(&path, format!("cannot be read: {error}")))?;
    let manifest: Manifest = toml::from_str(&text).map_err(|error| {
        let line = error.span().map(|span| {
            Place::Line(text[..span.start.min(text.len())].matches('\n').count() as u64 + 1)
        });
        Problem::new(&path, error.message().trim_end())
            .at(line)
            .hint("the keys are `name`, `rows`, `envs` and `split`")
    })?;
    let mut envs = Vec::new();
    if let Some(own) = &manifest.envs {
        let own = folder.join(own);
        if !own.is_dir() {
            let what = format!("no such directory: {}", own.display());
            return Err(Problem::new(&path, what).field("envs").into());
        }
        envs.push(own);
    }
    envs.extend(options.envs.iter().cloned());
    let own_split = manifest.split.unwrap_or_else(|| DEFAULT_SPLIT.to_owned());
    if let Some(split) = options.split.as_ref().filter(|split| **split != own_split) {
        let what = format!("has no split `{split}`");
        let hint = format!("its only split is `{own_split}`: leave --split out");
        return Err(Problem::new(&path, what).hint(hint).into());
    }
    Ok(Rows {
        name: manifest.name,
        split: own_split,
        files: vec![folder.join(manifest.rows)],
        envs,
        directory: Some(folder.to_owned()),
    })
}

fn read_all(
    rows: Rows,
    options: &LoadOptions,
    mut keep: Option<&mut Keep<'_>>,
) -> Result<Dataset, DatasetError> {
    let mut problems = Problems::default();
    let mut found = Problems::default();
    let mut resolver = Resolver {
        recipes: Recipes::new(rows.envs),
        known_parser: options.known_parser,
        problems: &mut found,
        seen: HashMap::new(),
    };
    let mut instances: Vec<Instance> = Vec::new();
    for file in &rows.files {
        let mut count = 0;
        let mut take = |file: &Path, row: Result<read::Row, Problem>| {
            count += 1;
            let row = match row {
                Ok(row) => row,
                Err(problem) => return resolver.problems.push(problem),
            };
            let Some(row) = dialect::translate(file, row, resolver.problems) else { return };
            let kept = keep.is_some().then(|| row.fields.clone());
            if let Some(instance) = resolver.instance(file, row) {
                if let (Some(keep), Some(kept)) = (&mut keep, kept) {
                    keep(kept, &instance);
                }
                instances.push(instance);
            }
        };
        match file.is_dir() {
            true if task_repo::is_one(file) => task_repo::tasks(file, &rows.split, &mut take)?,
            true => dialect::tasks(file, &mut take)?,
            false => read::rows(file, &mut |row| take(file, row)),
        }
        if count == 0 {
            let problem = Problem::new(file, "holds no row");
            resolver.problems.push(problem.hint("the file is empty: copy or download it again"));
        }
    }
    // What is wrong with a recipe comes first: problems of rows may follow from it.
    problems.append(resolver.recipes.into_problems());
    problems.append(found);
    problems.ok()?;
    Ok(Dataset {
        name: rows.name,
        split: rows.split,
        digest: digest::dataset_digest(&instances),
        ids: Arc::new(instances.iter().map(|instance| instance.id.clone()).collect()),
        instances,
        directory: rows.directory,
    })
}
