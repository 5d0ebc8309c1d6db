//! Python's `unittest`, verbose (`python -m unittest -v`).

use crate::grade::parsers::{StatusMap, pattern};
use crate::grade::text::{lines, strip};
use crate::model::TestStatus;

/// Tests are named `module.Class.method`, whether Python prints `method (module.Class)` or, from
/// 3.11 on, `method (module.Class.method)`. A test's own output may stand between its name and its
/// result, a docstring in the line below its name; sub-tests count for the test they belong to.
pub(in crate::grade::parsers) fn unittest(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    let mut pending: Option<String> = None;
    for line in lines(text).map(strip) {
        if let Some(rest) = line.strip_prefix("FAIL: ").or_else(|| line.strip_prefix("ERROR: ")) {
            if let Some((name, _)) = heading(rest) {
                let failed = line.starts_with("FAIL");
                tests.insert(name, if failed { TestStatus::Failed } else { TestStatus::Error });
                pending = None;
            }
            continue;
        }
        let rest = match heading(line) {
            Some((name, rest)) => {
                pending = Some(name);
                rest
            }
            None => line,
        };
        let Some(status) = result(rest) else { continue };
        let Some(name) = pending.take() else { continue };
        // A sub-test that failed has failed its test, whatever is said of the test afterwards.
        let failed = matches!(tests.get(&name), Some(TestStatus::Failed | TestStatus::Error));
        if !failed {
            tests.insert(name, status);
        }
    }
    tests
}

/// The test that `method (module.Class)` names, and what follows in the line.
fn heading(line: &str) -> Option<(String, &str)> {
    // Nearly all lines of other output end here.
    if !line.contains(" (") {
        return None;
    }
    let found = pattern!(r"^(\w+) \((\w[\w.]*)\)").captures(line)?;
    let (method, place) = (&found[1], &found[2]);
    let whole = place.rsplit('.').next() == Some(method) && place.contains('.');
    let name = if whole { place.to_owned() } else { format!("{place}.{method}") };
    Some((name, &line[found[0].len()..]))
}

/// The result at the end of a line, or in a line of its own.
fn result(line: &str) -> Option<TestStatus> {
    let word = line.rsplit_once(" ... ").map_or(line, |(_, word)| word);
    match word {
        "ok" => Some(TestStatus::Passed),
        "FAIL" | "unexpected success" => Some(TestStatus::Failed),
        "ERROR" => Some(TestStatus::Error),
        "expected failure" => Some(TestStatus::Xfail),
        _ if word.starts_with("skipped ") => Some(TestStatus::Skipped),
        _ => None,
    }
}
