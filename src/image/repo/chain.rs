//! The packs of a repository's history, as a chain from the oldest commit that images are made of
//! to the newest.
//!
//! A pack of all history for every instance would cost as much as the repository each time. So the
//! history is cut at *points*: the commits that are known to be wanted, and every [`SPAN`]th commit
//! of a first-parent line counted from its root, so that what is wanted later has something to
//! stand on. The link of a point is a pack of what the point reaches and the nearest point before
//! it does not. It is written once, kept with the mirror, and is the same file in every image that
//! has it. A commit's history is its link and those of the points before it, each an ancestor of
//! the next: all of it can be reached from the commit, so nothing in it is later.

use super::RepoError;
use super::git::git;
use super::mirror::Mirror;
use crate::image::once::lock;
use fs_err as fs;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Commits of the first-parent line between two points that nobody asked for.
const SPAN: usize = if cfg!(test) { 3 } else { 2000 };

/// Points that are kept with a mirror. An image has as many packs as there are points before its
/// commit, and git looks through them one after the other.
const MOST_LINKS: usize = if cfg!(test) { 8 } else { 96 };

/// Of the points nearest by date, how many are compared.
const COMPARED: usize = 4;

/// The word for "no point" in the name of a link.
const ROOT: &str = "root";

/// The packs and indexes of the history of `commit`, the oldest first, and whether the commit has a
/// link of its own; where it has none, what is missing is what is between the last point and it.
pub(super) struct Chain {
    /// Files that are kept with the mirror.
    pub(super) files: Vec<PathBuf>,
    /// The last point, if there is one.
    pub(super) last: Option<String>,
}

/// The chain up to `commit`, or as near to it as there are points. `wanted`: commits that images
/// will be made of; those that are not in the mirror do not count.
pub(super) async fn chain(
    mirror: &Mirror,
    commit: &str,
    wanted: &BTreeSet<String>,
) -> Result<Chain, RepoError> {
    let kept = mirror.path.join("evalrun-packs");
    fs::create_dir_all(&kept)?;
    if let Some(path) = known(&links(&kept)?, commit) {
        return files(&kept, &path);
    }
    let _lock = lock(&kept.join("lock")).await?;
    sweep(&kept)?;
    let mut links = links(&kept)?;
    let mut points: BTreeSet<String> = links.keys().cloned().collect();
    points.extend(milestones(mirror, commit).await?);
    let room = MOST_LINKS.saturating_sub(points.len());
    points.extend(chosen(mirror, wanted, room)?);
    // From the commit down to a point whose link is there, then up again.
    let mut missing = Vec::new();
    let mut at = commit.to_owned();
    while known(&links, &at).is_none() {
        let below = nearest(mirror, &at, &points).await?;
        missing.push((at, below.clone()));
        match below {
            Some(below) => at = below,
            None => break,
        }
    }
    while let Some((point, below)) = missing.pop() {
        if point == commit && !points.contains(commit) {
            let path = below.as_ref().and_then(|below| known(&links, below)).unwrap_or_default();
            return files(&kept, &path);
        }
        let below = below.unwrap_or_else(|| ROOT.to_owned());
        make(mirror, &kept, &point, &below).await?;
        links.insert(point, below);
    }
    files(&kept, &known(&links, commit).expect("its link was made just now"))
}

/// Writes a pack of what `wanted` reaches and `without` does not.
pub(super) async fn pack(
    mirror: &Mirror,
    wanted: &[String],
    without: Option<&str>,
    into: &Path,
) -> Result<(), RepoError> {
    let mut revisions: String = wanted.iter().map(|id| format!("{id}\n")).collect();
    if let Some(without) = without {
        revisions.push_str(&format!("^{without}\n"));
    }
    let base = into.join("pack").to_string_lossy().into_owned();
    let args = ["pack-objects", "-q", "--revs", "--delta-base-offset", "--non-empty", &base];
    git(&mirror.path, &args, &revisions).await?;
    Ok(())
}

