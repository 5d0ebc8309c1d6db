//! Rows of the relatives: other benchmarks' dialects, told by their fields and turned into rows of
//! the 5.x format before anything else looks at them. One file a dialect.
//!
//! Only how a row is written is translated. Verdicts follow the rules of SWE-bench everywhere: an
//! expected test that is missing has failed, also where a relative lets it pass.

mod harbor;
mod live;
mod multi;
mod polybench;
mod pro;
mod python;
mod rebench;
mod script;
mod smith;

#[cfg(test)]
mod tests;

pub(super) use harbor::{holds_tasks, tasks};

use super::fields::Fields;
use super::read::Row;
use super::{Place, error::Problems};
use serde_json::{Map, Value};
use std::path::Path;

/// The version of rows that name none. Nothing is looked up by it, since such rows carry an image.
const NO_VERSION: &str = "0";

/// A dialect of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// SWE-bench 4.x and 5.x: rows are taken as they are.
    SweBench,
    /// SWE-bench-Live.
    Live,
    /// SWE-rebench.
    Rebench,
    /// SWE-smith.
    Smith,
    /// SWE-bench Pro.
    Pro,
    /// SWE-PolyBench.
    PolyBench,
    /// Multi-SWE-bench.
    Multi,
}

impl Dialect {
    /// By the fields of a row.
    pub(super) fn of(row: &Map<String, Value>) -> Self {
        let has = |name: &str| row.get(name).is_some_and(|value| !value.is_null());
        let all = |names: &[&str]| names.iter().all(|name| has(name));
        if has("eval_script") {
            Self::SweBench
        } else if all(&["org", "repo", "number", "fix_patch"]) {
            Self::Multi
        } else if has("selected_test_files_to_run") {
            Self::Pro
        } else if all(&["test_command", "F2P"]) {
            Self::PolyBench
        } else if has("install_config") {
            Self::Rebench
        } else if has("test_cmds") {
            Self::Live
        } else if smith::is_row(row) {
            Self::Smith
        } else {
            Self::SweBench
        }
    }
}

/// The row in the 5.x format; nothing if it cannot be translated, which is noted.
pub(super) fn translate(path: &Path, row: Row, problems: &mut Problems) -> Option<Row> {
    let translate = match Dialect::of(&row.fields) {
        Dialect::SweBench => return Some(row),
        Dialect::Live => live::translate,
        Dialect::Rebench => rebench::translate,
        Dialect::Smith => smith::translate,
        Dialect::Pro => pro::translate,
        Dialect::PolyBench => polybench::translate,
        Dialect::Multi => multi::translate,
    };
    let (place, key) = (row.place, row.key.clone());
    let mut fields = Fields::new(path, row, problems);
    let new = translate(&mut fields);
    let good = fields.good();
    let rest = fields.rest();
    new.filter(|_| good).map(|new| new.row(place, key, rest))
}

/// What a dialect makes of a row.
#[derive(Default)]
struct NewRow {
    id: Option<String>,
    repo: Option<String>,
    image: String,
    work_dir: Option<String>,
    patch: Option<String>,
    test_patch: String,
    fail_to_pass: Vec<String>,
    pass_to_pass: Vec<String>,
    eval_script: String,
    log_parser: String,
    problem_statement: Option<String>,
    base_commit: Option<String>,
}

impl NewRow {
    /// The row of the 5.x format; fields that were not asked for stay as they are.
    fn row(self, place: Place, key: Option<String>, mut rest: Map<String, Value>) -> Row {
        let mut fields = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            let own = rest.swap_remove(name);
            if let Some(value) = value.or(own) {
                fields.insert(name.to_owned(), value);
            }
        };
        put("instance_id", self.id.map(Value::from));
        put("repo", self.repo.map(Value::from));
        put("base_commit", self.base_commit.map(Value::from));
        put("patch", self.patch.map(Value::from));
        put("test_patch", Some(self.test_patch.into()));
        put("problem_statement", self.problem_statement.map(Value::from));
        put("hints_text", None);
        put("created_at", None);
        put("version", None);
        if fields.get("version").and_then(Value::as_str).is_none_or(str::is_empty) {
            fields.insert("version".to_owned(), NO_VERSION.into());
        }
        let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        put("FAIL_TO_PASS", self.fail_to_pass.into());
        put("PASS_TO_PASS", self.pass_to_pass.into());
        put("image", self.image.into());
        put("eval_script", self.eval_script.into());
        put("log_parser", self.log_parser.into());
        put("eval_type", "pass_and_fail".into());
        if let Some(work_dir) = self.work_dir {
            put("work_dir", work_dir.into());
        }
        // What SWE-bench has as text under this name is an object of counts in others.
        if let Some(facts) = rest.swap_remove("difficulty") {
            let name = if facts.is_string() { "difficulty" } else { "difficulty_facts" };
            rest.insert(name.to_owned(), facts);
        }
        for (name, value) in rest {
            fields.entry(name).or_insert(value);
        }
        Row { place, key, fields }
    }
}

/// `owner__name-7` as the images of most relatives spell it.
fn image_id(id: &str) -> String {
    id.replace("__", "_1776_").to_lowercase()
}
