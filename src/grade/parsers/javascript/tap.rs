//! The Test Anything Protocol, versions 13 and 14, as its specification has it.

use super::suites::indent;
use super::without_colours;
use crate::grade::parsers::{StatusMap, pattern};
use crate::grade::text::{lines, strip};
use crate::model::TestStatus;

/// Headings of sub-tests, with their indentation.
#[derive(Default)]
struct Headings(Vec<(usize, String)>);

impl Headings {
    fn add(&mut self, depth: usize, name: &str) {
        self.0.retain(|(known, _)| *known < depth);
        self.0.push((depth, name.to_owned()));
    }

    /// The names around a test point. Node writes a heading for the point itself, at the point's
    /// own indentation; others write one for all points of a level, at that level's.
    fn around(&mut self, depth: usize, name: &str) -> String {
        while self.0.last().is_some_and(|(known, _)| *known > depth) {
            self.0.pop();
        }
        if self.0.last().is_some_and(|(known, own)| *known == depth && own == name) {
            self.0.pop();
        }
        let outer = self.0.iter().map(|(_, heading)| heading.as_str());
        outer.chain([name]).collect::<Vec<_>>().join(" > ")
    }
}

/// Descriptions are names, those of sub-tests with their parents' before them; a point without one
/// has its number. `# SKIP` is skipped, a failed `# TODO` an expected failure. YAML blocks are left
/// out, and `Bail out!` is an error of that name.
pub(in crate::grade::parsers) fn tap13(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    let mut headings = Headings::default();
    let mut block = None;
    let mut count = 0_u64;
    for line in lines(&without_colours(text)) {
        let (depth, stripped) = (indent(line), strip(line));
        match block {
            Some(start) if stripped == "..." && depth == start => block = None,
            // A block that never ends must not swallow what follows.
            Some(start) if depth >= start || stripped.is_empty() => {}
            _ => {
                block = (stripped == "---").then_some(depth);
                if let Some(name) = stripped.strip_prefix("# Subtest: ") {
                    headings.add(depth, &unescaped(strip(name)));
                } else if stripped.starts_with("Bail out!") {
                    tests.insert(stripped, TestStatus::Error);
                } else if let Some((name, status)) = point(stripped, &mut count) {
                    tests.insert(headings.around(depth, &name), status);
                }
            }
        }
    }
    tests
}

fn point(line: &str, count: &mut u64) -> Option<(String, TestStatus)> {
    let found = pattern!(r"^(not )?ok\b(?:\s+(\d+))?(?:\s+-)?(.*)$").captures(line)?;
    *count += 1;
    let rest = &found[3];
    let directive = pattern!(r"(?i)(?:^|\s)#\s*(SKIP|TODO)(?:\S*)(?:\s|$)").captures(rest);
    let (description, word) = match &directive {
        Some(found) => {
            let start = found.get(0).map_or(0, |whole| whole.start());
            (&rest[..start], found[1].to_ascii_uppercase())
        }
        None => (rest, String::new()),
    };
    let status = match (found.get(1).is_some(), word.as_str()) {
        (_, "SKIP") => TestStatus::Skipped,
        (true, "TODO") => TestStatus::Xfail,
        (true, _) => TestStatus::Failed,
        (false, _) => TestStatus::Passed,
    };
    // A brace at the end opens the sub-tests of this point.
    let description = strip(strip(description).trim_end_matches('{'));
    let name = if description.is_empty() {
        found.get(2).map_or_else(|| count.to_string(), |number| number.as_str().to_owned())
    } else {
        unescaped(description)
    };
    Some((name, status))
}

fn unescaped(text: &str) -> String {
    text.replace(r"\#", "#").replace(r"\\", r"\")
}
