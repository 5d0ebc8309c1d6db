//! Where a log contradicts itself or the facts.

use super::{Findings, summary};
use crate::grade::parsers::parse;
use crate::grade::script::trace_after_tests;
use crate::grade::text::{lines, words};
use crate::grade::{StatusMap, Subject, decode, reading, rules, script};
use crate::model::{Instance, Section, Status, TestStatus};
use regex::Regex;
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::LazyLock;

pub(super) fn examine(instance: &Instance, log: &[u8], section: &Section, found: &mut Findings) {
    let (before, text, behind, outcome) = match section {
        Section::Supervised { start, end, outcome } => {
            let at = |offset: u64| usize::try_from(offset).unwrap_or(log.len()).min(log.len());
            let part = |from: u64, to: u64| decode(log.get(at(from)..at(to)).unwrap_or_default());
            for line in lines(&part(*start, *end)).filter(|line| reading::has_marker(line)) {
                found.forged("printed_marker", line);
            }
            (part(0, *start), part(*start, *end), part(*end, log.len() as u64), outcome)
        }
        Section::TextOnly { outcome } => {
            let text = decode(log);
            marks(&text, found);
            let own = reading::marked_section(&text).unwrap_or(&text).to_owned();
            (Cow::Borrowed(""), Cow::Owned(own), Cow::Borrowed(""), outcome)
        }
    };
    let Status::Code(status) = outcome.status else { return };
    let supervised = matches!(section, Section::Supervised { .. });
    let seen = results(instance, &text, supervised.then_some(status));
    let run = Run { instance, text: &text, seen: &seen, status: supervised.then_some(status) };
    exit_status(&run, found);
    hidden(&run, found);
    contradictions(&run, found);
    outside(instance, [&before, &behind], found);
    summary::examine(&run, found);
}

/// A log whose section is known by its text alone: honest scripts write each marker once, but for
/// its trace.
fn marks(text: &str, found: &mut Findings) {
    let marks = reading::marks(text);
    if marks.starts > 1 {
        found.suspicious("printed_marker", "the tests are said to start more than once");
    }
    if marks.ends > 1 || marks.starts > 0 && !reading::ends_after_start(text) {
        found.suspicious("printed_marker", "the tests' end is not where it belongs");
    }
    if reading::recorded_statuses(text).windows(2).any(|pair| pair[0] != pair[1]) {
        found.forged("printed_marker", "several exit statuses are recorded");
    }
}

/// The tests as they ran.
pub(super) struct Run<'a> {
    pub(super) instance: &'a Instance,
    /// Their own output.
    pub(super) text: &'a str,
    /// What the parser reads in it.
    pub(super) seen: &'a StatusMap,
    /// How they ended, where that is a fact.
    pub(super) status: Option<i32>,
}

impl Run<'_> {
    pub(super) fn expected(&self) -> HashSet<&str> {
        let instance = self.instance;
        instance.fail_to_pass.iter().chain(&instance.pass_to_pass).map(String::as_str).collect()
    }
}

fn results(instance: &Instance, text: &str, status: Option<i32>) -> StatusMap {
    let subject = Subject { instance_id: instance.id.as_str(), version: &instance.version };
    let text = match status {
        Some(_) if script::echoes_markers(&instance.eval_script) => Cow::Borrowed(text),
        Some(status) => Cow::Owned(format!("'\n{text}{}", trace_after_tests(status))),
        None => Cow::Borrowed(text),
    };
    parse(&instance.log_parser, &text, subject).map(|parsed| parsed.tests).unwrap_or_default()
}

/// A status other than 0 beside results without a failure.
fn exit_status(run: &Run<'_>, found: &mut Findings) {
    let Some(status) = run.status else { return };
    if status != 0 && !run.seen.is_empty() && !rules::shows_failure(run.seen) {
        found.suspicious("failed_status_without_failure", &format!("exit status {status}"));
    }
    // Tests of pytest itself print the results of inner runs.
    let inner_runs = run.instance.repo == "pytest-dev/pytest";
    if status == 0
        && !inner_runs
        && summary::ends_with_pytest(run.instance)
        && rules::shows_failure(run.seen)
    {
        found.suspicious("failure_without_failed_status", "exit status 0");
    }
}

