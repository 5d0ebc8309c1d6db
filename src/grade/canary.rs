//! Tests whose results are known: the task's own, made so that they must fail, others that must
//! fail by every way of asserting, and one that must pass. A runner that was tampered with answers
//! wrong. Pure: texts of test files in, texts out, and what a log of them says.

mod mutate;
mod python;

#[cfg(test)]
mod tests;

use super::integrity::change::changes;
use super::{Subject, decode, parsers, script};
use crate::model::{Canary, Instance, TestStatus, TestsReport};
use std::collections::{BTreeMap, BTreeSet};

/// Test files as they have to stand for the canary, and what must come of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanaryPlan {
    /// Files and their new content.
    pub files: BTreeMap<String, String>,
    /// Where the tests, as they are loaded, write down which of them were spoiled; a path inside.
    pub witness: Option<String>,
    /// Expected tests that must fail now, by the name of each. With a witness: only those it names.
    spoiled: BTreeMap<String, String>,
    /// No test file runs itself before its end, so that no test of theirs passes unless they are
    /// loaded to the end.
    whole: bool,
    /// Parts of names of tests that must fail.
    must_fail: Vec<String>,
    /// Parts of names of tests that must pass. Empty where the task's other tests show that the
    /// runner works.
    must_pass: Vec<String>,
}

/// The files that the test patch touches and that are there after it.
#[must_use]
pub fn test_files(instance: &Instance) -> Vec<String> {
    let all = changes(&instance.test_patch);
    let there = all.iter().filter(|change| {
        !change.text.contains("\n+++ /dev/null") && !change.text.contains("\ndeleted file mode")
    });
    there.map(|change| change.path.to_owned()).collect()
}

/// Spoils the tests of these files. `word` is three or four common words joined by `_`, never
/// used before, for tests of its own.
///
/// # Errors
/// Why there is no canary for this task.
pub fn plan_canary(
    instance: &Instance,
    tests: &TestsReport,
    files: &BTreeMap<String, String>,
    word: &str,
) -> Result<CanaryPlan, String> {
    let passed: BTreeSet<&str> = tests.fail_to_pass.success.iter().map(String::as_str).collect();
    let python: BTreeMap<&String, &String> =
        files.iter().filter(|(path, _)| path.ends_with(".py")).collect();
    if !python.is_empty() {
        return Ok(python::plan(instance, &passed, &python, word));
    }
    let (files, spoiled) = mutate::plan(&passed, files);
    if spoiled.is_empty() {
        return Err("no test of this kind can be made to fail".to_owned());
    }
    let must = Vec::new();
    Ok(CanaryPlan {
        files,
        witness: None,
        whole: false,
        spoiled,
        must_fail: must.clone(),
        must_pass: must,
    })
}

/// What a log of the canary, and its witness, say.
#[must_use]
pub fn judge_canary(
    instance: &Instance,
    plan: &CanaryPlan,
    log: &[u8],
    witness: Option<&str>,
) -> Canary {
    let subject = Subject { instance_id: instance.id.as_str(), version: &instance.version };
    let text = decode(log);
    let text = match script::echoes_markers(&instance.eval_script) {
        true => text.into_owned(),
        false => format!("'\n{text}"),
    };
    let seen = parsers::parse(&instance.log_parser, &text, subject)
        .map(|parsed| parsed.tests)
        .unwrap_or_default();
    let passes = |status: &TestStatus| *status == TestStatus::Passed;
    let named: Option<BTreeSet<&str>> = witness.map(|text| text.lines().collect());
    let spoiled = plan.spoiled.iter().filter(|(_, mark)| match &plan.witness {
        Some(_) => named.as_ref().is_some_and(|named| named.contains(mark.as_str())),
        None => true,
    });
    let (mut wrong, mut failed) = (Vec::new(), 0);
    let own = |name: &str| {
        plan.must_fail.iter().chain(&plan.must_pass).any(|part| name.contains(part.as_str()))
    };
    if plan.whole && witness.is_none() && !seen.iter().any(|(name, _)| own(name)) {
        // The test files were not even loaded.
        let passing = plan.spoiled.keys().filter(|name| seen.get(name).is_some_and(passes));
        wrong.extend(passing.cloned());
    }
    for (name, _) in spoiled {
        match seen.get(name) {
            Some(status) if passes(status) => wrong.push(name.clone()),
            _ => failed += 1,
        }
    }
    // One of several that passes although it was changed may not have reached the change.
    if plan.witness.is_none() && failed > 0 {
        wrong.clear();
    }
    let mut passed = false;
    for (name, status) in seen.iter() {
        if plan.must_fail.iter().any(|part| name.contains(part.as_str())) {
            match passes(status) {
                true => wrong.push(name.to_owned()),
                false => failed += 1,
            }
        }
        passed |= passes(status) && plan.must_pass.iter().any(|part| name.contains(part.as_str()));
    }
    if plan.must_pass.is_empty() {
        passed = instance.pass_to_pass.iter().any(|name| seen.get(name).is_some_and(passes));
    }
    let silent = (wrong.is_empty() && !passed)
        .then(|| "the test that must pass was not reported as passed".to_owned());
    Canary { failed, passed_wrongly: wrong, passed, silent }
}
