//! SWE-rebench: rows with `install_config`, of both versions of the data set.
//!
//! Source of version 1: `swebench/harness/test_spec/python.py` of the `SWE-rebench/SWE-bench-fork`;
//! there the script is the incumbent's, with `install`, `test_cmd` and the test files, in the conda
//! environment `testbed` at `/testbed`. Source of version 2 (rows with `language` and `image_name`):
//! `server.py` and `log_parsers.py` of `SWE-rebench/SWE-rebench-V2-OpenRewardEnv`; there the
//! repository stands at `/<name>`, and `test_cmd` runs as it is. `log_parser` is a name of swebench's
//! registry in both, or one of their own.

use super::script::{ACTIVATE, Script};
use super::{NewRow, image_id};
use crate::dataset::fields::Fields;
use crate::dataset::patch;
use crate::dataset::read::kind;
use crate::dataset::script::test_files;
use serde_json::{Map, Value};

pub(super) fn translate(row: &mut Fields<'_>) -> Option<NewRow> {
    let config = config(row)?;
    let second = row.has("language") && row.has("image_name");
    let id = row.peek("instance_id").unwrap_or_default();
    let repo = row.peek("repo").unwrap_or_default();
    let image = ["docker_image", "image_name", "image"].iter().find_map(|name| row.filled(name));
    let image = image.unwrap_or_else(|| format!("swerebench/sweb.eval.x86_64.{}", image_id(&id)));
    let Some(command) = text(row, &config, "test_cmd") else {
        row.wrong("install_config", "names no `test_cmd`", "write the command that runs the tests");
        return None;
    };
    let log_parser = text(row, &config, "log_parser").or_else(|| row.filled("log_parser"));
    let log_parser = log_parser.unwrap_or_else(|| "parse_log_pytest".to_owned());
    let test_patch = row.text("test_patch").unwrap_or_default();
    let base_commit = row.peek("base_commit");
    let work_dir = match second {
        true => format!("/{}", repo.rsplit('/').next().unwrap_or_default()),
        false => "/testbed".to_owned(),
    };
    let mut script = Script {
        work_dir: &work_dir,
        base_commit: base_commit.as_deref(),
        test_patch: &test_patch,
        ..Script::default()
    };
    if second {
        script.test = command;
    } else {
        script.prepare = ACTIVATE.to_owned();
        script.install = text(row, &config, "install").unwrap_or_default();
        script.test = command + &test_files(&patch::changes(&test_patch));
    }
    Some(NewRow {
        image,
        eval_script: script.text(),
        log_parser,
        fail_to_pass: plain(row.list("FAIL_TO_PASS")?),
        pass_to_pass: plain(row.list("PASS_TO_PASS")?),
        work_dir: second.then(|| work_dir.clone()),
        test_patch,
        ..NewRow::default()
    })
}

fn config(row: &mut Fields<'_>) -> Option<Map<String, Value>> {
    let hint = "write an object with `test_cmd` and `log_parser`, or its JSON text";
    let value = match row.value("install_config")? {
        Value::String(text) => match serde_json::from_str(&text) {
            Ok(value) => value,
            Err(error) => {
                row.wrong("install_config", format!("text that is no JSON ({error})"), hint);
                return None;
            }
        },
        value => value,
    };
    match value {
        Value::Object(config) => Some(config),
        other => {
            let what = format!("{} where an object is wanted", kind(&other));
            row.wrong("install_config", what, hint);
            None
        }
    }
}

/// A command, written as text or as a list of lines.
fn text(row: &mut Fields<'_>, config: &Map<String, Value>, name: &str) -> Option<String> {
    match config.get(name)? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        Value::Array(lines) if lines.iter().all(Value::is_string) => {
            let lines: Vec<_> = lines.iter().filter_map(Value::as_str).collect();
            Some(lines.join("\n")).filter(|text| !text.is_empty())
        }
        other => {
            let what = format!("`{name}` is {} where text is wanted", kind(other));
            row.wrong("install_config", what, "");
            None
        }
    }
}

/// Some names carry the colours that the runner printed; logs are read without them.
fn plain(names: Vec<String>) -> Vec<String> {
    names.into_iter().map(|name| name.trim().to_owned()).collect()
}
