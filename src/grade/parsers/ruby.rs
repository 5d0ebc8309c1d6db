//! Ruby: minitest, cucumber, test-unit, RSpec; Jekyll uses two of them.

use super::{Parsed, StatusMap, Subject, pattern};
use crate::grade::text::{lines, strip};

/// The outcome is the last `.`, `F` or `E` behind the last `=` that has one: a skipped test falls
/// back on the point of its time and counts as passed.
pub(super) fn minitest(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    for line in lines(text).map(strip) {
        let Some(found) = pattern!(r"^(.+)\. .*=.*(\.|F|E).*$").captures(line) else { continue };
        match &found[2] {
            "." => tests.passed(&found[1]),
            _ => tests.failed(&found[1]),
        }
    }
    tests
}

pub(super) fn cucumber(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    for line in lines(text).map(strip) {
        let Some(found) = pattern!(r"^(.*) \.+(\.|F)").captures(line) else { continue };
        match &found[2] {
            "." => tests.passed(&found[1]),
            _ => tests.failed(&found[1]),
        }
    }
    tests
}

pub(super) fn ruby_unit(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    for line in lines(text).map(strip) {
        // `\b` of the incumbent: no letter, number or `_` follows.
        let found =
            pattern!(r"^\s*(?:test: )?(.+):\s+(?:(\.)|([EFO])(?:[^\p{L}\p{N}_]|$))").captures(line);
        let Some(found) = found else { continue };
        match found.get(3).map(|letter| letter.as_str()) {
            None => tests.passed(&found[1]),
            Some("O") => tests.skipped(&found[1]),
            Some(_) => tests.failed(&found[1]),
        }
    }
    tests
}

/// RSpec's JSON, turned into lines by the rows' scripts.
pub(super) fn rspec_transformed_json(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    for line in lines(text).map(strip) {
        let Some(found) = pattern!(r"^(.+) - (passed|failed)").captures(line) else { continue };
        match &found[2] {
            "passed" => tests.passed(&found[1]),
            _ => tests.failed(&found[1]),
        }
    }
    tests
}

/// The runner depends on the pull request.
pub(super) fn jekyll(text: &str, subject: Subject<'_>) -> Parsed {
    match subject.instance_id.split('-').nth(1) {
        Some("9141" | "8047" | "8167") => minitest(text).into(),
        Some("8761" | "8771") => cucumber(text).into(),
        _ => Parsed::failed(
            StatusMap::default(),
            format!("no runner is known for `{}`", subject.instance_id),
        ),
    }
}
