//! The requirement files of a commit, as one text.

use super::RepoError;
use super::mirror::Mirror;
use git2::{Oid, Tree};
use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

/// The lines of these files at `commit`, in order. Files that are not there are left out; files that
/// one names by `-r` take the place of that line; lines that name the project itself are left out,
/// because it is not there yet.
pub(in crate::image) fn requirements_text(
    mirror: &Mirror,
    commit: &str,
    paths: &[String],
) -> Result<String, RepoError> {
    let failed = || RepoError::library(format!("read the requirements at {commit}"));
    let repository = mirror.open()?;
    let id = Oid::from_str(commit).map_err(failed())?;
    let tree = repository.find_commit(id).and_then(|c| c.tree()).map_err(failed())?;
    let read = |path: &Path| file(&repository, &tree, path);
    let mut text = String::new();
    let mut seen = HashSet::new();
    for path in paths {
        add(&read, Path::new(path), &mut seen, &mut text);
    }
    Ok(text)
}

fn file(repository: &git2::Repository, tree: &Tree<'_>, path: &Path) -> Option<String> {
    let entry = tree.get_path(path).ok()?;
    let blob = entry.to_object(repository).ok()?.into_blob().ok()?;
    Some(String::from_utf8_lossy(blob.content()).into_owned())
}

fn add(
    read: &dyn Fn(&Path) -> Option<String>,
    path: &Path,
    seen: &mut HashSet<PathBuf>,
    text: &mut String,
) {
    if !seen.insert(path.to_owned()) {
        return;
    }
    let Some(content) = read(path) else {
        text.push_str(&format!("# {}: not there\n", path.display()));
        return;
    };
    text.push_str(&format!("# {}\n", path.display()));
    for line in content.lines().map(str::trim) {
        if let Some(other) = included(line) {
            let folder = path.parent().unwrap_or(Path::new(""));
            add(read, &normal(&folder.join(other)), seen, text);
        } else if line.starts_with("types-pkg_resources") {
            // Withdrawn from the index in favour of this one.
            text.push_str("types-setuptools\n");
        } else if !names_the_project(line) {
            text.push_str(line);
            text.push('\n');
        }
    }
}

fn included(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("--requirement").or_else(|| line.strip_prefix("-r"))?;
    Some(rest.trim_start_matches(['=', ' ', '\t']).trim())
}

fn names_the_project(line: &str) -> bool {
    let target = line
        .strip_prefix("--editable")
        .or_else(|| line.strip_prefix("-e"))
        .map_or(line, |rest| rest.trim_start_matches(['=', ' ', '\t']));
    target == "."
        || target.starts_with(".[")
        || target.starts_with("./")
        || target.starts_with("file:")
}

/// `a/../b` is `b`: a tree of git knows no `..`.
fn normal(path: &Path) -> PathBuf {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                parts.pop();
            }
            Component::Normal(name) => parts.push(name),
            _ => {}
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::add;
    use std::collections::HashSet;
    use std::path::Path;

    #[test]
    fn included_files_take_the_place_of_their_line() {
        let read = |path: &Path| match path.to_str()? {
            "tests/all.txt" => {
                Some("a==1\n-r ../base.txt\n-e .\n.[extra]\n-r all.txt\nb".to_owned())
            }
            "base.txt" => Some("# why\nc>=2".to_owned()),
            _ => None,
        };
        let mut text = String::new();
        let mut seen = HashSet::new();
        add(&read, Path::new("tests/all.txt"), &mut seen, &mut text);
        add(&read, Path::new("none.txt"), &mut seen, &mut text);
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(lines, ["a==1", "c>=2", "b"]);
    }
}
