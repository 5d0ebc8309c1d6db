//! SWE-bench-Live: rows with `test_cmds` and, of the newer sets, `rebuild_cmds` and `print_cmds`.
//!
//! Source: `evaluation/evaluation.py` and `launch/launch/scripts/parser.py` of
//! `microsoft/SWE-bench-Live`. The image is `docker_image`, else `starryzhang/sweb.eval.x86_64.<id>`;
//! commands of a list are joined by ` ; `; `log_parser` (or `parser`) is the word `pytest` or the
//! source of a Python function `parser(log)`. The harness resolves a task as soon as no expected
//! test is seen to fail; here a test that is missing has failed.

use super::script::{Script, write_file};
use super::{NewRow, image_id};
use crate::dataset::fields::Fields;

const LOG: &str = "/tmp/evalrun-live.log";
const PARSER: &str = "/tmp/evalrun-live-parser.py";

pub(super) fn translate(row: &mut Fields<'_>) -> Option<NewRow> {
    let id = row.peek("instance_id").unwrap_or_default();
    let image = ["docker_image", "image", "image_name"].iter().find_map(|name| row.filled(name));
    let image = image.unwrap_or_else(|| format!("starryzhang/sweb.eval.x86_64.{}", image_id(&id)));
    if image.contains("sweb.eval.win.") {
        row.wrong(
            "docker_image",
            "an image of Windows",
            "leave these rows out: sandboxes are Linux",
        );
    }
    let commands = |row: &mut Fields<'_>, name: &str| match row.has(name) {
        true => row.list(name).map(|commands| commands.join(" ; ")),
        false => Some(String::new()),
    };
    let test = commands(row, "test_cmds")?;
    let rebuild = commands(row, "rebuild_cmds")?;
    let print = commands(row, "print_cmds")?;
    let parser = row.filled("log_parser").or_else(|| row.filled("parser"));
    let Some(parser) = parser else {
        row.wrong("log_parser", "missing", "name `pytest`, or another log parser");
        return None;
    };
    let test_patch = row.text("test_patch").unwrap_or_default();
    let base_commit = row.peek("base_commit");
    // The harness writes the test command to a file and keeps its output in another; where the row
    // has a command that prints, its output is what counts.
    let run = if print.trim().is_empty() { test } else { format!("{test}\n{print}") };
    let (prepare, test, log_parser) = match parser.trim() {
        name if name.eq_ignore_ascii_case("pytest") => {
            (String::new(), run, "parse_log_pytest".to_owned())
        }
        source if source.contains("def parser") => with_own_parser(source, &run),
        name => (String::new(), run, name.to_owned()),
    };
    let script = Script {
        work_dir: "/testbed",
        base_commit: base_commit.as_deref(),
        prepare,
        test_patch: &test_patch,
        rebuild,
        test,
        ..Script::default()
    };
    Some(NewRow {
        image,
        eval_script: script.text(),
        test_patch,
        fail_to_pass: row.list("FAIL_TO_PASS")?,
        pass_to_pass: row.list("PASS_TO_PASS")?,
        log_parser,
        ..NewRow::default()
    })
}

/// The row's own parser runs in the sandbox, after the tests, and prints what it read.
fn with_own_parser(source: &str, run: &str) -> (String, String, String) {
    let call = "
import json, sys
with open(sys.argv[1], encoding='utf-8', errors='replace') as log:
    found = parser(log.read())
print(json.dumps({'tests': [{'name': n, 'status': s} for n, s in found.items()]}))
";
    let prepare = write_file(PARSER, &format!("{source}\n{call}"));
    let test = format!("{{\n{run}\n}} > {LOG} 2>&1\ncat {LOG}\necho\npython3 {PARSER} {LOG}");
    (prepare, test, "results-json".to_owned())
}
