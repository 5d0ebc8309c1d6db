//! SWE-PolyBench: rows with `test_command`, `F2P` and `P2P`.
//!
//! Source: `src/poly_bench_evaluation/{constants,docker_utils,run_evaluation}.py` and `parsers/` of
//! `amazon-science/SWE-PolyBench`. The image is `ghcr.io/timesler/swe-polybench.eval.x86_64.<id>`;
//! the repository stands at the last `WORKDIR` of the row's `Dockerfile`. Each repository has a
//! parser of its own; ours of the same results are named here.

use super::script::Script;
use super::{NewRow, python};
use crate::dataset::fields::{Fields, short};

/// Repositories and our parsers.
const PARSERS: [(&str, &str); 21] = [
    ("google/guava", "surefire-xml"),
    ("google/gson", "surefire-xml"),
    ("apache/dubbo", "surefire-xml"),
    ("apolloconfig/apollo", "surefire-xml"),
    ("apache/rocketmq", "surefire-xml"),
    ("trinodb/trino", "surefire-xml"),
    ("mrdoob/three.js", "polybench-js"),
    ("sveltejs/svelte", "polybench-js"),
    ("prettier/prettier", "jest-report"),
    ("serverless/serverless", "mocha"),
    ("microsoft/vscode", "mocha"),
    ("angular/angular", "polybench-bazel"),
    ("mui/material-ui", "mocha-files"),
    ("tailwindlabs/tailwindcss", "jest-report-titles"),
    ("coder/code-server", "jest-report"),
    ("Significant-Gravitas/AutoGPT", "polybench-python"),
    ("huggingface/transformers", "polybench-python"),
    ("langchain-ai/langchain", "polybench-python"),
    ("yt-dlp/yt-dlp", "polybench-python"),
    ("tensorflow/models", "polybench-python"),
    ("keras-team/keras", "polybench-python"),
];

pub(super) fn translate(row: &mut Fields<'_>) -> Option<NewRow> {
    let id = row.peek("instance_id").unwrap_or_default();
    let repo = row.peek("repo").unwrap_or_default();
    let known = PARSERS.iter().find(|(name, _)| *name == repo);
    let Some(log_parser) = row.filled("log_parser").or_else(|| Some(known?.1.to_owned())) else {
        let what = format!("`{}` is no repository of the benchmark", short(&repo));
        row.wrong("repo", what, "add `log_parser` to the row");
        return None;
    };
    let test = row.required("test_command", "write the command that runs the tests")?;
    let fail_to_pass = python::list(row, "F2P");
    let pass_to_pass = python::list(row, "P2P");
    let dockerfile = row.filled("Dockerfile").unwrap_or_default();
    let work_dir = work_dir(&dockerfile).unwrap_or("/testbed").to_owned();
    let test_patch = row.text("test_patch").unwrap_or_default();
    let base_commit = row.peek("base_commit");
    let script = Script {
        work_dir: &work_dir,
        base_commit: base_commit.as_deref(),
        test_patch: &test_patch,
        test,
        ..Script::default()
    };
    let default =
        || format!("ghcr.io/timesler/swe-polybench.eval.x86_64.{}:latest", id.to_lowercase());
    Some(NewRow {
        image: row.filled("image").unwrap_or_else(default),
        eval_script: script.text(),
        work_dir: Some(work_dir),
        log_parser,
        test_patch,
        fail_to_pass: fail_to_pass?,
        pass_to_pass: pass_to_pass?,
        ..NewRow::default()
    })
}

/// The last absolute `WORKDIR` of a Dockerfile.
pub(super) fn work_dir(dockerfile: &str) -> Option<&str> {
    let mut dirs = dockerfile.lines().filter_map(|line| {
        let (word, path) = line.trim().split_once(char::is_whitespace)?;
        let path = path.trim().trim_matches(['"', '\'']);
        let plain = path.starts_with('/') && !path.contains(['$', ' ']);
        (word.eq_ignore_ascii_case("WORKDIR") && plain).then_some(path)
    });
    dirs.next_back()
}
