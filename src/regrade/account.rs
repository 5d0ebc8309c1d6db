//! Why a prediction has its verdict, from what its run left.

use super::find::{Logged, every};
use super::{Found, RegradeError};
use crate::grade::{self, decode, excerpt, log_end, short_line};
use crate::journal::reason_of;
use crate::model::{Section, TestsReport, Verdict};
use serde::Serialize;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Tests that are named at most.
const TESTS: usize = 10;
/// Lines of a log that are shown at most.
const LINES: usize = 60;

/// The account of one prediction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Account {
    /// Instance, model and attempt, in words.
    pub prediction: String,
    /// The name of the verdict.
    pub verdict: String,
    /// More on it.
    pub why: Option<String>,
    /// Expected tests that went the other way, those to be mended first.
    pub failed: Vec<String>,
    /// The first of them.
    pub test: Option<String>,
    /// Its part of the log; the log's end where there is none.
    pub log: Vec<String>,
    /// Hunks of the patch that nothing took, with what was said of them.
    pub rejected: Vec<String>,
    /// Evidence of trouble in the environment.
    pub evidence: Vec<String>,
    /// Signs that its results are not what they seem.
    pub signs: Vec<String>,
    /// Remarks of the verdict.
    pub notes: Vec<String>,
    /// Where the files are.
    pub place: PathBuf,
}

/// The accounts of an instance's predictions in a run, of all models or one.
///
/// # Errors
/// [`RegradeError`], also where there is none.
pub fn account(
    run: &Path,
    instance: &str,
    model: Option<&str>,
) -> Result<Vec<Account>, RegradeError> {
    let mut found = every(run, instance)?;
    found.retain(|one| model.is_none_or(|model| &*one.key.model == model));
    if found.is_empty() {
        return Err(RegradeError::Nothing(run.to_owned()));
    }
    found.iter().map(of).collect()
}

fn of(found: &Found) -> Result<Account, RegradeError> {
    let (log, instance_log) = found.logs()?;
    let log = log.unwrap_or_default();
    let known = Known::of(found)?;
    let failed: Vec<String> = known.tests.iter().flat_map(failures).collect();
    let test = failed.first().map(|line| line.split(": ").nth(1).unwrap_or(line).to_owned());
    let section = known.section(&log);
    let text = decode(section);
    let judged = !matches!(known.verdict.as_str(), "resolved" | "patch_rejected" | "empty_patch");
    let part = match &test {
        Some(test) => excerpt(&text, test, LINES),
        None if judged => log_end(&text),
        None => Vec::new(),
    };
    let patch = fs_err::read_to_string(found.directory().join("patch.diff")).unwrap_or_default();
    let rejected = match known.verdict.as_str() {
        "patch_rejected" => rejected(&decode(&instance_log), &patch),
        _ => Vec::new(),
    };
    let evidence = match &found.logged {
        Logged::Ours(evaluation) => grade::evidence(evaluation, &log, &instance_log),
        Logged::Foreign { .. } => Vec::new(),
    };
    let line = |one: grade::Evidence| {
        let word = |value: Value| value.as_str().unwrap_or_default().to_owned();
        let of = |value| word(serde_json::to_value(value).unwrap_or_default());
        format!(
            "{} ({}, told by the {}): {}",
            one.reason,
            of(serde_json::json!(one.tier)),
            of(serde_json::json!(one.witness)),
            one.detail
        )
    };
    let mut shown = failed;
    let more = shown.len().saturating_sub(TESTS);
    shown.truncate(TESTS);
    if more > 0 {
        shown.push(format!("… and {more} more"));
    }
    Ok(Account {
        prediction: found.key.to_string(),
        verdict: known.verdict,
        why: known.why,
        failed: shown,
        test,
        log: part,
        rejected,
        evidence: evidence.into_iter().map(line).collect(),
        signs: signs(found),
        notes: known.notes,
        place: found.place.clone(),
    })
}

/// Signs of forging, as its report has them.
fn signs(found: &Found) -> Vec<String> {
    let text = fs_err::read(found.directory().join("report.json")).unwrap_or_default();
    let report: Value = serde_json::from_slice(&text).unwrap_or_default();
    let integrity = &report[found.key.instance_id.as_str()]["evalrun"]["integrity"];
    let word = |sign: &Value, key: &str| sign[key].as_str().unwrap_or_default().to_owned();
    let signs = integrity["signs"].as_array().into_iter().flatten();
    let against = signs.filter(|sign| sign["trust"] != "clean");
    against
        .map(|sign| {
            let (trust, reason) = (word(sign, "trust"), word(sign, "reason"));
            format!("{reason} ({trust}): {}", word(sign, "evidence"))
        })
        .collect()
}

