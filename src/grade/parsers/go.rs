//! Go: `go test -v`.

use super::{StatusMap, pattern};
use crate::grade::text::{lines, strip};

/// Sub-tests are indented; they count by their own names.
pub(super) fn gotest(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    for line in lines(text).map(strip).filter(|line| line.starts_with("--- ")) {
        let Some(found) = pattern!(r"^--- (PASS|FAIL|SKIP): (.+) \((.+)\)$").captures(line) else {
            continue;
        };
        match &found[1] {
            "PASS" => tests.passed(&found[2]),
            "FAIL" => tests.failed(&found[2]),
            _ => tests.skipped(&found[2]),
        }
    }
    tests
}
