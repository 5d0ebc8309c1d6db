//! The `report.json` of one prediction: the incumbent's keys, and a block of our own after them.

use super::python_json;
use crate::journal::{Evaluated, reported};
use crate::model::{Evaluation, Section, TestLists, TestsReport, Verdict};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// The text of the file; `None` where the incumbent writes none, since it tells by the presence of
/// the file that an instance is completed.
#[must_use]
pub fn instance_report(evaluated: &Evaluated) -> Option<String> {
    let evaluation = &evaluated.evaluation;
    if !reported(&evaluation.verdict) {
        return None;
    }
    let gradeable = evaluation.verdict.tests();
    let sign = evaluated.log_sign.as_ref();
    let report = InstanceReport {
        patch_is_none: false,
        patch_exists: true,
        patch_successfully_applied: gradeable.is_some(),
        resolved: matches!(evaluation.verdict, Verdict::Resolved { .. }),
        infra_failure: sign.is_some_and(|sign| !sign.ambiguous),
        infra_failure_reason: sign.map(|sign| sign.reason.as_str()),
        tests_status: gradeable.map(TestsStatus::of),
        evalrun: own_block(evaluated),
    };
    let mut by_id = Map::new();
    let value = serde_json::to_value(report).expect("reports always have a JSON form");
    by_id.insert(evaluated.key.instance_id.to_string(), value);
    Some(python_json::to_text(&by_id))
}

/// The order of the fields is the order of the keys.
#[derive(Serialize)]
struct InstanceReport<'a> {
    #[serde(rename = "patch_is_None")]
    patch_is_none: bool,
    patch_exists: bool,
    /// The incumbent's name for: the log could be judged.
    patch_successfully_applied: bool,
    resolved: bool,
    infra_failure: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    infra_failure_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tests_status: Option<TestsStatus<'a>>,
    evalrun: Value,
}

#[derive(Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
struct TestsStatus<'a> {
    fail_to_pass: &'a TestLists,
    pass_to_pass: &'a TestLists,
    /// Not looked at by the incumbent, but written.
    fail_to_fail: TestLists,
    /// Likewise.
    pass_to_fail: TestLists,
}

impl<'a> TestsStatus<'a> {
    fn of(tests: &'a TestsReport) -> Self {
        Self {
            fail_to_pass: &tests.fail_to_pass,
            pass_to_pass: &tests.pass_to_pass,
            fail_to_fail: TestLists::default(),
            pass_to_fail: TestLists::default(),
        }
    }
}

fn own_block(evaluated: &Evaluated) -> Value {
    let Evaluation { verdict, section, applied_by, phases, usage, disk, probes, notes } =
        &evaluated.evaluation;
    let mut block = Map::new();
    block.insert("verdict".to_owned(), verdict.name().into());
    if let Verdict::LogUnusable { why } = verdict {
        block.insert("why".to_owned(), json!(why));
    }
    // Whether the supervisor saw the tests begin and end, or the log's text is all there is.
    let rests_on = match section {
        Some(Section::Supervised { .. }) => "supervisor",
        Some(Section::TextOnly { .. }) => "text",
        None => "nothing",
    };
    block.insert("rests_on".to_owned(), rests_on.into());
    block.insert("attempt".to_owned(), evaluated.key.attempt.into());
    block.insert("round".to_owned(), evaluated.round.into());
    block.insert("applied_by".to_owned(), json!(applied_by));
    let seconds = phases.iter().map(|(phase, took)| {
        let name = json!(phase).as_str().unwrap_or_default().to_owned();
        (name, json!(took.as_secs_f64()))
    });
    block.insert("seconds".to_owned(), Value::Object(seconds.collect()));
    block.insert(
        "usage".to_owned(),
        json!({
            "wall_seconds": usage.wall.as_secs_f64(),
            "user_seconds": usage.user.as_secs_f64(),
            "system_seconds": usage.system.as_secs_f64(),
            "peak_memory": usage.peak_memory,
            "output_bytes": usage.output_bytes,
            "output_dropped": usage.output_dropped,
        }),
    );
    block.insert("infra_evidence".to_owned(), json!(evaluated.evidence));
    if let Some(disk) = disk {
        block.insert("disk".to_owned(), json!(disk));
    }
    if let Some(integrity) = &evaluated.integrity {
        block.insert("integrity".to_owned(), json!(integrity));
    }
    if !probes.is_empty() {
        block.insert("probes".to_owned(), json!(probes));
    }
    block.insert("notes".to_owned(), json!(notes));
    Value::Object(block)
}
