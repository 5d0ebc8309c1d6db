//! The steps that layers are made of. Their texts are part of the layers' keys.

use super::pip::{ENVIRONMENT, WHEELHOUSE};
use crate::model::{PythonSpec, RepoSource};
use serde::Serialize;

/// The work tree of an instance.
pub(super) const TESTBED: &str = "/testbed";
/// Where the requirements of an environment are kept, so that one can see what was asked for.
pub(super) const REQUIREMENTS: &str = "/opt/evalrun/requirements.txt";
const CONDA: &str = "/opt/miniconda3";

/// One thing done in the sandbox of a layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// A file is written.
    Write {
        /// Absolute path.
        path: String,
        /// Permission bits.
        mode: u32,
        /// The whole content.
        text: String,
    },
    /// A bash script is run.
    Run {
        /// What it does, for people.
        title: String,
        /// The script; it ends at the first command that fails.
        script: String,
    },
    /// The requirement files of a commit are written as one file.
    Requirements {
        /// `owner/name`.
        repo: String,
        /// The commit that they are read at.
        commit: String,
        /// Their paths; those that are not there are left out.
        paths: Vec<String>,
        /// The file they are written to.
        into: String,
    },
    /// `/testbed` is made: a work tree with a repository that knows nothing later than its commit.
    Checkout {
        /// What tells this content from any other; stands for `source` in the key.
        identity: String,
        /// `owner/name`.
        repo: String,
        /// Where the files come from.
        #[serde(skip)]
        source: RepoSource,
        /// The commit, where the source has commits.
        commit: Option<String>,
    },
}

impl Step {
    /// What it does, for people.
    #[must_use]
    pub fn title(&self) -> String {
        match self {
            Self::Write { path, .. } => format!("write {path}"),
            Self::Run { title, .. } => title.clone(),
            Self::Requirements { paths, .. } => format!("read {}", paths.join(", ")),
            Self::Checkout { identity, .. } => format!("check out {identity}"),
        }
    }
}

fn run(title: &str, settings: &[(&str, String)], script: &str) -> Step {
    let settings: String =
        settings.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    Step::Run { title: title.to_owned(), script: format!("{settings}{script}") }
}

/// A bash word that means exactly this text.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn words<T: AsRef<str>>(items: &[T]) -> String {
    let quoted: Vec<String> = items.iter().map(|item| quote(item.as_ref())).collect();
    format!("({})", quoted.join(" "))
}

/// Debian packages, in a root that we did not make.
pub(super) fn apt(packages: &[String]) -> Step {
    run("apt-get install", &[("packages", words(packages))], include_str!("scripts/apt.sh"))
}

/// The host's tools that the tasks use are there.
pub(super) fn tools(tools: &[String]) -> Step {
    run("look for tools", &[("tools", words(tools))], include_str!("scripts/tools.sh"))
}

/// What makes `source /opt/miniconda3/bin/activate; conda activate testbed` work.
pub(super) fn activation() -> Vec<Step> {
    let write = |path: &str, mode, text: &str| Step::Write {
        path: format!("{CONDA}/{path}"),
        mode,
        text: text.to_owned(),
    };
    vec![
        write("etc/profile.d/conda.sh", 0o644, include_str!("scripts/conda.sh")),
        write("bin/activate", 0o644, include_str!("scripts/activate.sh")),
        write("bin/conda", 0o755, include_str!("scripts/conda")),
    ]
}

/// Finds a Python that fits and makes the environment. `suite`: the root's own package manager may
/// bring one.
pub(super) fn python(spec: &PythonSpec, suite: bool) -> Step {
    let wanted: Vec<&String> = spec.version.iter().chain(&spec.alternatives).collect();
    let settings = [
        ("environment", quote(ENVIRONMENT)),
        ("wanted", words(&wanted)),
        ("suite", u8::from(suite).to_string()),
        ("bootstrap", quote(include_str!("scripts/get_pip.py"))),
    ];
    run("make the python environment", &settings, include_str!("scripts/python.sh"))
}

/// Installs the requirement files that a step before has written.
pub(super) fn requirements() -> Step {
    let script = format!("set -x\n{ENVIRONMENT}/bin/python -m pip install -r {REQUIREMENTS}\n");
    run("install the requirements", &[], &script)
}

/// Installs packages into the environment, all at once, so that pip can weigh their pins together.
pub(super) fn packages(packages: &[String]) -> Step {
    let script = format!("set -x\n{ENVIRONMENT}/bin/python -m pip install \"${{packages[@]}}\"\n");
    run("install the packages", &[("packages", words(packages))], &script)
}

/// Fills the wheelhouse with what the recipe names, or with setuptools and wheel.
pub(super) fn wheelhouse(build_requires: &[String]) -> Step {
    let standard = ["setuptools".to_owned(), "wheel".to_owned()];
    let named = if build_requires.is_empty() { &standard[..] } else { build_requires };
    let settings = [
        ("environment", quote(ENVIRONMENT)),
        ("wheelhouse", quote(WHEELHOUSE)),
        ("wheels", words(named)),
    ];
    run("fill the wheelhouse", &settings, include_str!("scripts/wheelhouse.sh"))
}

/// Makes `/testbed` from a source distribution, `name==version`.
pub(super) fn sdist(requirement: &str) -> Step {
    let settings = [
        ("environment", quote(ENVIRONMENT)),
        ("requirement", quote(requirement)),
        ("program", quote(include_str!("scripts/get_sdist.py"))),
    ];
    run("get the source distribution", &settings, include_str!("scripts/sdist.sh"))
}

/// The recipe's own lines, in one shell, in the work tree.
pub(super) fn install<T: AsRef<str>>(lines: &[T], python: bool) -> Step {
    let mut script = format!("cd {TESTBED}\n");
    if python {
        script.push_str(&format!("source {CONDA}/bin/activate\nconda activate testbed\n"));
    }
    script.push_str("set -x\n");
    for line in lines {
        script.push_str(line.as_ref());
        script.push('\n');
    }
    run("install", &[], &script)
}

/// Installs again as the tests will, without an index, and puts into the wheelhouse what is missed.
pub(super) fn reinstall<T: AsRef<str>>(lines: &[T]) -> Step {
    let settings = [
        ("environment", quote(ENVIRONMENT)),
        ("wheelhouse", quote(WHEELHOUSE)),
        ("lines", words(lines)),
    ];
    run("reinstall without an index", &settings, include_str!("scripts/reinstall.sh"))
}

/// Gives all that the layer has made one time.
pub(super) fn times(python: bool) -> Step {
    let settings = [
        ("environment", if python { quote(ENVIRONMENT) } else { quote("") }),
        ("program", quote(include_str!("scripts/times.py"))),
    ];
    run("set the times of files", &settings, include_str!("scripts/times.sh"))
}

/// Commits what the install changed and hides what it made.
pub(super) fn seal() -> Step {
    run("seal the work tree", &[], include_str!("scripts/seal.sh"))
}

#[cfg(test)]
mod tests;
