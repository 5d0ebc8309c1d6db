//! Results that runners write for programs, from a file of the sandbox or out of the log: JUnit's
//! XML, pytest's and Go's JSON, and a plain list of names and statuses.

mod go;
mod jest;
mod json;
mod junit;
mod pytest;
mod results;
pub(super) mod xml;

pub(super) use go::go_test_json;
pub(super) use jest::{
    jest_report, jest_titles, mocha_files, polybench_bazel, polybench_js, polybench_python,
};
pub(super) use json::{json_documents, json_lines};
pub(super) use junit::{junit_xml, surefire_xml};
pub(super) use pytest::pytest_json;
pub(super) use results::{exit_status, results_json, reward};
