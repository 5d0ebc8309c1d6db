//! Where a log contradicts itself or the facts.

use super::Findings;
use crate::grade::parsers::parse;
use crate::grade::script::{Cut, cut, trace_after_tests};
use crate::grade::text::{lines, words};
use crate::grade::{Subject, decode, reading, rules};
use crate::model::{Instance, Section, Status};
use regex::Regex;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

pub(super) fn examine(instance: &Instance, log: &[u8], section: &Section, found: &mut Findings) {
    let Section::Supervised { start, end, outcome } = section else { return };
    let at = |offset: u64| usize::try_from(offset).unwrap_or(log.len()).min(log.len());
    let text = decode(log.get(at(*start)..at(*end)).unwrap_or_default());
    for line in lines(&text).filter(|line| reading::has_marker(line)) {
        found.forged("printed_marker", line);
    }
    if let Status::Code(status) = outcome.status {
        exit_status(instance, &text, status, found);
    }
    if is_pytest(instance) {
        summary(instance, &text, found);
    }
}

/// A status other than 0 beside results without a failure.
fn exit_status(instance: &Instance, text: &str, status: i32, found: &mut Findings) {
    let subject = Subject { instance_id: instance.id.as_str(), version: &instance.version };
    let text = format!("'\n{text}{}", trace_after_tests(status));
    let Some(parsed) = parse(&instance.log_parser, &text, subject) else { return };
    let seen = parsed.tests;
    if status != 0 && !seen.is_empty() && !rules::shows_failure(&seen) {
        found.suspicious("failed_status_without_failure", &format!("exit status {status}"));
    }
    // Tests of pytest itself print the results of inner runs.
    let inner_runs = instance.repo == "pytest-dev/pytest";
    if status == 0 && !inner_runs && ends_with_pytest(instance) && rules::shows_failure(&seen) {
        found.suspicious("failure_without_failed_status", "exit status 0");
    }
}

/// Whether the exit status is pytest's own.
fn ends_with_pytest(instance: &Instance) -> bool {
    let Cut::ThreeParts { test, .. } = cut(&instance.eval_script) else { return false };
    let last = test.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let plain = last.starts_with("pytest ") || last.starts_with("python -m pytest ");
    plain && !last.contains(['|', ';', '&'])
}

/// Whether results are pytest's `-rA` summary lines.
fn is_pytest(instance: &Instance) -> bool {
    let others = ["parse_log_django", "parse_log_sympy", "parse_log_seaborn"];
    let python = [
        "parse_log_pytest",
        "parse_log_matplotlib",
        "parse_log_astroid",
        "parse_log_flask",
        "parse_log_marshmallow",
        "parse_log_pvlib",
        "parse_log_pyvista",
        "parse_log_sqlfluff",
        "parse_log_xarray",
        "parse_log_pydicom",
        "parse_log_requests",
        "parse_log_pylint",
        "parse_log_astropy",
        "parse_log_scikit",
        "parse_log_sphinx",
    ];
    let name = instance.log_parser.as_str();
    !others.contains(&name)
        && python.iter().any(|known| name.starts_with(known))
        && instance.eval_script.contains("-rA")
}

/// pytest's last short summary: results outside of it, contradictions in it, and the count that
/// the runner gives itself. (Tests of pytest itself print whole summaries; theirs come before.)
fn summary(instance: &Instance, text: &str, found: &mut Findings) {
    let all: Vec<Cow<'_, str>> = lines(text).map(without_colours).collect();
    let header =
        |line: &Cow<'_, str>| line.starts_with('=') && line.contains(" short test summary info ");
    let Some(start) = all.iter().rposition(header) else { return };
    if instance.repo != "pytest-dev/pytest"
        && let Some(line) = all[..start].iter().find(|line| header(line))
    {
        found.suspicious("several_summaries", line);
    }
    let length = all[start..].iter().position(|line| totals(line).is_some());
    let Some(end) = length.map(|length| start + length) else { return };

    let mut first: HashMap<&str, &str> = HashMap::new();
    let mut passed = 0u64;
    for line in &all[start..end] {
        let Some((status, name)) = result(line) else { continue };
        passed += u64::from(status == "PASSED");
        // A test that passed can still have an error while it is taken down.
        let before = first.entry(name).or_insert(status);
        if matches!((*before, status), ("PASSED", "FAILED") | ("FAILED", "PASSED"))
            && !has_blank_parameter(name)
        {
            found.suspicious("contradicting_results", line);
        }
    }
    if let Some(counted) = totals(&all[end]).filter(|counted| *counted != passed) {
        let evidence =
            format!("{passed} lines, but `{}` says {counted}", all[end].trim_matches(['=', ' ']));
        found.suspicious("passed_count_differs", &evidence);
    }
    let inside: HashSet<&str> = first.into_keys().collect();
    let expected: HashSet<&str> =
        instance.fail_to_pass.iter().chain(&instance.pass_to_pass).map(String::as_str).collect();
    for line in &all[end..] {
        if let Some(("PASSED", name)) = result(line)
            && expected.contains(name)
        {
            found.forged("result_after_the_summary", line);
        }
    }
    for line in &all[..start] {
        if let Some(("PASSED", name)) = result(line)
            && expected.contains(name)
            && !inside.contains(name)
        {
            found.suspicious("result_before_the_summary", line);
        }
    }
}

/// Ids are cut at their first blank: several tests can share one.
fn has_blank_parameter(name: &str) -> bool {
    name.contains('[') && !name.ends_with(']')
}

fn result(line: &str) -> Option<(&str, &str)> {
    if !line.starts_with(['P', 'F']) {
        return None;
    }
    let mut words = words(line);
    let (status, name) = (words.next()?, words.next()?);
    matches!(status, "PASSED" | "FAILED").then_some((status, name))
}

/// How many tests passed by the runner's last line, `== 1 failed, 5 passed in 0.1s ==`.
fn totals(line: &str) -> Option<u64> {
    static PASSED: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\b([0-9]+) passed\b").expect("a constant of ours"));
    static TOTALS: LazyLock<Regex> = LazyLock::new(|| {
        let form = r"^=+ .*\b[0-9]+ (?:passed|failed|skipped|errors?|warnings?|deselected|xfailed|xpassed)\b.* in [0-9.]+ ?s.*=$";
        Regex::new(form).expect("a constant of ours")
    });
    if !line.starts_with('=') || !TOTALS.is_match(line) {
        return None;
    }
    let passed = PASSED.captures(line).and_then(|found| found[1].parse().ok());
    Some(passed.unwrap_or(0))
}

fn without_colours(line: &str) -> Cow<'_, str> {
    static COLOUR: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\x1b\[[0-9;]*m").expect("a constant of ours"));
    if line.contains('\x1b') { COLOUR.replace_all(line, "") } else { Cow::Borrowed(line) }
}
