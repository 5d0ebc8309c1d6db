//! The recipe of an environment, resolved for one version of one repository.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Where a root file system comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RootSource {
    /// This machine's own programs, bound read-only.
    Host,
    /// A Debian suite (`bookworm`, …), made by mmdebstrap or debootstrap.
    Debian(String),
    /// A directory that holds a root file system.
    Directory(PathBuf),
    /// A root-fs tar, a `docker save` archive or an OCI archive.
    Archive(PathBuf),
    /// An image name that the store, or a registry, knows.
    Named(String),
}

/// Where the files of `/testbed` come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RepoSource {
    /// The repository itself, at the instance's base commit.
    Git,
    /// A directory on this machine; evalrun makes a repository of one commit from it.
    Directory(PathBuf),
    /// A source distribution from the Python package index, as `name==version`; evalrun makes a
    /// repository of one commit from it.
    Sdist(String),
}

/// Which Python an environment needs, and what goes into it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PythonSpec {
    /// `major.minor`; absent: the base's own `python3`.
    pub version: Option<String>,
    /// Versions that serve as well where `version` cannot be had, best first.
    pub alternatives: Vec<String>,
    /// Requirement files of the repository (relative paths), installed where they exist; read at
    /// `environment_setup_commit`.
    pub requirements: Vec<String>,
    /// Packages and pins, as pip takes them.
    pub packages: Vec<String>,
    /// What a reinstall of the project needs, kept in the image's wheelhouse.
    pub build_requires: Vec<String>,
}

/// How to make the image of an instance: base → env → instance.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EnvSpec {
    /// The recipe this came from, for messages: file and version.
    pub origin: String,
    /// The root file system below everything.
    pub base: RootSource,
    /// Debian packages added to the base.
    pub base_packages: Vec<String>,
    /// Programs of the host that the tasks use; their versions are part of a host image's key.
    pub tools: Vec<String>,
    /// The Python environment, where the task has one. It stands at
    /// `/opt/miniconda3/envs/testbed`, and `/opt/miniconda3/bin/activate` defines `conda`.
    pub python: Option<PythonSpec>,
    /// Where `/testbed` comes from.
    pub repo: RepoSource,
    /// Shell steps in `/testbed` before the install, as root, with network.
    pub pre_install: Vec<String>,
    /// Shell steps that install the project.
    pub install: Vec<String>,
    /// Environment variables of every exec in the image.
    pub env: BTreeMap<String, String>,
    /// The command that runs the tests; for rows without an `eval_script`.
    pub test_command: String,
    /// Shell lines that a generated evaluation script runs first.
    pub eval_commands: Vec<String>,
    /// The registry name of the log parser; for rows that name none.
    pub log_parser: String,
}
