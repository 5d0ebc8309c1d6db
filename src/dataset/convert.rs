//! Rows of any dialect as rows of the 5.x format.

use super::{DatasetError, LoadOptions, load};
use crate::model::{EvalType, Instance, TESTBED};
use serde_json::{Map, Value};

/// Loads a task list, and gives for each of its instances a row of the 5.x format: the fields that
/// swebench 5 reads, complete, then those of the source that it does not know, as they were.
///
/// # Errors
/// [`DatasetError`] with every problem of the input.
pub async fn convert(
    spec: &str,
    options: &LoadOptions,
) -> Result<Vec<Map<String, Value>>, DatasetError> {
    let mut rows = Vec::new();
    load::load_with(spec, options, &mut |row, instance| rows.push(complete(row, instance))).await?;
    Ok(rows)
}

fn complete(mut row: Map<String, Value>, instance: &Instance) -> Map<String, Value> {
    let optional = |text: &Option<String>| text.clone().map_or(Value::Null, Value::String);
    let mut new = Map::new();
    let mut put = |name: &str, value: Value| {
        row.swap_remove(name);
        new.insert(name.to_owned(), value);
    };
    put("repo", instance.repo.clone().into());
    put("instance_id", instance.id.as_str().into());
    put("base_commit", optional(&instance.base_commit));
    put("patch", instance.gold_patch.clone().unwrap_or_default().into());
    put("test_patch", instance.test_patch.clone().into());
    for name in ["problem_statement", "hints_text", "created_at"] {
        let own = row.swap_remove(name).filter(|value| !value.is_null());
        new.insert(name.to_owned(), own.unwrap_or_else(|| "".into()));
    }
    let mut put = |name: &str, value: Value| {
        row.swap_remove(name);
        new.insert(name.to_owned(), value);
    };
    put("version", instance.version.clone().into());
    put("FAIL_TO_PASS", instance.fail_to_pass.clone().into());
    put("PASS_TO_PASS", instance.pass_to_pass.clone().into());
    if let Some(commit) = &instance.environment_setup_commit {
        put("environment_setup_commit", commit.clone().into());
    }
    put("image", instance.image_name.clone().into());
    put("eval_script", instance.eval_script.clone().into());
    put("log_parser", instance.log_parser.clone().into());
    let eval_type = match instance.eval_type {
        EvalType::PassAndFail => "pass_and_fail",
        EvalType::FailOnly => "fail_only",
    };
    put("eval_type", eval_type.into());
    if instance.work_dir != TESTBED {
        put("work_dir", instance.work_dir.clone().into());
    }
    for name in ["image_name", "docker_image"] {
        row.swap_remove(name);
    }
    row.retain(|_, value| !value.is_null());
    new.extend(row);
    new
}
