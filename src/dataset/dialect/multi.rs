//! Multi-SWE-bench: rows with `org`, `repo`, `number`, `fix_patch` and the tests by name.
//!
//! Source: `multi_swe_bench/harness/{dataset,image,report}.py` and `repos/` of
//! `multi-swe-bench/multi-swe-bench`. The image is `mswebench/<org>_m_<repo>:pr-<number>`, the
//! repository stands at `/home/<repo>`. In the image `/home/fix-run.sh` applies the tests' patch and
//! the candidate and runs the tests, `/home/test-run.sh` does so without the candidate; since the
//! candidate is in the work tree already, the second is run. `fixed_tests` must pass, `p2p_tests`
//! must go on passing. Every repository has a parser of its own: those of Go and Rust are alike,
//! projects that test with CTest have CTest's; other rows name a `log_parser`.

use super::NewRow;
use super::script::Script;
use crate::dataset::fields::{Fields, short};
use crate::dataset::read::kind;
use serde_json::{Map, Value};

/// Repositories of the published set whose tests our parsers read.
const PARSERS: [(&str, &str); 18] = [
    ("cli/cli", "multi-go"),
    ("grpc/grpc-go", "multi-go"),
    ("zeromicro/go-zero", "multi-go"),
    ("burntsushi/ripgrep", "parse_log_cargo"),
    ("clap-rs/clap", "parse_log_cargo"),
    ("nushell/nushell", "parse_log_cargo"),
    ("rayon-rs/rayon", "parse_log_cargo"),
    ("serde-rs/serde", "parse_log_cargo"),
    ("sharkdp/bat", "parse_log_cargo"),
    ("sharkdp/fd", "parse_log_cargo"),
    ("tokio-rs/bytes", "parse_log_cargo"),
    ("tokio-rs/tokio", "parse_log_cargo"),
    ("tokio-rs/tracing", "parse_log_cargo"),
    ("catchorg/catch2", "ctest"),
    ("fmtlib/fmt", "ctest"),
    ("nlohmann/json", "ctest"),
    ("simdjson/simdjson", "ctest"),
    ("jqlang/jq", "parse_log_jq"),
];

pub(super) fn translate(row: &mut Fields<'_>) -> Option<NewRow> {
    let org = row.required("org", "write the owner of the repository")?;
    let name = row.required("repo", "write the name of the repository")?;
    let number = number(row)?;
    let log_parser = log_parser(row, &org, &name);
    let fail_to_pass = names(row, "fixed_tests");
    let pass_to_pass = names(row, "p2p_tests");
    let base = match row.value("base") {
        Some(Value::Object(base)) => base,
        _ => Map::new(),
    };
    let base_commit = base.get("sha").and_then(Value::as_str).map(str::to_owned);
    let work_dir = format!("/home/{name}");
    let script = Script {
        work_dir: &work_dir,
        test: "bash /home/test-run.sh".to_owned(),
        ..Script::default()
    };
    let image = format!("mswebench/{org}_m_{name}:pr-{number}").to_lowercase();
    let title = row.text("title").unwrap_or_default();
    let body = row.text("body").unwrap_or_default();
    Some(NewRow {
        id: Some(format!("{org}__{name}-{number}")),
        repo: Some(format!("{org}/{name}")),
        image: row.filled("image").unwrap_or(image),
        patch: row.filled("fix_patch"),
        // The image has it, and its script applies it.
        test_patch: row.text("test_patch").unwrap_or_default(),
        eval_script: script.text(),
        work_dir: Some(work_dir),
        log_parser: log_parser?,
        fail_to_pass: fail_to_pass?,
        pass_to_pass: pass_to_pass?,
        problem_statement: Some(issues(row).unwrap_or_else(|| format!("{title}\n\n{body}"))),
        base_commit,
    })
}

fn number(row: &mut Fields<'_>) -> Option<u64> {
    let number = match row.value("number")? {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    if number.is_none() {
        row.wrong("number", "no number", "write the number of the pull request");
    }
    number
}

fn log_parser(row: &mut Fields<'_>, org: &str, name: &str) -> Option<String> {
    if let Some(own) = row.filled("log_parser") {
        return Some(own);
    }
    let repo = format!("{org}/{name}").to_lowercase();
    let language = row.text("lang").unwrap_or_default().to_lowercase();
    let by_language = match language.as_str() {
        "go" | "golang" => Some("multi-go"),
        "rust" => Some("parse_log_cargo"),
        _ => None,
    };
    let known = PARSERS.iter().find(|(known, _)| *known == repo).map(|(_, parser)| *parser);
    let parser = known.or(by_language);
    if parser.is_none() {
        let what = format!("missing, and none is known for {}", short(&repo));
        let hint = "each repository's parser is code of that benchmark: name one of ours that \
            reads the same (`evalrun parse --list`), or write `regex:…`";
        row.wrong("log_parser", what, hint);
    }
    parser.map(str::to_owned)
}

/// The keys of an object of tests (or its JSON text).
fn names(row: &mut Fields<'_>, name: &str) -> Option<Vec<String>> {
    let hint = "write an object of tests by name";
    let value = match row.value(name) {
        Some(Value::String(text)) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        Some(value) => value,
        None => {
            row.wrong(name, "missing", hint);
            return None;
        }
    };
    match value {
        Value::Object(tests) => Some(tests.into_iter().map(|(name, _)| name).collect()),
        // The columns of a table cannot be an object of any key: there it is two lists.
        Value::Array(items) if items.iter().all(Value::is_string) => {
            Some(items.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        }
        other => {
            row.wrong(name, format!("{} where an object is wanted", kind(&other)), hint);
            None
        }
    }
}

/// Titles and bodies of the issues that the change resolves.
fn issues(row: &mut Fields<'_>) -> Option<String> {
    let Some(Value::Array(issues)) = row.value("resolved_issues") else { return None };
    let text = |issue: &Value, name: &str| {
        issue.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let texts: Vec<_> = issues
        .iter()
        .map(|issue| format!("{}\n\n{}", text(issue, "title"), text(issue, "body")))
        .collect();
    (!texts.is_empty()).then(|| texts.join("\n\n"))
}
