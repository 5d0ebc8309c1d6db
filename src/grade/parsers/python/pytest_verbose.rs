//! pytest's progress lines (`pytest --verbose`), as SWE-smith reads them.

use crate::grade::parsers::{StatusMap, pattern};
use crate::grade::text::lines;
use crate::model::TestStatus;

/// Lines that begin with a test's id, white space and a status word; the last status counts. The
/// rule is that of SWE-smith's `PythonProfile.log_parser` (`swesmith/profiles/python.py`).
pub(in crate::grade::parsers) fn pytest_verbose(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    for line in lines(text) {
        let found = pattern!(r"^(\S+)\s+(FAILED|PASSED|SKIPPED|ERROR|XFAIL)").captures(line);
        let Some(found) = found else { continue };
        let status = match &found[2] {
            "PASSED" => TestStatus::Passed,
            "FAILED" => TestStatus::Failed,
            "SKIPPED" => TestStatus::Skipped,
            "ERROR" => TestStatus::Error,
            _ => TestStatus::Xfail,
        };
        tests.insert(&found[1], status);
    }
    tests
}
