//! Names: from what the user writes to files on disk or on the hub, through
//! `datasets/registry.toml`.

use super::error::{DatasetError, Place, Problem};
use super::{embedded, nearest};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A name of the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The name.
    pub name: String,
    /// What it is, in a sentence.
    pub about: String,
    /// Where its rows are.
    pub location: Location,
}

/// Where the rows of a data set are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// On this machine: a file, a directory of `<split>` files, or a dataset directory.
    Disk(PathBuf),
    /// On the hub.
    Hub(HubId),
}

/// A data set of the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubId {
    /// `owner/name`.
    pub id: String,
    /// Branch, tag or commit.
    pub revision: String,
    /// The split taken where none is asked for.
    pub split: String,
    /// Globs over its files, `{split}` standing for the split; empty: the hub's custom.
    pub files: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase", tag = "kind")]
enum Entry {
    Hub {
        about: String,
        id: String,
        #[serde(default = "main_branch")]
        revision: String,
        #[serde(default = "test_split")]
        split: String,
        #[serde(default)]
        files: Vec<String>,
    },
    Directory {
        about: String,
        path: PathBuf,
    },
}

fn main_branch() -> String {
    "main".to_owned()
}

fn test_split() -> String {
    "test".to_owned()
}

/// The names of a registry file, in order; of the one inside the program, where the file does not
/// exist.
///
/// # Errors
/// [`DatasetError`] if the file cannot be read or is malformed.
pub fn registry(path: &Path) -> Result<Vec<Named>, DatasetError> {
    let read = match fs_err::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            return Err(Problem::new(path, format!("cannot be read: {error}")).into());
        }
    };
    let text = read.as_deref().unwrap_or(embedded::registry());
    let entries: BTreeMap<String, Entry> = toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| {
            let before = &text.as_bytes()[..span.start.min(text.len())];
            Place::Line(memchr::memchr_iter(b'\n', before).count() as u64 + 1)
        });
        Problem::new(path, error.message().trim_end())
            .at(line)
            .hint("the file itself tells which keys an entry has")
    })?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let named = entries.into_iter().filter_map(|(name, entry)| {
        let (about, location) = match entry {
            Entry::Hub { about, id, revision, split, files } => {
                (about, Location::Hub(HubId { id, revision, split, files }))
            }
            // The copy inside the program has no folder to look in.
            Entry::Directory { .. } if read.is_none() => return None,
            Entry::Directory { about, path } => (about, Location::Disk(folder.join(path))),
        };
        Some(Named { name, about, location })
    });
    Ok(named.collect())
}

/// What a spec stands for: a name of the registry, a path, an id of the hub, in this order.
pub(super) fn resolve(
    spec: &str,
    registry_file: &Path,
) -> Result<(String, Location), DatasetError> {
    let names = registry(registry_file)?;
    if let Some(named) = names.iter().find(|named| named.name.eq_ignore_ascii_case(spec)) {
        return Ok((named.name.clone(), named.location.clone()));
    }
    let path = Path::new(spec);
    if path.exists() {
        return Ok((stem(path), Location::Disk(path.to_owned())));
    }
    if super::is_repo(spec) && super::read::Format::of(path).is_none() && !spec.starts_with('.') {
        let hub = HubId {
            id: spec.to_owned(),
            revision: main_branch(),
            split: test_split(),
            files: Vec::new(),
        };
        return Ok((spec.to_owned(), Location::Hub(hub)));
    }
    let known: Vec<_> = names.iter().map(|named| named.name.as_str()).collect();
    let problem = if spec.contains('/') || super::read::Format::of(path).is_some() {
        Problem::new(spec, "no such file or directory").hint("check the path")
    } else {
        let hint = match nearest::nearest(spec, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the names are {}; an id of the hub is `owner/name`", known.join(", ")),
        };
        Problem::new(spec, "no such file, directory or name of a data set").hint(hint)
    };
    Err(problem.into())
}

fn stem(path: &Path) -> String {
    let named = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let stem = if path.is_dir() { named.file_name() } else { named.file_stem() };
    stem.map_or_else(|| "dataset".to_owned(), |stem| stem.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_inside_the_program_knows_the_benchmarks() {
        let names = registry(Path::new("/nowhere/registry.toml")).unwrap();
        let hub = |wanted: &str| {
            let named = names.iter().find(|named| named.name == wanted).unwrap();
            match &named.location {
                Location::Hub(hub) => hub.id.clone(),
                Location::Disk(_) => panic!("{wanted} is on disk"),
            }
        };
        assert_eq!(hub("verified"), "SWE-bench/SWE-bench_Verified");
        for name in ["lite", "full", "multilingual", "multimodal"] {
            assert!(hub(name).starts_with("SWE-bench/"));
        }
    }

    #[test]
    fn names_paths_and_ids_are_told_apart() {
        let file = Path::new("/nowhere/registry.toml");
        let kind = |spec: &str| resolve(spec, file).map(|(_, location)| location);
        assert!(matches!(kind("Verified"), Ok(Location::Hub(hub)) if hub.split == "test"));
        assert!(matches!(kind("some/thing"), Ok(Location::Hub(hub)) if hub.id == "some/thing"));
        assert!(matches!(kind("src"), Ok(Location::Disk(_))));
        let said = |spec: &str| kind(spec).unwrap_err().to_string();
        assert!(said("verfied").contains("did you mean `verified`?"));
        assert!(said("xyzzy").contains("the names are"));
        assert!(said("some/rows.jsonl").contains("no such file"));
        assert!(said("./a/b").contains("no such file"));
    }
}
