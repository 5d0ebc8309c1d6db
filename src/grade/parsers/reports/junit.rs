//! JUnit's XML, as Ant, Maven, Gradle, pytest, nextest and many others write it.

use super::xml::{self, Element};
use crate::grade::parsers::{Parsed, StatusMap};
use crate::model::TestStatus;

/// Every `testcase` of every document in the text, named `classname::name`, or by its name alone
/// where it has no class. A test that is written twice keeps its worse result.
pub(in crate::grade::parsers) fn junit_xml(text: &str) -> Parsed {
    read(text, "::")
}

/// The same, named `classname.name`, as those who read Maven's reports have it.
pub(in crate::grade::parsers) fn surefire_xml(text: &str) -> Parsed {
    read(text, ".")
}

fn read(text: &str, separator: &str) -> Parsed {
    let mut tests = StatusMap::default();
    let mut failure = None;
    let mut at = 0;
    while let Some(start) = next_document(text, at) {
        let document = xml::document(&text[start..]);
        cases(&document.elements, separator, &mut tests);
        at = start + document.length.max(1);
        failure = failure.or(document.failure);
    }
    Parsed { tests, failure }
}

/// Where the next root begins: `<testsuites` or `<testsuite`.
fn next_document(text: &str, from: usize) -> Option<usize> {
    memchr::memmem::find(&text.as_bytes()[from..], b"<testsuite").map(|at| from + at)
}

fn cases(elements: &[Element], separator: &str, tests: &mut StatusMap) {
    for (index, case) in elements.iter().enumerate() {
        if case.name != "testcase" {
            continue;
        }
        let name = case.attribute("name").unwrap_or_default();
        let name = match case.attribute("classname").filter(|class| !class.is_empty()) {
            Some(class) => format!("{class}{separator}{name}"),
            None => name.to_owned(),
        };
        let status = status(elements, index);
        if !name.is_empty() && tests.get(&name).is_none_or(|known| rank(known) < rank(&status)) {
            tests.insert(name, status);
        }
    }
}

/// By the elements directly inside a case.
fn status(elements: &[Element], case: usize) -> TestStatus {
    let inside = (case + 1..elements[case].end).filter(|at| elements[*at].parent == Some(case));
    let mut status = TestStatus::Passed;
    for at in inside {
        let said = match elements[at].name.as_str() {
            "failure" => TestStatus::Failed,
            "error" => TestStatus::Error,
            "skipped" if elements[at].attribute("type") == Some("pytest.xfail") => {
                TestStatus::Xfail
            }
            "skipped" | "disabled" => TestStatus::Skipped,
            _ => continue,
        };
        if rank(&said) > rank(&status) {
            status = said;
        }
    }
    status
}

fn rank(status: &TestStatus) -> u8 {
    match status {
        TestStatus::Passed => 0,
        TestStatus::Xfail => 1,
        TestStatus::Skipped => 2,
        TestStatus::Failed => 3,
        TestStatus::Error | TestStatus::Other(_) => 4,
    }
}
