//! What was tried beside the official run, to see whether its results can be trusted.

use serde::{Deserialize, Serialize};

/// What was tried beside the official run, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probes {
    /// The runner's answer on tests whose results are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
    /// The same prediction without its changes to the runner's own files, where it has some and
    /// was resolved with them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without_runner_files: Option<WithoutRunnerFiles>,
    /// Test files that were other ones, or gone, when the tests had run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed_tests: Vec<String>,
    /// What became of failing expected tests that ran again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reruns: Option<Reruns>,
}

impl Probes {
    /// Whether nothing was tried.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// After the official run, in the state in which it left the sandbox, the runner was called once
/// more on the task's own tests, made so that they must fail, and on one that must pass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// How many of the tests that must fail were reported as failed, or not at all.
    pub failed: usize,
    /// Tests that must fail and were reported as passed.
    pub passed_wrongly: Vec<String>,
    /// Whether the test that must pass was reported as passed.
    pub passed: bool,
    /// Why nothing follows from it: the runner is not known, nothing was reported, ….
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent: Option<String>,
}

/// Failing expected tests of an unresolved prediction that ran again, in fresh sandboxes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reruns {
    /// How often they ran.
    pub runs: u32,
    /// Whether they alone ran, not the whole script.
    pub selected: bool,
    /// Tests that passed in one of these runs.
    pub passed: Vec<String>,
    /// Whether each of them did: resolved, but for tests that do not always pass.
    pub resolved: bool,
}

/// A second run without some files of a patch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WithoutRunnerFiles {
    /// Files whose changes were left out.
    pub files: Vec<String>,
    /// Whether the rest resolved the instance.
    pub resolved: bool,
}
