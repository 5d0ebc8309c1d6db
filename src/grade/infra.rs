//! Infrastructure trouble: the incumbent's advisory signatures in logs, and evidence of our own.

mod evidence;

pub use evidence::{Evidence, Witness, evidence};

use regex::Regex;
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

/// How sure a sign is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// The environment failed.
    Environment,
    /// The environment, or the patch.
    Ambiguous,
}

/// A sign of infrastructure trouble that the text of a log shows. It is advice: a patch can print
/// it, so it never changes a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InfraSignature {
    /// A short stable word, the incumbent's.
    pub reason: &'static str,
    /// How sure it is.
    pub tier: Tier,
}

/// In the incumbent's order: the first that is found counts, wherever it stands in the log.
const TABLE: [(&str, Tier, &str); 8] = [
    ("browser_launch_failed", Tier::Environment, "Failed to launch|Failed to connect to the bus"),
    (
        "display_unavailable",
        Tier::Environment,
        "cannot open display|Missing X server|unable to open X display",
    ),
    ("out_of_memory", Tier::Environment, "Cannot allocate memory|OutOfMemoryError|^Killed$"),
    (
        "container_unavailable",
        Tier::Environment,
        "Error response from daemon|Cannot connect to the Docker daemon",
    ),
    (
        "network_unreachable",
        Tier::Environment,
        "Could not resolve host|Temporary failure in name resolution",
    ),
    ("missing_module", Tier::Ambiguous, "Cannot find module|MODULE_NOT_FOUND|ModuleNotFoundError"),
    ("no_tests_collected", Tier::Ambiguous, "no tests ran|collected 0 items"),
    ("tests_timed_out", Tier::Ambiguous, r"Timeout error: \d+ seconds exceeded"),
];

static PATTERNS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    TABLE
        .iter()
        .map(|(_, _, pattern)| {
            Regex::new(&format!("(?m){pattern}")).expect("the pattern is a constant of ours")
        })
        .collect()
});

/// Looks for the signatures in a test log and the log of its instance. Give an empty instance log
/// to judge the test log alone.
#[must_use]
pub fn infra_signature(test_log: &[u8], instance_log: &[u8]) -> Option<InfraSignature> {
    let test_log = super::text::decode(test_log);
    let instance_log = super::text::decode(instance_log);
    TABLE.iter().zip(PATTERNS.iter()).find_map(|(&(reason, tier, _), pattern)| {
        let found = pattern.is_match(&test_log) || pattern.is_match(&instance_log);
        found.then_some(InfraSignature { reason, tier })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_decides_not_the_log() {
        let log = b"collected 0 items\nCould not resolve host: x\n\rKilled\r\n";
        assert_eq!(infra_signature(log, b"").unwrap().reason, "out_of_memory");
        assert_eq!(infra_signature(b"Killed by x", b"no tests ran").unwrap().tier, Tier::Ambiguous);
        assert_eq!(
            infra_signature(b"Timeout error: 1800 seconds exceeded", b"").unwrap().reason,
            "tests_timed_out"
        );
        assert_eq!(infra_signature(b"all well", b"so it is"), None);
    }
}
