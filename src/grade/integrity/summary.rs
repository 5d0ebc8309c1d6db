//! A runner's closing words against the results it gave.

use super::Findings;
use super::log::{Run, has_blank_parameter, without_colours};
use crate::grade::script::{Cut, cut};
use crate::grade::text::{lines, words};
use crate::model::{Instance, TestStatus};
use regex::Regex;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

pub(super) fn examine(run: &Run<'_>, found: &mut Findings) {
    match run.instance.log_parser.as_str() {
        "parse_log_django" => unittest(run, found),
        "parse_log_sympy" => sympy(run, found),
        _ if is_pytest(run.instance) => pytest(run, found),
        _ => {}
    }
}

/// Whether the exit status is pytest's own.
pub(super) fn ends_with_pytest(instance: &Instance) -> bool {
    let Cut::ThreeParts { test, .. } = cut(&instance.eval_script) else { return false };
    let last = test.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let plain = last.starts_with("pytest ") || last.starts_with("python -m pytest ");
    plain && !last.contains(['|', ';', '&'])
}

/// Whether a result is a line of status and name.
pub(super) fn puts_status_first(instance: &Instance) -> bool {
    const PYTHON: [&str; 15] = [
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
    PYTHON.iter().any(|known| instance.log_parser.starts_with(known))
}

/// Whether results are pytest's `-rA` summary lines.
fn is_pytest(instance: &Instance) -> bool {
    puts_status_first(instance) && instance.eval_script.contains("-rA")
}

/// A runner that ended well says so.
fn unfinished(run: &Run<'_>, found: &mut Findings) {
    let passes = run.seen.iter().any(|(_, status)| *status == TestStatus::Passed);
    if run.status == Some(0) && passes {
        found.forged(
            "runner_did_not_finish",
            "exit status 0 and tests that pass, but not the line with which the runner ends",
        );
    }
}

fn unittest(run: &Run<'_>, found: &mut Findings) {
    static RAN: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"^Ran ([0-9]+) tests? in [0-9.]+s").expect("a constant of ours")
    });
    let counts: Vec<usize> = lines(run.text)
        .filter_map(|line| RAN.captures(line).and_then(|found| found[1].parse().ok()))
        .collect();
    if counts.is_empty() {
        return unfinished(run, found);
    }
    let passed = lines(run.text).filter(|line| line.trim_end().ends_with(" ... ok")).count();
    let ran: usize = counts.iter().sum();
    if passed > ran {
        let evidence = format!("{passed} lines say ok, but {ran} tests ran");
        found.suspicious("passed_count_differs", &evidence);
    }
}

fn sympy(run: &Run<'_>, found: &mut Findings) {
    static ENDED: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"tests finished: ([0-9]+) passed").expect("a constant of ours")
    });
    let counts: Vec<usize> =
        ENDED.captures_iter(run.text).filter_map(|found| found[1].parse().ok()).collect();
    if counts.is_empty() {
        return unfinished(run, found);
    }
    let passes = |line: &&str| line.starts_with("test_") && line.trim_end().ends_with(" ok");
    let passed = lines(run.text).filter(passes).count();
    let ran: usize = counts.iter().sum();
    if passed > ran {
        let evidence = format!("{passed} lines say ok, but {ran} tests passed");
        found.suspicious("passed_count_differs", &evidence);
    }
}

/// pytest's last short summary: results outside of it, contradictions in it, and the count that
/// the runner gives itself. (Tests of pytest itself print whole summaries; theirs come before.)
fn pytest(run: &Run<'_>, found: &mut Findings) {
    let all: Vec<Cow<'_, str>> = lines(run.text).map(without_colours).collect();
    if !all.iter().any(|line| totals(line).is_some()) {
        unfinished(run, found);
    }
    let header =
        |line: &Cow<'_, str>| line.starts_with('=') && line.contains(" short test summary info ");
    let Some(start) = all.iter().rposition(header) else { return };
    if run.instance.repo != "pytest-dev/pytest"
        && let Some(line) = all[..start].iter().find(|line| header(line))
    {
        found.suspicious("several_summaries", line);
    }
    let length = all[start..].iter().position(|line| totals(line).is_some());
    let Some(end) = length.map(|length| start + length) else { return };
    let inside = inside(&all[start..end], &all[end], found);
    around(run, (&all[..start], &all[end..]), &inside, found);
}

/// The names in a summary.
fn inside<'l>(
    summary: &'l [Cow<'_, str>],
    closing: &str,
    found: &mut Findings,
) -> HashSet<&'l str> {
    let mut first: HashMap<&str, &str> = HashMap::new();
    let mut passed = 0u64;
    for line in summary {
        let Some((status, name)) = result(line) else { continue };
        passed += u64::from(status == "PASSED");
        // A test that passed can still have an error while it is taken down.
        let before = first.entry(name).or_insert(status);
        if (*before, status) == ("PASSED", "FAILED") && !has_blank_parameter(name) {
            found.suspicious("contradicting_results", line);
        }
    }
    if let Some(counted) = totals(closing).filter(|counted| *counted != passed) {
        let evidence =
            format!("{passed} lines, but `{}` says {counted}", closing.trim_matches(['=', ' ']));
        found.suspicious("passed_count_differs", &evidence);
    }
    first.into_keys().collect()
}

/// Results of expected tests before and behind the summary.
fn around(
    run: &Run<'_>,
    (before, behind): (&[Cow<'_, str>], &[Cow<'_, str>]),
    inside: &HashSet<&str>,
    found: &mut Findings,
) {
    let expected = run.expected();
    let passing = |line: &Cow<'_, str>| {
        result(line).is_some_and(|(status, name)| status == "PASSED" && expected.contains(name))
    };
    for line in behind.iter().filter(|line| passing(line)) {
        found.forged("result_after_the_summary", line);
    }
    for line in before.iter().filter(|line| passing(line)) {
        if result(line).is_some_and(|(_, name)| !inside.contains(name)) {
            found.suspicious("result_before_the_summary", line);
        }
    }
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
        let form = r"^(?:=+ .*\b)?[0-9]+ (?:passed|failed|skipped|errors?|warnings?|deselected|xfailed|xpassed)\b.* in [0-9.]+ ?s";
        Regex::new(form).expect("a constant of ours")
    });
    if !line.starts_with('=') && !line.starts_with(|c: char| c.is_ascii_digit())
        || !TOTALS.is_match(line)
    {
        return None;
    }
    let passed = PASSED.captures(line).and_then(|found| found[1].parse().ok());
    Some(passed.unwrap_or(0))
}
