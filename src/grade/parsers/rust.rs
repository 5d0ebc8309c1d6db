//! Rust: `cargo test`, and `cargo nextest`.

use super::colours::without_colours;
use super::{StatusMap, pattern};
use crate::grade::text::{lines, strip};

/// Ignored tests and benchmarks are left out, and names with blanks (documentation tests).
pub(super) fn cargo(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    for line in lines(text).map(strip).filter(|line| line.starts_with("test")) {
        let Some(found) = pattern!(r"^test\s+(\S+)\s+\.\.\.\s+(\w+)$").captures(line) else {
            continue;
        };
        match &found[2] {
            "ok" => tests.passed(&found[1]),
            "FAILED" => tests.failed(&found[1]),
            _ => {}
        }
    }
    tests
}

/// Tests are named `binary test`, as nextest prints them. Of a test that was tried more than once
/// the last try counts; one that passed in the end (`FLAKY`) has passed.
pub(super) fn nextest(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    for line in lines(&without_colours(text)).map(strip).filter(|line| line.contains(" [")) {
        let found = pattern!(
            r"^(?:TRY \d+ )?([A-Z]+(?:-[A-Z]+)?)(?: \d+/\d+)? \[[^\]]*\] (?:\( *\d+/\d+\) )?(\S+ \S.*)$"
        )
        .captures(line);
        let Some(found) = found else { continue };
        let name = &found[2];
        match &found[1] {
            "PASS" | "FLAKY" | "LEAK" => tests.passed(name),
            "SKIP" => tests.skipped(name),
            "FAIL" | "TIMEOUT" | "ABORT" | "FLAKY-FAIL" | "LEAK-FAIL" => tests.failed(name),
            signal if signal.starts_with("SIG") => tests.failed(name),
            _ => {}
        }
    }
    tests
}
