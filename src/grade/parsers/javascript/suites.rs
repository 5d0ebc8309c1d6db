//! Runners whose tests are named by the suites around them, which indentation shows.

use crate::grade::parsers::{Parsed, StatusMap, pattern};
use crate::grade::text::{is_space, lines, strip};

/// How many characters of white space a line begins with.
pub(super) fn indent(line: &str) -> usize {
    line.chars().take_while(|c| is_space(*c)).count()
}

/// The suites around a line.
#[derive(Default)]
pub(super) struct Suites(Vec<(usize, String)>);

impl Suites {
    /// A suite as far in as others, or further out, ends them.
    pub(super) fn enter(&mut self, indent: usize, name: &str) {
        self.leave(indent);
        self.0.push((indent, name.to_owned()));
    }

    /// What stands this far in is no part of suites as far in, or further.
    pub(super) fn leave(&mut self, indent: usize) {
        while self.0.last().is_some_and(|(known, _)| *known >= indent) {
            self.0.pop();
        }
    }

    /// Their names and the test's.
    pub(super) fn name(&self, separator: &str, test: &str) -> String {
        let suites = self.0.iter().map(|(_, suite)| suite.as_str());
        suites.chain([test]).collect::<Vec<_>>().join(separator)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Suites of equal indentation are booked under the first of them: tests do not move the
/// indentation on.
pub(in crate::grade::parsers) fn karma(text: &str) -> Parsed {
    let mut tests = StatusMap::default();
    let mut suites: Vec<&str> = Vec::new();
    let mut current = None;
    let mut started = false;
    for line in lines(text) {
        if line.starts_with("SUMMARY:") {
            break;
        }
        if line.contains("Starting browser") {
            started = true;
            continue;
        }
        if !started {
            continue;
        }
        let blanks = line.len() - line.trim_start_matches(is_space).len();
        let rest = &line[blanks..];
        let test = ["✔", "✖"].into_iter().find_map(|mark| {
            let behind = rest.strip_prefix(mark)?;
            Some((mark, behind.strip_prefix(is_space)?))
        });
        if let Some((mark, name)) = test {
            let name = suites.iter().copied().chain([name]).collect::<Vec<_>>().join(" > ");
            if mark == "✔" {
                tests.passed(name)
            } else {
                tests.failed(name)
            }
            continue;
        }
        // The last blank separates; a suite needs one more.
        let depth = indent(line);
        if depth < 2 {
            continue;
        }
        if current.is_none_or(|current| depth > current) {
            suites.push(rest);
            current = Some(depth);
        } else if current.is_some_and(|current| depth < current) {
            current = Some(depth);
            if suites.pop().is_none() {
                return Parsed::failed(tests, "the indentation ends more suites than it began");
            }
        }
    }
    tests.into()
}

pub(in crate::grade::parsers) fn calypso(text: &str) -> Parsed {
    let mut tests = StatusMap::default();
    let mut suites = Suites::default();
    for part in text.split(" ./node_modules/.bin/jest ").skip(1) {
        let part = lines(part)
            .take_while(|line| !line.starts_with("Test Suites") && !line.starts_with("  ● "));
        for line in part {
            let stripped = strip(line);
            if stripped.starts_with(['✓', '✕']) {
                let Some(name) = calypso_name(line) else {
                    let why = format!(
                        "the line `{}` has another form",
                        stripped.chars().take(200).collect::<String>()
                    );
                    return Parsed::failed(tests, why);
                };
                let mut name = suites.name(" - ", name);
                if suites.is_empty() {
                    // The incumbent joins an empty list of suites to it.
                    name.insert_str(0, " - ");
                }
                let name = strip(&name);
                if stripped.starts_with('✓') { tests.passed(name) } else { tests.failed(name) }
            } else if indent(line) > 0 {
                suites.enter(indent(line), stripped);
            }
        }
    }
    tests.into()
}

/// The text behind the mark, without the duration.
fn calypso_name(line: &str) -> Option<&str> {
    let found = if pattern!(r"\(\d+ms\)").is_match(line) {
        pattern!(r"^\s+[✓✕]\s(.*)\(\d+ms\)$").captures(line)
    } else {
        pattern!(r"^\s+[✓✕]\s(.*)$").captures(line)
    };
    found?.get(1).map(|name| name.as_str())
}

/// One level of suites: a deeper one takes the place of the one around it.
pub(in crate::grade::parsers) fn highlightjs(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    let end = pattern!(r"\n[ \t]*\d+ passing").find(text).map_or(text.len(), |found| found.start());
    let mut suite = None;
    for line in lines(&text[..end]) {
        let stripped = strip(line);
        let passed = stripped.starts_with(['✓', '✔']);
        let name = if passed {
            stripped.split_once(['✓', '✔']).map(|(_, name)| name)
        } else if pattern!(r"^\d+\)").is_match(stripped) {
            stripped.split_once(')').map(|(_, name)| name)
        } else {
            if line.starts_with("  ") {
                suite = Some(stripped);
            }
            continue;
        };
        let name = pattern!(r"\(\d+ms\)").replace_all(name.unwrap_or_default(), "");
        let name = match suite {
            Some(suite) => format!("{suite}.{}", strip(&name)),
            None => strip(&name).to_owned(),
        };
        if passed { tests.passed(name) } else { tests.failed(name) }
    }
    tests
}
