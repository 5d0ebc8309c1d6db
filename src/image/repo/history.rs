//! The objects and tags of one commit's history.

use super::git::git;
use super::mirror::Mirror;
use super::{RepoError, chain};
use fs_err as fs;
use git2::Oid;
use std::path::Path;

/// A tag that is an ancestor.
pub(super) struct Tag {
    /// `refs/tags/…`.
    pub(super) name: String,
    /// What the name points to: a commit or a tag object.
    pub(super) target: Oid,
    /// The commit, if `target` is a tag object.
    pub(super) peeled: Option<Oid>,
}

/// The tags that `commit` is or descends from, by name.
pub(super) async fn tags(mirror: &Mirror, commit: &str) -> Result<Vec<Tag>, RepoError> {
    let merged = format!("--merged={commit}");
    let format = "--format=%(objectname) %(*objectname) %(refname)";
    let listed = git(&mirror.path, &["for-each-ref", &merged, format, "refs/tags"], "").await?;
    let mut tags = Vec::new();
    for line in listed.lines() {
        let mut fields = line.splitn(3, ' ');
        let (Some(target), Some(peeled), Some(name)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let Ok(target) = Oid::from_str(target) else { continue };
        let peeled = if peeled.is_empty() { None } else { Oid::from_str(peeled).ok() };
        tags.push(Tag { name: name.to_owned(), target, peeled });
    }
    Ok(tags)
}

/// Writes the packs of the history of `commit` into `into`, an `objects/pack` directory.
pub(super) async fn write(
    mirror: &Mirror,
    commit: &str,
    tags: &[Tag],
    into: &Path,
) -> Result<(), RepoError> {
    let wanted = mirror.wanted.clone();
    let chain = chain::chain(mirror, commit, &wanted).await?;
    for file in &chain.files {
        let name = file.file_name().expect("a pack has a name");
        link(file, &into.join(name))?;
    }
    if chain.last.as_deref() != Some(commit) {
        chain::pack(mirror, &[commit.to_owned()], chain.last.as_deref(), into).await?;
    }
    // By themselves: the tags of a commit may become more, its link stays as it is.
    let named: Vec<String> =
        tags.iter().filter(|tag| tag.peeled.is_some()).map(|tag| tag.target.to_string()).collect();
    if !named.is_empty() {
        chain::pack(mirror, &named, Some(commit), into).await?;
    }
    Ok(())
}

fn link(from: &Path, to: &Path) -> Result<(), RepoError> {
    if fs::hard_link(from, to).is_err() {
        fs::copy(from, to)?;
    }
    Ok(())
}