/// What is on record of a verdict.
struct Known {
    verdict: String,
    why: Option<String>,
    tests: Option<TestsReport>,
    bounds: Option<(u64, u64)>,
    notes: Vec<String>,
}

impl Known {
    fn of(found: &Found) -> Result<Self, RegradeError> {
        let Logged::Ours(evaluation) = &found.logged else { return Self::foreign(found) };
        let why = match &evaluation.verdict {
            Verdict::Infra { cause } => Some(cause.detail.clone()),
            verdict => reason_of(verdict),
        };
        let bounds = match &evaluation.section {
            Some(Section::Supervised { start, end, .. }) => Some((*start, *end)),
            _ => None,
        };
        Ok(Self {
            verdict: evaluation.verdict.name().to_owned(),
            why,
            tests: evaluation.verdict.tests().cloned(),
            bounds,
            notes: evaluation.notes.clone(),
        })
    }

    /// By the incumbent's report.
    fn foreign(found: &Found) -> Result<Self, RegradeError> {
        let path = found.directory().join("report.json");
        let mut known = Self {
            verdict: "error".to_owned(),
            why: None,
            tests: None,
            bounds: None,
            notes: vec![],
        };
        if !path.is_file() {
            known.why = Some("there is no report.json".to_owned());
            let log = fs_err::read(found.directory().join("run_instance.log")).unwrap_or_default();
            if memchr::memmem::find(&log, b">>>>> Patch Apply Failed").is_some() {
                known.verdict = "patch_rejected".to_owned();
            }
            return Ok(known);
        }
        let report: Value = serde_json::from_slice(&fs_err::read(&path)?).unwrap_or_default();
        let own = &report[found.key.instance_id.as_str()];
        let resolved = own["resolved"].as_bool().unwrap_or(false);
        known.verdict = if resolved { "resolved" } else { "unresolved" }.to_owned();
        if own["patch_successfully_applied"] == Value::Bool(false) {
            known.why = Some("the log could not be judged".to_owned());
        }
        known.tests = serde_json::from_value(own["tests_status"].clone()).ok();
        Ok(known)
    }

    /// The tests' part of a log, as far as it is known.
    fn section<'l>(&self, log: &'l [u8]) -> &'l [u8] {
        let Some((start, end)) = self.bounds else { return log };
        let at = |offset: u64| usize::try_from(offset).unwrap_or(log.len()).min(log.len());
        log.get(at(start)..at(end)).unwrap_or(log)
    }
}

fn failures(tests: &TestsReport) -> Vec<String> {
    let line = |what: &str, names: &[String]| -> Vec<String> {
        names.iter().map(|name| format!("{what}: {name}")).collect()
    };
    let mut lines = line("should pass now", &tests.fail_to_pass.failure);
    lines.extend(line("should pass still", &tests.pass_to_pass.failure));
    lines
}

/// The hunks that git or patch named as those that do not apply, with what they said.
fn rejected(instance_log: &str, patch: &str) -> Vec<String> {
    let mut shown: Vec<String> = Vec::new();
    for line in instance_log.lines() {
        let Some(said) = line.strip_prefix("error: ") else { continue };
        if shown.iter().any(|known| known == line) {
            continue;
        }
        shown.push(line.to_owned());
        if let Some(place) = said.strip_prefix("patch failed: ")
            && let Some((file, number)) = place.rsplit_once(':')
        {
            shown.extend(hunk(patch, file, number));
        }
        if shown.len() > LINES {
            break;
        }
    }
    if shown.is_empty() {
        let said = instance_log.lines().filter(|line| line.contains("FAILED at"));
        shown.extend(said.take(10).map(str::to_owned));
    }
    shown
}

/// The hunk of a file that begins at this line of the old side.
fn hunk(patch: &str, file: &str, number: &str) -> Vec<String> {
    let mut inside_file = false;
    let mut lines = Vec::new();
    for line in patch.lines() {
        if let Some(name) = line.strip_prefix("--- ") {
            inside_file = name.trim_start_matches("a/") == file;
        }
        if line.starts_with("@@ -") || line.starts_with("diff --git ") {
            if !lines.is_empty() {
                break;
            }
            let start = line.strip_prefix("@@ -").and_then(|rest| rest.split([',', ' ']).next());
            if inside_file && start == Some(number) {
                lines.push(line.to_owned());
            }
        } else if !lines.is_empty() {
            lines.push(short_line(line));
        }
    }
    lines.truncate(LINES / 2);
    lines
}
