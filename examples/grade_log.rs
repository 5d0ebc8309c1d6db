//! Grades logs by their text as the incumbent does: a JSON object a line on standard input,
//! `{"row", "hex"}` with a row's `log_parser`, `eval_type`, `FAIL_TO_PASS` and `PASS_TO_PASS` and
//! the log's bytes in hexadecimal; a line `{"verdict", "official", "supervised"}` each on standard
//! output, the last with the whole log taken for the test section of a run that exited with 0.

use evalrun::grade::{grade, official};
use evalrun::model::{EvalType, Instance, InstanceId, LimitsHit, Outcome, Section, Status, Usage};
use serde_json::{Value, json};
use std::io::{BufRead, Write, stdin, stdout};

fn main() -> anyhow::Result<()> {
    let mut output = stdout().lock();
    for line in stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let log = hex::decode(request["hex"].as_str().unwrap_or_default())?;
        let instance = instance(&request["row"])?;
        let outcome = Outcome {
            status: Status::Code(0),
            limits_hit: LimitsHit::default(),
            usage: Usage::default(),
        };
        let section = Section::Supervised { start: 0, end: log.len() as u64, outcome };
        let verdict = official(&instance, &log).verdict;
        let supervised = grade(&instance, &log, &section).verdict;
        let answer = json!({
            "verdict": verdict.name(), "official": verdict, "supervised": supervised.name()
        });
        writeln!(output, "{answer}")?;
    }
    Ok(())
}

fn instance(row: &Value) -> anyhow::Result<Instance> {
    let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let fail_only = row["eval_type"] == "fail_only";
    Ok(Instance {
        id: InstanceId::new("owner__name-1")?,
        repo: String::new(),
        base_commit: None,
        version: String::new(),
        environment_setup_commit: None,
        gold_patch: None,
        test_patch: String::new(),
        difficulty: None,
        fail_to_pass: serde_json::from_value(row["FAIL_TO_PASS"].clone())?,
        pass_to_pass: serde_json::from_value(row["PASS_TO_PASS"].clone())?,
        work_dir: "/testbed".to_owned(),
        image_name: String::new(),
        env: None,
        eval_script: String::new(),
        log_parser: text("log_parser"),
        eval_type: if fail_only { EvalType::FailOnly } else { EvalType::PassAndFail },
        dockerfile: None,
        image_assets: Vec::new(),
    })
}
