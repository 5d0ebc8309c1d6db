//! `go test -json`.

use super::json_lines;
use crate::grade::parsers::StatusMap;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    action: String,
    #[serde(default)]
    package: String,
    #[serde(default)]
    test: Option<String>,
}

/// Tests are named `package::Test/sub`; a package as a whole, which fails where it does not build,
/// by its own name.
pub(in crate::grade::parsers) fn go_test_json(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    for event in json_lines::<Event>(text) {
        let name = match &event.test {
            Some(test) => format!("{}::{test}", event.package),
            None => event.package,
        };
        match event.action.as_str() {
            _ if name.is_empty() => {}
            "pass" => tests.passed(name),
            "fail" => tests.failed(name),
            "skip" => tests.skipped(name),
            _ => {}
        }
    }
    tests
}
