//! Repositories: one mirror each in the cache, and work trees that know nothing later than their
//! commit.
//!
//! What crosses the network is done by the `git` command, which knows proxies, credentials and
//! private certificates; it also writes packs, because it can reuse the deltas of a mirror while
//! libgit2 computes all of them anew. The rest is git2's.

mod chain;
mod directory;
mod git;
mod history;
mod mirror;
mod requirements;
mod tree;

pub(super) use directory::{digest_of_path, work_tree_of_directory};
pub(super) use mirror::{Mirror, Mirrors};
pub(super) use requirements::requirements_text;
pub(super) use tree::{WorkTree, work_tree};

use std::io;

/// A repository, or a commit of it, could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepoError {
    /// No place has the commit.
    #[error("commit {commit} of {repo} could not be had:\n{tried}")]
    NoCommit {
        /// The repository.
        repo: String,
        /// The commit.
        commit: String,
        /// Every place that was tried, and what it answered, a line each.
        tried: String,
    },
    /// The instance names none.
    #[error(
        "{repo}: the instance has no base_commit, which a recipe with `source = \"git\"` needs"
    )]
    NoBase {
        /// The repository.
        repo: String,
    },
    /// The `git` command failed.
    #[error("`git {command}` failed: {tail}")]
    Git {
        /// Its leading arguments.
        command: String,
        /// The last lines of what it said.
        tail: String,
    },
    /// The `git` command is not there.
    #[error("cannot start `git`: {0}; install git")]
    NoGit(#[source] io::Error),
    /// libgit2 failed.
    #[error("{what}: {source}")]
    Library {
        /// What was tried.
        what: String,
        /// libgit2's answer.
        source: git2::Error,
    },
    /// A file of ours; the error names it.
    #[error(transparent)]
    File(#[from] io::Error),
    /// The repository's data cannot be used.
    #[error("{0}")]
    Content(String),
}

impl RepoError {
    fn library(what: impl Into<String>) -> impl FnOnce(git2::Error) -> Self {
        let what = what.into();
        move |source| Self::Library { what, source }
    }
}

#[cfg(test)]
mod tests;