/// Failures of expected tests that stand in the log, but so that the parser does not see them.
fn hidden(run: &Run<'_>, found: &mut Findings) {
    if run.text.contains(['\u{1b}', '\u{8}', '\0']) {
        let plain: String = lines(run.text)
            .flat_map(|line| [without_controls(line), Cow::Borrowed("\n")])
            .collect();
        let plain = results(run.instance, &plain, run.status);
        for name in run.expected() {
            let (shown, real) = (run.seen.get(name), plain.get(name));
            let fails = matches!(real, Some(TestStatus::Failed | TestStatus::Error));
            if fails && shown == Some(&TestStatus::Passed) {
                found.forged("hidden_failure", &format!("{name}, behind control characters"));
            }
        }
    }
    if run.instance.repo == "pytest-dev/pytest" || !summary::puts_status_first(run.instance) {
        return;
    }
    let expected = run.expected();
    for line in lines(run.text) {
        for sign in ["FAILED ", "ERROR "] {
            let Some(at) = memchr::memmem::find(line.as_bytes(), sign.as_bytes()) else { continue };
            let Some(name) = words(&line[at + sign.len()..]).next().filter(|_| at > 0) else {
                continue;
            };
            if expected.contains(name) && run.seen.get(name) == Some(&TestStatus::Passed) {
                found.forged("hidden_failure", &tail_of(line, at));
            }
        }
    }
}

fn tail_of(line: &str, at: usize) -> String {
    let start = (0..=at.saturating_sub(20)).rev().find(|at| line.is_char_boundary(*at));
    line[start.unwrap_or(0)..].to_owned()
}

/// Expected tests that failed and then passed, in one run.
fn contradictions(run: &Run<'_>, found: &mut Findings) {
    if run.instance.repo == "pytest-dev/pytest" {
        return;
    }
    let expected = run.expected();
    let passes = |name: &str| {
        expected.contains(name)
            && !has_blank_parameter(name)
            && run.seen.get(name) == Some(&TestStatus::Passed)
    };
    for line in lines(run.text) {
        let name = match run.instance.log_parser.as_str() {
            "parse_log_django" => {
                let line = line.trim();
                let failed = line.strip_suffix(" ... FAIL").or(line.strip_suffix(" ... ERROR"));
                failed.or(line.strip_prefix("FAIL: ")).or(line.strip_prefix("ERROR: "))
            }
            "parse_log_sympy" => continue,
            _ if summary::puts_status_first(run.instance) => {
                let line = without_colours(line);
                match failure(&line) {
                    Some(name) if passes(name) => {
                        found.forged("contradicting_results", &format!("passed, but: {line}"));
                    }
                    _ => {}
                }
                continue;
            }
            _ => continue,
        };
        if let Some(name) = name
            && passes(name)
        {
            found.forged("contradicting_results", &format!("passed, but: {line}"));
        }
    }
}

fn failure(line: &str) -> Option<&str> {
    if !line.starts_with('F') {
        return None;
    }
    let mut words = words(line);
    (words.next()? == "FAILED").then(|| words.next()).flatten()
}

/// Expected tests that pass in what was printed before the tests or after them.
fn outside(instance: &Instance, parts: [&str; 2], found: &mut Findings) {
    if instance.log_parser.contains("json")
        || crate::grade::result_file(&instance.log_parser).is_some()
    {
        return;
    }
    let wanted: HashSet<&str> = instance.fail_to_pass.iter().map(String::as_str).collect();
    for part in parts {
        for (name, status) in results(instance, part, None).iter() {
            if *status == TestStatus::Passed && wanted.contains(name) {
                found.suspicious("result_outside_the_section", name);
            }
        }
    }
}

/// Ids are cut at their first blank: several tests can share one.
pub(super) fn has_blank_parameter(name: &str) -> bool {
    name.contains('[') && !name.ends_with(']')
}

pub(super) fn without_colours(line: &str) -> Cow<'_, str> {
    static COLOUR: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\x1b\[[0-9;]*m").expect("a constant of ours"));
    if line.contains('\x1b') { COLOUR.replace_all(line, "") } else { Cow::Borrowed(line) }
}

/// Without anything that a terminal would obey.
fn without_controls(line: &str) -> Cow<'_, str> {
    static CONTROL: LazyLock<Regex> = LazyLock::new(|| {
        let form = r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])|[\x00-\x08\x0e-\x1a\x1b]";
        Regex::new(form).expect("a constant of ours")
    });
    CONTROL.replace_all(line, "")
}
