//! Rust: `cargo test`.

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
