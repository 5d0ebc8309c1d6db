//! Repositories of one commit, made from files that have no history.

use super::RepoError;
use super::tree::{self, BRANCH, TIME, WorkTree};
use crate::image::scratch::Scratch;
use crate::model::{Digest, DigestBuilder};
use fs_err as fs;
use git2::{IndexAddOption, Repository, Signature, Time};
use sha2::{Digest as _, Sha256};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use walkdir::{DirEntry, WalkDir};

/// A copy of a directory in an empty one, as a repository of one commit. Any `.git` in it is left out.
pub(in crate::image) fn work_tree_of_directory(
    source: &Path,
    dir: Scratch,
) -> Result<WorkTree, RepoError> {
    for entry in walk(source) {
        let entry = entry.map_err(io::Error::from)?;
        let name = entry.path().strip_prefix(source).expect("the walk stays below its start");
        let to = dir.path().join(name);
        let kind = entry.file_type();
        if kind.is_dir() {
            fs::create_dir_all(&to)?;
        } else if kind.is_symlink() {
            fs_err::os::unix::fs::symlink(fs::read_link(entry.path())?, &to)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), &to)?;
        } else {
            return Err(RepoError::Content(format!(
                "{} is neither a file, nor a directory, nor a symbolic link",
                entry.path().display()
            )));
        }
    }
    let repository = tree::init(dir.path())?;
    commit_all(&repository).map_err(RepoError::library(format!("commit {}", source.display())))?;
    let logs = repository.path().join("logs");
    if logs.exists() {
        fs::remove_dir_all(logs)?;
    }
    Ok(WorkTree { dir })
}

fn commit_all(repository: &Repository) -> Result<(), git2::Error> {
    let mut index = repository.index()?;
    index.add_all(["*"], IndexAddOption::FORCE, None)?;
    index.write()?;
    let files = repository.find_tree(index.write_tree()?)?;
    // Always the same, so that the same files give the same commit.
    let who = Signature::new("evalrun", "evalrun@localhost", &Time::new(TIME.cast_signed(), 0))?;
    let branch = format!("refs/heads/{BRANCH}");
    repository.commit(Some(&branch), &who, &who, "Initial commit\n", &files, &[])?;
    Ok(())
}

/// The digest of a file's bytes; of a directory: of the names, kinds, permission to execute and
/// bytes of all in it, any `.git` left out.
pub(in crate::image) fn digest_of_path(path: &Path) -> io::Result<Digest> {
    if fs::metadata(path)?.is_file() {
        return digest_of_file(path);
    }
    let mut builder = DigestBuilder::new("directory");
    for entry in walk(path) {
        let entry = entry?;
        let name = entry.path().strip_prefix(path).expect("the walk stays below its start");
        builder = builder.field("name", name.as_os_str().as_bytes());
        let kind = entry.file_type();
        builder = if kind.is_symlink() {
            let target = fs::read_link(entry.path())?;
            builder.field("link", target.as_os_str().as_bytes())
        } else if kind.is_file() {
            let executable = entry.metadata()?.permissions().mode() & 0o100 != 0;
            builder
                .field("executable", [u8::from(executable)])
                .field("content", digest_of_file(entry.path())?.to_string())
        } else {
            builder.field("other", "")
        };
    }
    Ok(builder.finish())
}

fn digest_of_file(path: &Path) -> io::Result<Digest> {
    let mut file = fs::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length = file.read(&mut buffer)?;
        if length == 0 {
            return Ok(Digest::from_bytes(hasher.finalize().into()));
        }
        hasher.update(&buffer[..length]);
    }
}

fn walk(source: &Path) -> impl Iterator<Item = walkdir::Result<DirEntry>> {
    let own = |entry: &DirEntry| entry.depth() == 0 || entry.file_name() != ".git";
    WalkDir::new(source).min_depth(1).sort_by_file_name().into_iter().filter_entry(own)
}
