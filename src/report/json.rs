//! A run as JSON for programs: the numbers, what is counted from them, and a row for every attempt.

use super::analysis::Analysis;
use super::record::Record;
use super::rows::{Row, rows};
use super::{Denominators, Report, python_json};
use crate::journal::{DatasetFacts, Host, Versions};
use serde::Serialize;
use std::collections::BTreeSet;

/// The version of the form of [`json`].
pub const JSON_FORMAT: u32 = 1;

#[derive(Serialize)]
struct Document<'r> {
    format: u32,
    run_id: &'r str,
    complete: bool,
    began: String,
    last_event: String,
    versions: &'r Versions,
    host: &'r Host,
    dataset: &'r DatasetFacts,
    instances: usize,
    shares: Denominators,
    #[serde(flatten)]
    analysis: Analysis,
    results: Vec<Row<'r>>,
}

/// The text of the document: ASCII alone, so that nothing in it drives a terminal.
#[must_use]
pub fn json(record: &Record, validated: Option<&BTreeSet<String>>) -> String {
    let state = &record.state;
    let report = Report::with(state, validated);
    let document = Document {
        format: JSON_FORMAT,
        run_id: &state.header.run_id,
        complete: report.complete,
        began: state.began.to_string(),
        last_event: state.last.to_string(),
        versions: &state.header.versions,
        host: &state.header.host,
        dataset: &state.header.dataset,
        instances: report.instances,
        shares: report.shares,
        analysis: Analysis::of(record),
        results: rows(record),
    };
    python_json::to_text(&document) + "\n"
}
