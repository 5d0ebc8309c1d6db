//! quarto's runner on Deno.

use crate::grade::parsers::{StatusMap, pattern};
use crate::grade::text::{lines, strip};
use regex::Regex;
use std::collections::HashMap;

/// Temporary paths get numbers in the order in which they first appear.
#[derive(Default)]
struct Paths(HashMap<String, usize>);

impl Paths {
    fn number(&mut self, line: &str) -> String {
        let patterns: [&Regex; 2] = [pattern!(r"/tmp/(\w+)\.qmd"), pattern!(r"/tmp/(\w+)/")];
        patterns.into_iter().fold(line.to_owned(), |line, pattern| {
            let Some(first) = pattern.captures(&line) else { return line };
            let next = self.0.len();
            let number = *self.0.entry(first[0].to_owned()).or_insert(next);
            pattern.replace_all(&line, format!("/tmp/{number}")).into_owned()
        })
    }
}

pub(in crate::grade::parsers) fn quarto_cli(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    let mut paths = Paths::default();
    for line in lines(text) {
        if line.contains("ERRORS") || line.contains("failures:") {
            break;
        }
        if !line.contains("[smoke]") && !line.contains("[unit]") {
            continue;
        }
        let line = paths.number(line);
        let name = strip(line.split("...").next().unwrap_or(&line));
        let summary = ["passed", "failed", "steps"].into_iter().all(|word| line.contains(word));
        if line.starts_with("test result:") || summary || line.contains("34mINFO") {
            continue;
        }
        if line.contains("32mok") {
            tests.passed(name);
        } else if line.contains("31mFAILED") || tests.get(name).is_none() {
            tests.failed(name);
        }
    }
    tests
}
