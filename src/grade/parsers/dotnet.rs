//! .NET: `dotnet test` (VSTest's console logger, xUnit's own lines, the testing platform).

use super::colours::without_colours;
use super::{StatusMap, pattern};
use crate::grade::text::lines;

/// `  Passed Name [12 ms]` of VSTest at normal verbosity, `passed Name (12ms)` of the testing
/// platform, `[xUnit.net 00:00:01.00]     Name [FAIL]`. Names keep their arguments.
pub(super) fn dotnet(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    for line in lines(&without_colours(text)) {
        let line = line.trim_end();
        if let Some(rest) = line.strip_prefix("[xUnit.net ") {
            let Some((_, rest)) = rest.split_once(']') else { continue };
            let rest = rest.trim_start();
            if let Some(name) = rest.strip_suffix(" [FAIL]") {
                tests.failed(name);
            } else if let Some(name) = rest.strip_suffix(" [SKIP]") {
                tests.skipped(name);
            }
            continue;
        }
        if let Some((word, name)) = vstest(line).or_else(|| platform(line)) {
            match word {
                "Passed" | "passed" => tests.passed(name),
                "Failed" | "failed" => tests.failed(name),
                _ => tests.skipped(name),
            }
        }
    }
    tests
}

/// Results are indented, and the time stands in brackets; skipped tests may have none.
fn vstest(line: &str) -> Option<(&str, &str)> {
    let inner = line.trim_start();
    if inner.len() == line.len() {
        return None;
    }
    let (word, rest) = inner.split_once(' ')?;
    let known = matches!(word, "Passed" | "Failed" | "Skipped");
    let timed = pattern!(r" \[(?:< )?[\d.,:]+ ?[a-z]*(?: [\d.,]+ ?[a-z]+)*\]$").find(rest);
    match timed {
        Some(time) if known => Some((word, &rest[..time.start()])),
        None if word == "Skipped" && !rest.trim_start().starts_with(':') => Some((word, rest)),
        _ => None,
    }
}

fn platform(line: &str) -> Option<(&str, &str)> {
    let (word, rest) = line.trim_start().split_once(' ')?;
    let known = matches!(word, "passed" | "failed" | "skipped");
    let time = pattern!(r" \((?:\d[\d.,]*(?:ms|us|s|m|h) ?)+\)$").find(rest)?;
    known.then(|| (word, &rest[..time.start()]))
}
