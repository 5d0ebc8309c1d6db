//! PHP: PHPUnit's test-dox output.

use super::{StatusMap, pattern};
use crate::grade::text::lines;

pub(super) fn phpunit(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    // What the incumbent names a suite before the first one.
    let mut suite = "None";
    for line in lines(text) {
        if line.ends_with(')')
            && let Some(found) = pattern!(r"^(\w.+) \(.+\)$").captures(line)
        {
            suite = found.get(1).map_or(suite, |name| name.as_str());
            continue;
        }
        let Some(found) = pattern!(r"^\s*([✔✘↩])\s*(.*)$").captures(line) else { continue };
        let name = format!("{suite} > {}", &found[2]);
        match &found[1] {
            "✔" => tests.passed(name),
            "✘" => tests.failed(name),
            _ => tests.skipped(name),
        }
    }
    tests
}
