//! The objects of one commit's history, as a chain of packs.
//!
//! A pack of all history for every instance would cost as much as the repository each time. So the
//! history is cut at milestones, every [`SPAN`]th commit of the first-parent line counted from its
//! root: commits of one line share milestones. Pack k holds what milestone k reaches and milestone
//! k-1 does not; it is written once and kept with the mirror. The last pack holds the rest, up to
//! the commit. Nothing of any of them is unreachable from the commit, so nothing in them is later.

use super::RepoError;
use super::git::git;
use super::mirror::Mirror;
use crate::image::once::lock;
use fs_err as fs;
use git2::Oid;
use std::path::{Path, PathBuf};

/// Commits of the first-parent line between two milestones.
const SPAN: usize = if cfg!(test) { 3 } else { 2000 };

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
    let milestones = milestones(mirror, commit).await?;
    let kept = mirror.path.join("evalrun-packs");
    fs::create_dir_all(&kept)?;
    let mut below: Option<String> = None;
    for milestone in milestones {
        for file in milestone_pack(mirror, &kept, &milestone, below.as_deref()).await? {
            let name = file.file_name().expect("a pack has a name");
            link(&file, &into.join(name))?;
        }
        below = Some(milestone);
    }
    let mut wanted = format!("{commit}\n");
    for tag in tags.iter().filter(|tag| tag.peeled.is_some()) {
        wanted.push_str(&format!("{}\n", tag.target));
    }
    pack(mirror, &wanted, below.as_deref(), into).await
}

/// The git command walks here: libgit2 does not stop where a shallow history ends.
async fn milestones(mirror: &Mirror, commit: &str) -> Result<Vec<String>, RepoError> {
    let listed =
        git(&mirror.path, &["rev-list", "--first-parent", "--reverse", commit], "").await?;
    let mut line: Vec<&str> = listed.lines().collect();
    line.pop();
    Ok(line.iter().skip(SPAN - 1).step_by(SPAN).map(|&id| id.to_owned()).collect())
}

/// The pack and its index from the milestone below up to this one.
async fn milestone_pack(
    mirror: &Mirror,
    kept: &Path,
    milestone: &str,
    below: Option<&str>,
) -> Result<Vec<PathBuf>, RepoError> {
    let folder = kept.join(format!("{milestone}-{}", below.unwrap_or("root")));
    if !folder.exists() {
        let _lock = lock(&kept.join("lock")).await?;
        if !folder.exists() {
            sweep(kept)?;
            let aside = tempfile::tempdir_in(kept)?;
            pack(mirror, &format!("{milestone}\n"), below, aside.path()).await?;
            fs::rename(aside.keep(), &folder)?;
        }
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder)? {
        files.push(entry?.path());
    }
    files.sort();
    Ok(files)
}

/// Removes what a killed process was writing. The caller holds the lock, so nobody is at it now.
fn sweep(kept: &Path) -> Result<(), RepoError> {
    for entry in fs::read_dir(kept)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".tmp")) {
            fs::remove_dir_all(&path)?;
        }
    }
    Ok(())
}

async fn pack(
    mirror: &Mirror,
    wanted: &str,
    below: Option<&str>,
    into: &Path,
) -> Result<(), RepoError> {
    let mut revisions = wanted.to_owned();
    if let Some(below) = below {
        revisions.push_str(&format!("^{below}\n"));
    }
    let base = into.join("pack").to_string_lossy().into_owned();
    let args = ["pack-objects", "-q", "--revs", "--delta-base-offset", "--non-empty", &base];
    git(&mirror.path, &args, &revisions).await?;
    Ok(())
}

fn link(from: &Path, to: &Path) -> Result<(), RepoError> {
    if fs::hard_link(from, to).is_err() {
        fs::copy(from, to)?;
    }
    Ok(())
}
