//! SWE-bench Pro: rows with `selected_test_files_to_run`.
//!
//! Source: `swe_bench_pro_eval.py` of `scaleapi/SWE-bench_Pro-os`. The image is
//! `jefzda/sweap-images:<dockerhub_tag>`, the repository stands at `/app`. The last line of
//! `before_repo_set_cmd` brings the tests in. `run_scripts/<instance_id>/run_script.sh` runs the
//! selected files, `parser.py` beside it reads what they wrote; both are no part of the row, but are
//! looked for in `run_scripts` beside the file of rows (or are the row's `run_script` and
//! `parser_script`). A task is resolved if every test of both lists is PASSED.

use super::script::{Script, write_file};
use super::{NewRow, python};
use crate::dataset::fields::Fields;
use crate::dataset::script::quoted;

const WORK_DIR: &str = "/app";
const PLACE: &str = "/tmp/evalrun-pro";

pub(super) fn translate(row: &mut Fields<'_>) -> Option<NewRow> {
    let id = row.required("instance_id", "every row has an id of its own")?;
    let repo = row.peek("repo").unwrap_or_default();
    let files = python::list(row, "selected_test_files_to_run");
    let fail_to_pass = python::list(row, name_of(row, "fail_to_pass", "FAIL_TO_PASS"));
    let pass_to_pass = python::list(row, name_of(row, "pass_to_pass", "PASS_TO_PASS"));
    let run = script(row, &id, "run_script", "run_script.sh");
    let parser = script(row, &id, "parser_script", "parser.py");
    let before = row.filled("before_repo_set_cmd").unwrap_or_default();
    let before = before.trim().lines().next_back().unwrap_or_default().to_owned();
    let tag = row.filled("dockerhub_tag").unwrap_or_else(|| tag(&id, &repo));
    let (run, parser) = (run?, parser?);
    let prepare = format!(
        "mkdir -p {PLACE}\n{}{}",
        write_file(&format!("{PLACE}/run_script.sh"), &run),
        write_file(&format!("{PLACE}/parser.py"), &parser)
    );
    // The parser reads both streams; they are shown as well, so that the log tells what happened.
    let test = format!(
        "bash {PLACE}/run_script.sh {files} > {PLACE}/stdout.log 2> {PLACE}/stderr.log\n\
         cat {PLACE}/stdout.log {PLACE}/stderr.log\necho\n\
         $(command -v python3 || echo python) {PLACE}/parser.py {PLACE}/stdout.log \
         {PLACE}/stderr.log {PLACE}/output.json\ncat {PLACE}/output.json",
        files = quoted(&files?.join(","))
    );
    let script = Script { work_dir: WORK_DIR, prepare, rebuild: before, test, ..Script::default() };
    Some(NewRow {
        id: Some(id),
        image: format!("jefzda/sweap-images:{tag}"),
        work_dir: Some(WORK_DIR.to_owned()),
        // It comes in by `before_repo_set_cmd`, not as a patch.
        test_patch: row.text("test_patch").unwrap_or_default(),
        eval_script: script.text(),
        log_parser: "results-json".to_owned(),
        fail_to_pass: fail_to_pass?,
        pass_to_pass: pass_to_pass?,
        ..NewRow::default()
    })
}

fn name_of(row: &Fields<'_>, own: &'static str, usual: &'static str) -> &'static str {
    if row.has(own) { own } else { usual }
}

fn script(row: &mut Fields<'_>, id: &str, field: &str, file: &str) -> Option<String> {
    if let Some(text) = row.filled(field) {
        return Some(text);
    }
    let folder = row.path().parent().unwrap_or_else(|| std::path::Path::new(""));
    let path = folder.join("run_scripts").join(id).join(file);
    match fs_err::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) => {
            let what = format!("missing, and cannot be read from a file ({error})");
            let hint = "the scripts are in `run_scripts` of the benchmark's repository \
                (scaleapi/SWE-bench_Pro-os): put that folder beside the file of rows";
            row.wrong(field, what, hint);
            None
        }
    }
}

/// The tag of the published image, as the benchmark makes it from id and repository.
fn tag(id: &str, repo: &str) -> String {
    let repo = repo.to_lowercase().replace('/', ".");
    let tag = format!("{repo}-{}", id.replace("instance_", ""));
    tag.chars().take(128).collect()
}
