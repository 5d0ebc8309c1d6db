//! Runners whose output is searched for parts first: Next's two formats, Lighthouse's three,
//! Prism's JSON.

use super::suites::{Suites, indent};
use super::{carbon, without_colours};
use crate::grade::parsers::{Parsed, StatusMap, Subject, pattern};
use crate::grade::text::{lines, strip};
use serde_json::Value;

pub(in crate::grade::parsers) fn next(text: &str, subject: Subject<'_>) -> Parsed {
    if subject.version == "1.27" { next_cypress(text).into() } else { next_karma(text).into() }
}

fn next_karma(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    let text = without_colours(text);
    let text = pattern!(r"AssertionError:\s+#([\s\S]*?)\n\n").replace_all(&text, "");
    let mut suites = Suites::default();
    for part in text.split(" xvfb-run ").skip(1) {
        let part = part.rsplit("Starting browser Chrome").next().unwrap_or(part);
        for line in lines(part).take_while(|line| !line.starts_with("TOTAL")) {
            let stripped = strip(line);
            let other = ["ERROR", "LOG", "WARN", "Check", "in"];
            if other.into_iter().any(|word| stripped.starts_with(word)) {
                continue;
            }
            if let Some(found) = pattern!(r"^.*?✗\s*(.*)").captures(line) {
                tests.failed(suites.name(" - ", &found[1]));
            } else if let Some(found) = pattern!(r"^.*?✓\s*(.*)").captures(line) {
                tests.passed(suites.name(" - ", &found[1]));
            } else if indent(line) > 0 {
                suites.enter(indent(line), stripped);
            }
        }
    }
    tests
}

fn next_cypress(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    let suites: Vec<_> = pattern!(r"Running:(.*)\)\n{3}\s{2}(.*)\n").captures_iter(text).collect();
    for (index, suite) in suites.iter().enumerate() {
        let start = suite.get(0).map_or(0, |found| found.end());
        let end = suites
            .get(index + 1)
            .and_then(|next| next.get(0))
            .map_or(text.len(), |found| found.start());
        let part = &text[start..end];
        for found in pattern!(r"(?m)^\s{4}\d+\)\s(.*)").captures_iter(part) {
            tests.failed(format!("{}: {}", &suite[2], strip(&found[1])));
        }
        for found in pattern!(r"(?m)^\s{4}✓\s(.*)\(").captures_iter(part) {
            tests.passed(format!("{}: {}", &suite[2], strip(&found[1])));
        }
    }
    tests
}

/// The runner depends on the version.
pub(in crate::grade::parsers) fn lighthouse(text: &str, subject: Subject<'_>) -> Parsed {
    if matches!(subject.version, "9.5" | "10.0" | "10.2") {
        return lighthouse_mocha(text).into();
    }
    match strip(subject.version).parse::<f64>() {
        Ok(version) if version >= 3.0 => carbon(text).into(),
        Ok(_) => lighthouse_json(text).into(),
        Err(_) => Parsed::failed(
            StatusMap::default(),
            format!("the version `{}` is no number", subject.version),
        ),
    }
}

fn lighthouse_mocha(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    for part in pattern!(r"running\s\d+\stest\sfiles").split(text).skip(1) {
        let end = pattern!(r"\d+\spassing").find(part).map_or(part.len(), |found| found.start());
        let mut suites = Suites::default();
        for line in lines(strip(&part[..end])) {
            let stripped = strip(line);
            let passed = pattern!(r"^✔\s(.*)\s\(\d+m+s\)")
                .captures(stripped)
                .or_else(|| pattern!(r"^✔\s(.*)").captures(stripped));
            let failed = || {
                pattern!(r"^\d+\)\s(.*)\s\(\d+m+s\)")
                    .captures(stripped)
                    .or_else(|| pattern!(r"^\d+\)\s(.*)").captures(stripped))
            };
            if let Some(found) = passed {
                tests.passed(suites.name(" - ", &found[1]));
            } else if let Some(found) = failed() {
                tests.failed(suites.name(" - ", &found[1]));
            } else if indent(line) > 0 {
                suites.enter(indent(line), stripped);
            }
        }
    }
    tests
}

/// The lines of mocha's JSON, read as text.
fn lighthouse_json(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    for part in text.split("./node_modules/.bin/mocha --reporter json").skip(1) {
        for (list, close, passed) in
            [("\"passes\": [", "]", true), ("\"failures\": [", "],", false)]
        {
            let after = part.rsplit(list).next().unwrap_or(part);
            let list = after.rsplit_once(close).map_or(after, |(list, _)| list);
            for found in pattern!("\"fullTitle\": \"(.*)\",\n").captures_iter(list) {
                if passed { tests.passed(&found[1]) } else { tests.failed(&found[1]) }
            }
        }
    }
    tests
}

/// mocha's JSON.
pub(in crate::grade::parsers) fn prismjs(text: &str) -> Parsed {
    let mut tests = StatusMap::default();
    for part in text.split("./node_modules/.bin/mocha tests/run.js --reporter json").skip(1) {
        if let Err(why) = read_mocha_report(part, &mut tests) {
            return Parsed::failed(tests, why);
        }
    }
    tests.into()
}

fn read_mocha_report(part: &str, tests: &mut StatusMap) -> Result<(), String> {
    let braces = part.find('{').zip(part.rfind('}')).filter(|(open, close)| open < close);
    let (open, close) = braces.ok_or("the command printed no report")?;
    let report: Value = serde_json::from_str(&part[open..=close])
        .map_err(|error| format!("the report is no JSON: {error}"))?;
    for title in titles(&report, "failures") {
        tests.failed(title?);
    }
    for title in titles(&report, "passes") {
        tests.passed(title?);
    }
    Ok(())
}

/// The `fullTitle`s of a list of the report.
fn titles<'r>(report: &'r Value, list: &str) -> Vec<Result<&'r str, String>> {
    let Some(entries) = report.get(list).and_then(Value::as_array) else {
        return vec![Err(format!("the report has no list `{list}`"))];
    };
    let title = |entry: &'r Value| entry.get("fullTitle").and_then(Value::as_str);
    entries
        .iter()
        .map(|entry| title(entry).ok_or_else(|| format!("a test of `{list}` has no title")))
        .collect()
}
