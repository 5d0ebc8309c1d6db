//! Recipes: the files that say how the environments of a repository are built
//! (`configs/envs/<owner>__<repo>.toml`).

mod forms;
mod parse;

use super::embedded;
use super::error::{DatasetError, Problem, Problems};
use crate::model::EnvSpec;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A recipe file, read and checked.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// The repository, as `owner/name`.
    pub repo: String,
    /// Where it was read, for messages.
    pub path: PathBuf,
    entries: Vec<Entry>,
}

/// One `[[env]]`: what it says once the defaults are filled in.
#[derive(Clone, Debug)]
struct Entry {
    versions: Vec<String>,
    spec: EnvSpec,
}

impl Recipe {
    /// Reads a recipe file. Paths in it are relative to its folder.
    ///
    /// # Errors
    /// [`DatasetError`] with every problem of the file.
    pub fn read(path: &Path) -> Result<Self, DatasetError> {
        let text = match fs_err::read(path) {
            Ok(bytes) => String::from_utf8(bytes)
                .map_err(|_| Problem::new(path, "the text is not valid UTF-8")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(Problem::new(path, "no such file"))
            }
            Err(error) => Err(Problem::new(path, format!("cannot be read: {error}"))),
        }?;
        let folder = path.parent().unwrap_or(Path::new("."));
        // Builds run elsewhere: a relative path must not depend on where evalrun was started.
        let folder = std::path::absolute(folder)?;
        Ok(parse::parse(path, &text, Some(&folder))?)
    }

    /// The recipe of this version: the entry that names it, else the one for `*`.
    #[must_use]
    pub fn version(&self, version: &str) -> Option<EnvSpec> {
        let named = |wanted: &str| {
            self.entries.iter().find(|entry| entry.versions.iter().any(|name| name == wanted))
        };
        let entry = named(version).or_else(|| named("*"))?;
        let origin = format!("{}, version {version}", self.path.display());
        Some(EnvSpec { origin, ..entry.spec.clone() })
    }

    /// Every version named, `*` included, in the order of the file.
    pub fn versions(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().flat_map(|entry| entry.versions.iter().map(String::as_str))
    }
}

/// Checks a recipe file.
///
/// # Errors
/// [`DatasetError`] with every problem of the file.
pub fn validate(path: &Path) -> Result<(), DatasetError> {
    let recipe = Recipe::read(path)?;
    let wanted = file_name(&recipe.repo);
    if path.file_name().is_none_or(|name| name != wanted.as_str()) {
        return Err(misnamed(path, &recipe.repo, &wanted).into());
    }
    Ok(())
}

/// The name of the file that holds the recipe of a repository.
#[must_use]
pub fn file_name(repo: &str) -> String {
    format!("{}.toml", repo.replace('/', "__"))
}

fn misnamed(path: &Path, repo: &str, wanted: &str) -> Problem {
    Problem::new(path, format!("the file is for `{repo}` and has another name"))
        .field("repo")
        .hint(format!("name the file `{wanted}`, or mend `repo`"))
}

/// The recipes of some folders, and after them those inside the program; each file is read once,
/// when it is first asked for.
#[derive(Debug)]
pub(super) struct Recipes {
    folders: Vec<PathBuf>,
    read: HashMap<String, Vec<Recipe>>,
    resolved: HashMap<(String, String), Option<Arc<EnvSpec>>>,
    problems: Problems,
}

impl Recipes {
    /// Those of these folders, looked through in order. A folder that does not exist is empty.
    pub(super) fn new(folders: Vec<PathBuf>) -> Self {
        Self {
            folders,
            read: HashMap::new(),
            resolved: HashMap::new(),
            problems: Problems::default(),
        }
    }

    /// The recipe of a version of a repository: of the first folder that has one for it.
    pub(super) fn find(&mut self, repo: &str, version: &str) -> Option<Arc<EnvSpec>> {
        let key = (repo.to_owned(), version.to_owned());
        if let Some(found) = self.resolved.get(&key) {
            return found.clone();
        }
        let found =
            self.files(repo).iter().find_map(|recipe| recipe.version(version)).map(Arc::new);
        self.resolved.insert(key, found.clone());
        found
    }

    /// Why [`Recipes::find`] has none, as a hint.
    pub(super) fn remedy(&mut self, repo: &str) -> String {
        let name = file_name(repo);
        let known = self.files(repo).iter().map(|recipe| {
            let versions: Vec<_> = recipe.versions().collect();
            format!("{} knows {}", recipe.path.display(), versions.join(", "))
        });
        let known: Vec<_> = known.collect();
        if known.is_empty() {
            format!("give the row an `image`, or write a recipe `configs/envs/{name}`")
        } else {
            format!("{}; add the version there, or give the row an `image`", known.join("; "))
        }
    }

    /// What is wrong with the files read so far.
    pub(super) fn into_problems(self) -> Problems {
        self.problems
    }

    fn files(&mut self, repo: &str) -> &[Recipe] {
        if !self.read.contains_key(repo) {
            let name = file_name(repo);
            let mut found = Vec::new();
            for folder in &self.folders {
                let path = folder.join(&name);
                if !path.is_file() {
                    continue;
                }
                match Recipe::read(&path) {
                    Ok(recipe) if recipe.repo == repo => found.push(recipe),
                    Ok(recipe) => {
                        self.problems.push(misnamed(&path, &recipe.repo, &file_name(&recipe.repo)))
                    }
                    Err(error) => self.problems.extend(error, &path),
                }
            }
            if let Some(text) = embedded::recipe(&name) {
                let path = Path::new("(built in)").join(&name);
                match parse::parse(&path, text, None) {
                    Ok(recipe) => found.push(recipe),
                    Err(problems) => self.problems.extend(problems.into(), &path),
                }
            }
            self.read.insert(repo.to_owned(), found);
        }
        &self.read[repo]
    }
}

#[cfg(test)]
mod tests;
