//! An instance: one task of a data set, with all that is needed to run and to grade it.

use super::EnvSpec;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// The name of an instance, `owner__name-number` by custom. It is used in file names, so it holds
/// no `/`, no control character, is neither `.` nor `..`, and has 1 to 200 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstanceId(Arc<str>);

/// The text cannot be used as a name in a path.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` cannot be used as an id: {why}")]
pub struct InvalidId {
    text: String,
    why: &'static str,
}

impl InstanceId {
    /// Checks and takes over the text of an id.
    ///
    /// # Errors
    /// [`InvalidId`] if the text cannot be the name of a directory.
    pub fn new(text: &str) -> Result<Self, InvalidId> {
        let why = if text.is_empty() {
            "it is empty"
        } else if text.len() > 200 {
            "it is longer than 200 bytes"
        } else if text == "." || text == ".." {
            "it names a directory"
        } else if text.contains(['/', '\\']) {
            "it holds a path separator"
        } else if text.chars().any(char::is_control) {
            "it holds a control character"
        } else {
            return Ok(Self(text.into()));
        };
        Err(InvalidId { text: text.chars().take(80).collect(), why })
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl TryFrom<String> for InstanceId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}

impl From<InstanceId> for String {
    fn from(id: InstanceId) -> Self {
        id.0.as_ref().to_owned()
    }
}

/// Where the repository stands in images of SWE-bench.
pub const TESTBED: &str = "/testbed";

/// How expected tests are judged (`eval_type` of a row).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvalType {
    /// An expected test must be seen to pass.
    PassAndFail,
    /// An expected test must not be seen to fail.
    FailOnly,
}

/// A file that has to stand in the work tree before the tests run (`image_assets` of a row).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asset {
    /// Where it goes, relative to `/testbed`. Checked to stay below it.
    pub path: String,
    /// Where it comes from.
    pub source: AssetSource,
}

/// Where the bytes of an [`Asset`] are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AssetSource {
    /// To be downloaded.
    Url(String),
    /// A file of a task repository on this machine.
    File(PathBuf),
}

/// One task, resolved: nothing of it is looked up in a data set again.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// Its name, unique in a data set.
    pub id: InstanceId,
    /// The repository, as `owner/name`.
    pub repo: String,
    /// The commit the task starts from. Absent where the repository is made from files that have
    /// no history of their own; then it is the commit evalrun makes of them.
    pub base_commit: Option<String>,
    /// The version of the project, by which its environment is chosen.
    pub version: String,
    /// The commit whose requirement files describe the environment, if it is not the base commit.
    pub environment_setup_commit: Option<String>,
    /// The reference solution (`patch` of a row).
    pub gold_patch: Option<String>,
    /// The change that brings the tests.
    pub test_patch: String,
    /// How hard people judged it, where the data set says so.
    pub difficulty: Option<String>,
    /// Tests that fail before and pass after the reference solution.
    pub fail_to_pass: Vec<String>,
    /// Tests that pass before and after it.
    pub pass_to_pass: Vec<String>,
    /// Where the repository stands in its image, an absolute path: `/testbed` unless the row says
    /// otherwise.
    pub work_dir: String,
    /// The name of its image: `image` of a row, or the one derived from the id.
    pub image_name: String,
    /// The Dockerfile that its image is built from, if it has one of its own; the context is the
    /// folder that it is in.
    pub dockerfile: Option<PathBuf>,
    /// How to build the image, where a recipe is known.
    pub env: Option<Arc<EnvSpec>>,
    /// The whole evaluation script, markers included.
    pub eval_script: String,
    /// The registry name of the log parser, e.g. `parse_log_pytest`.
    pub log_parser: String,
    /// How expected tests are judged.
    pub eval_type: EvalType,
    /// Files to stage before the script runs.
    pub image_assets: Vec<Asset>,
}

#[cfg(test)]
mod tests {
    use super::InstanceId;

    #[test]
    fn ids_that_could_leave_a_directory_are_refused() {
        for bad in ["", ".", "..", "a/b", "a\\b", "a\nb", &"x".repeat(201)] {
            assert!(InstanceId::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(InstanceId::new("sympy__sympy-20590").unwrap().as_str(), "sympy__sympy-20590");
    }
}