/// The links that are there: each point and the one below it.
fn links(kept: &Path) -> Result<BTreeMap<String, String>, RepoError> {
    let mut links = BTreeMap::new();
    for entry in fs::read_dir(kept)? {
        let name = entry?.file_name();
        if let Some((point, below)) = name.to_str().and_then(|name| name.split_once('-')) {
            links.insert(point.to_owned(), below.to_owned());
        }
    }
    Ok(links)
}

/// The names of the links from the root up to `commit`, if all of them are there.
fn known(links: &BTreeMap<String, String>, commit: &str) -> Option<Vec<String>> {
    let mut path = Vec::new();
    let mut at = commit;
    while at != ROOT {
        let below = links.get(at).filter(|_| path.len() <= links.len())?;
        path.push(format!("{at}-{below}"));
        at = below;
    }
    path.reverse();
    Some(path)
}

fn files(kept: &Path, path: &[String]) -> Result<Chain, RepoError> {
    let mut files = Vec::new();
    for link in path {
        let mut of_link = Vec::new();
        for entry in fs::read_dir(kept.join(link))? {
            of_link.push(entry?.path());
        }
        of_link.sort();
        files.append(&mut of_link);
    }
    let last = path.last().and_then(|link| link.split_once('-'));
    Ok(Chain { files, last: last.map(|(point, _)| point.to_owned()) })
}

/// The git command walks here: libgit2 does not stop where a shallow history ends.
async fn milestones(mirror: &Mirror, commit: &str) -> Result<Vec<String>, RepoError> {
    let listed =
        git(&mirror.path, &["rev-list", "--first-parent", "--reverse", commit], "").await?;
    let mut line: Vec<&str> = listed.lines().collect();
    line.pop();
    Ok(line.iter().skip(SPAN - 1).step_by(SPAN).map(|&id| id.to_owned()).collect())
}

/// Of the wanted commits that are here, at most so many, evenly over time.
fn chosen(
    mirror: &Mirror,
    wanted: &BTreeSet<String>,
    most: usize,
) -> Result<Vec<String>, RepoError> {
    let repository = mirror.open()?;
    let mut dated: Vec<(i64, &String)> = wanted
        .iter()
        .filter_map(|id| {
            let commit = repository.find_commit(git2::Oid::from_str(id).ok()?).ok()?;
            Some((commit.time().seconds(), id))
        })
        .collect();
    dated.sort_unstable();
    if most == 0 {
        return Ok(Vec::new());
    }
    let step = dated.len().div_ceil(most).max(1);
    Ok(dated.into_iter().step_by(step).map(|(_, id)| id.clone()).collect())
}

/// The point among the ancestors of `commit` from which the fewest commits lead to it.
async fn nearest(
    mirror: &Mirror,
    commit: &str,
    points: &BTreeSet<String>,
) -> Result<Option<String>, RepoError> {
    let listed = git(&mirror.path, &["rev-list", commit], "").await?;
    // By date, the latest first: the nearest is among the first that are met.
    let met = listed.lines().skip(1).filter(|id| points.contains(*id)).take(COMPARED);
    let mut best: Option<(u64, &str)> = None;
    for point in met {
        let range = format!("{point}..{commit}");
        let counted = git(&mirror.path, &["rev-list", "--count", &range], "").await?;
        let count = counted.trim().parse().unwrap_or(u64::MAX);
        if best.is_none_or(|(least, _)| count < least) {
            best = Some((count, point));
        }
    }
    Ok(best.map(|(_, point)| point.to_owned()))
}

async fn make(mirror: &Mirror, kept: &Path, point: &str, below: &str) -> Result<(), RepoError> {
    let aside = tempfile::tempdir_in(kept)?;
    let without = (below != ROOT).then_some(below);
    pack(mirror, &[point.to_owned()], without, aside.path()).await?;
    fs::rename(aside.keep(), kept.join(format!("{point}-{below}")))?;
    Ok(())
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
