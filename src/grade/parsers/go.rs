//! Go: `go test -v`.

use super::{StatusMap, pattern};
use crate::grade::text::{lines, strip};
use crate::model::TestStatus;

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

/// `go test -v` as Multi-SWE-bench reads it (`multi_swe_bench/harness/repos/golang`): a name ends at
/// white space, and a test that failed once, in any package, has failed.
pub(super) fn multi_go(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    for line in lines(text).map(strip).filter(|line| line.starts_with("--- ")) {
        let Some(found) = pattern!(r"^--- (PASS|FAIL|SKIP): (\S+)").captures(line) else {
            continue;
        };
        let name = &found[2];
        let failed = tests.get(name) == Some(&TestStatus::Failed);
        match &found[1] {
            "FAIL" => tests.failed(name),
            _ if failed => {}
            "PASS" => tests.passed(name),
            _ if tests.get(name).is_none() => tests.skipped(name),
            _ => {}
        }
    }
    tests
}
