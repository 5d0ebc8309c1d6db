//! The work tree of an instance: a checkout with a repository of its own.

use super::RepoError;
use super::history::{self, Tag};
use super::mirror::Mirror;
use crate::image::scratch::Scratch;
use fs_err as fs;
use git2::build::CheckoutBuilder;
use git2::{Oid, Repository, RepositoryInitOptions};
use std::fmt::Write as _;
use std::io;
use std::path::Path;

/// 2000-01-01, in seconds since 1970: the time of every file of a work tree. The steps of a build
/// give what they make the same time.
pub(super) const TIME: u64 = 946_684_800;

/// The branch that a work tree is on.
pub(super) const BRANCH: &str = "main";

/// A work tree in a directory of ours that is removed with this value.
pub(in crate::image) struct WorkTree {
    pub(super) dir: Scratch,
}

/// Checks out `commit` in an empty directory.
pub(in crate::image) async fn work_tree(
    mirror: &Mirror,
    commit: &str,
    dir: Scratch,
) -> Result<WorkTree, RepoError> {
    let tags = history::tags(mirror, commit).await?;
    let repository = init(dir.path())?;
    let git_dir = dir.path().join(".git");
    history::write(mirror, commit, &tags, &git_dir.join("objects/pack")).await?;
    copy_shallow(mirror, &repository, &git_dir)?;
    fs::write(git_dir.join("packed-refs"), packed_refs(&tags))?;
    // From here on the new repository is on its own: what it lacks shows now, not in a test.
    let commit = commit.to_owned();
    tokio::task::spawn_blocking(move || {
        let repository =
            Repository::open(dir.path()).map_err(RepoError::library("open the work tree"))?;
        check_out(&repository, &commit)?;
        Ok(WorkTree { dir })
    })
    .await
    .map_err(io::Error::other)?
}

/// An empty repository with the settings that all work trees share.
pub(super) fn init(path: &Path) -> Result<Repository, RepoError> {
    let failed = || RepoError::library("make the repository of a work tree");
    let mut options = RepositoryInitOptions::new();
    options.external_template(false).initial_head(BRANCH);
    let repository = Repository::init_opts(path, &options).map_err(failed())?;
    let mut config = git2::Config::open(&path.join(".git/config")).map_err(failed())?;
    for (name, value) in [
        // What a user of this machine has set must not change what is checked out.
        ("core.autocrlf", "false"),
        ("core.eol", "lf"),
        ("core.symlinks", "true"),
        ("core.filemode", "true"),
        // Layers are copied and moved: inode and change time of a file say nothing of its content.
        ("core.checkstat", "minimal"),
        ("core.trustctime", "false"),
        ("gc.auto", "0"),
    ] {
        config.set_str(name, value).map_err(failed())?;
    }
    Ok(repository)
}

fn check_out(repository: &Repository, commit: &str) -> Result<(), RepoError> {
    let failed = || RepoError::library(format!("check out {commit}"));
    let id = Oid::from_str(commit).map_err(failed())?;
    repository.reference(&format!("refs/heads/{BRANCH}"), id, true, "").map_err(failed())?;
    repository.checkout_head(Some(CheckoutBuilder::new().force())).map_err(failed())?;
    let logs = repository.path().join("logs");
    if logs.exists() {
        fs::remove_dir_all(logs)?;
    }
    Ok(())
}

fn packed_refs(tags: &[Tag]) -> String {
    let mut text = "# pack-refs with: peeled fully-peeled sorted \n".to_owned();
    for tag in tags {
        let _ = writeln!(text, "{} {}", tag.target, tag.name);
        if let Some(commit) = tag.peeled {
            let _ = writeln!(text, "^{commit}");
        }
    }
    text
}

/// The mirror of a shallow clone says where its history ends; those ends that are in our part of
/// the history have to be known here too.
fn copy_shallow(mirror: &Mirror, repository: &Repository, git_dir: &Path) -> Result<(), RepoError> {
    let Ok(all) = fs::read_to_string(mirror.path.join("shallow")) else { return Ok(()) };
    let database = repository.odb().map_err(RepoError::library("read the work tree's objects"))?;
    let ours: String = all
        .lines()
        .filter(|line| Oid::from_str(line).is_ok_and(|id| database.exists(id)))
        .flat_map(|line| [line, "\n"])
        .collect();
    if !ours.is_empty() {
        fs::write(git_dir.join("shallow"), ours)?;
    }
    Ok(())
}

impl WorkTree {
    /// Where it is.
    #[cfg(test)]
    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes it as a tar stream: owned by root, modes as git knows them, all of [`TIME`], in the
    /// order of names, so that the same commit gives the same bytes, and a file that two commits
    /// have in common is the same in both.
    pub(in crate::image) fn write_tar(&self, out: impl io::Write) -> io::Result<()> {
        let mut tar = tar::Builder::new(out);
        tar.follow_symlinks(false);
        let walk = walkdir::WalkDir::new(self.dir.path()).min_depth(1).sort_by_file_name();
        for entry in walk {
            let entry = entry.map_err(io::Error::other)?;
            let name =
                entry.path().strip_prefix(self.dir.path()).expect("the walk stays below its start");
            let metadata = entry.metadata().map_err(io::Error::other)?;
            let mut header = tar::Header::new_gnu();
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(TIME);
            if metadata.is_symlink() {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_mode(0o777);
                header.set_size(0);
                tar.append_link(&mut header, name, fs::read_link(entry.path())?)?;
            } else if metadata.is_dir() {
                header.set_entry_type(tar::EntryType::Directory);
                header.set_mode(0o755);
                header.set_size(0);
                tar.append_data(&mut header, name, io::empty())?;
            } else {
                header.set_entry_type(tar::EntryType::Regular);
                header.set_mode(mode(&metadata));
                header.set_size(metadata.len());
                tar.append_data(&mut header, name, fs::File::open(entry.path())?)?;
            }
        }
        tar.finish()
    }
}

fn mode(metadata: &std::fs::Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    let executable = metadata.permissions().mode() & 0o100 != 0;
    if executable { 0o755 } else { 0o644 }
}
