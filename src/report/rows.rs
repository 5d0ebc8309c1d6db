//! A row for every instance and attempt: CSV for tables, the same as values for JSON.

use super::analysis::cause_of;
use super::plain::printable;
use super::record::{Entry, Record};
use crate::journal::{Done, InstanceFacts};
use crate::model::{Phase, VerdictKind};
use serde::Serialize;
use std::collections::HashMap;

/// An instance and attempt of a model. The fields are the columns.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are the columns; docs/reports.md says what they mean")]
pub struct Row<'r> {
    pub run_id: &'r str,
    pub dataset: &'r str,
    pub split: &'r str,
    pub instance_id: &'r str,
    pub repo: &'r str,
    pub version: &'r str,
    pub difficulty: Option<&'r str>,
    pub language: Option<&'r str>,
    pub model: String,
    pub attempt: u32,
    pub verdict: Option<VerdictKind>,
    pub resolved: bool,
    pub why: Option<String>,
    pub cause: Option<String>,
    pub flaky: bool,
    pub trust: Option<&'static str>,
    pub doubts: String,
    pub infra_reason: Option<String>,
    pub fail_to_pass: Option<usize>,
    pub fail_to_pass_total: Option<usize>,
    pub pass_to_pass: Option<usize>,
    pub pass_to_pass_total: Option<usize>,
    pub round: Option<u32>,
    pub started: Option<String>,
    pub finished: Option<String>,
    pub setup_seconds: Option<f64>,
    pub prepare_seconds: Option<f64>,
    pub test_seconds: Option<f64>,
    pub wall_seconds: Option<f64>,
    pub cpu_seconds: Option<f64>,
    pub peak_memory_bytes: Option<u64>,
    pub patch_sha256: String,
    pub known_from: Option<String>,
    pub notes: String,
}

/// The rows of a run: by instance, model and attempt.
#[must_use]
pub fn rows(record: &Record) -> Vec<Row<'_>> {
    let header = &record.state.header;
    let instances: HashMap<_, _> = header.instances.iter().map(|one| (&one.id, one)).collect();
    let patches: HashMap<_, _> =
        header.predictions.iter().map(|one| (&one.key, one.patch)).collect();
    let mut rows = Vec::new();
    for entry in record.entries() {
        let Some(instance) = instances.get(&entry.key.instance_id) else { continue };
        let patch = patches.get(entry.key).map(ToString::to_string).unwrap_or_default();
        rows.push(Row::of(record, instance, &entry, patch));
    }
    rows
}

/// The rows as CSV, with a head.
#[must_use]
pub fn csv(record: &Record) -> String {
    to_csv(rows(record))
}

/// Rows of any kind as CSV; texts that a spreadsheet would take for a formula get an apostrophe.
pub(super) fn to_csv<R: Serialize>(rows: impl IntoIterator<Item = R>) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row).expect("rows are flat, and memory takes them");
    }
    let bytes = writer.into_inner().expect("memory takes what is written");
    String::from_utf8(bytes).expect("rows are text")
}

/// Text of others in a cell: nothing that drives a terminal or that a spreadsheet would compute.
pub(super) fn cell(text: &str) -> String {
    let text = printable(text);
    if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text }
}

impl<'r> Row<'r> {
    fn of(
        record: &'r Record,
        instance: &'r InstanceFacts,
        entry: &Entry<'r>,
        patch_sha256: String,
    ) -> Self {
        let header = &record.state.header;
        let done: Option<&Done> = entry.done;
        let tests = done.and_then(|done| done.tests);
        let phase = |phase| done.map(|_| rounded(entry.phase(phase).as_secs_f64()));
        let usage = done.map(|done| done.usage);
        Self {
            run_id: &header.run_id,
            dataset: &header.dataset.name,
            split: &header.dataset.split,
            instance_id: entry.key.instance_id.as_str(),
            repo: &instance.repo,
            version: &instance.version,
            difficulty: instance.difficulty.as_deref(),
            language: instance.language.as_deref(),
            model: cell(&entry.key.model),
            attempt: entry.key.attempt,
            verdict: done.map(|done| done.kind),
            resolved: entry.resolved(),
            why: done.and_then(|done| done.why.as_deref()).map(cell),
            cause: done.and_then(cause_of),
            flaky: done.is_some_and(|done| done.flaky),
            trust: done.and_then(|done| done.trust).map(crate::grade::Trust::name),
            doubts: done.map(|done| done.doubts.join("; ")).unwrap_or_default(),
            infra_reason: done.and_then(|done| done.cause.as_ref()).map(|one| one.reason.clone()),
            fail_to_pass: tests.map(|tests| tests.fail_to_pass.0),
            fail_to_pass_total: tests.map(|tests| tests.fail_to_pass.1),
            pass_to_pass: tests.map(|tests| tests.pass_to_pass.0),
            pass_to_pass_total: tests.map(|tests| tests.pass_to_pass.1),
            round: done.map(|done| done.round),
            started: entry.detail.started.map(|at| at.to_string()),
            finished: done.map(|done| done.at.to_string()),
            setup_seconds: phase(Phase::Setup),
            prepare_seconds: phase(Phase::Prepare),
            test_seconds: phase(Phase::Test),
            wall_seconds: usage.map(|usage| rounded(usage.wall.as_secs_f64())),
            cpu_seconds: usage.map(|usage| rounded((usage.user + usage.system).as_secs_f64())),
            peak_memory_bytes: usage.map(|usage| usage.peak_memory),
            patch_sha256,
            known_from: entry.detail.known_from.clone(),
            notes: done.map(|done| cell(&done.notes.join("; "))).unwrap_or_default(),
        }
    }
}

/// Milliseconds are enough for people and tables.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}
