//! doctest's XML report.

use crate::grade::parsers::reports::xml;
use crate::grade::parsers::{Parsed, StatusMap};

/// Every sub-case counts by the names of its case and itself; cases without sub-cases do not.
pub(in crate::grade::parsers) fn doctest(text: &str) -> Parsed {
    let mut tests = StatusMap::default();
    let Some(start) = text.find("<doctest") else { return tests.into() };
    let Some(length) = text[start..].find("</doctest>") else {
        return Parsed::failed(tests, "the report does not end");
    };
    let elements = match xml::elements(&text[start..start + length + "</doctest>".len()]) {
        Ok(elements) => elements,
        Err(why) => return Parsed::failed(tests, why),
    };
    let passed = without_failed_expression(&elements);
    let cases = elements.iter().enumerate().filter(|(_, element)| element.name == "TestCase");
    for (index, case) in cases {
        let below = (index + 1..case.end).filter(|at| elements[*at].name == "SubCase");
        for at in below {
            let name = format!("{} > {}", name(case), name(&elements[at]));
            if passed[at] { tests.passed(name) } else { tests.failed(name) }
        }
    }
    tests.into()
}

/// What has no name is called as the incumbent calls it.
fn name(element: &xml::Element) -> &str {
    element.attribute("name").unwrap_or("None")
}

/// For each element whether no expression at any depth below it failed.
fn without_failed_expression(elements: &[xml::Element]) -> Vec<bool> {
    let mut passed = vec![true; elements.len()];
    for (index, element) in elements.iter().enumerate().rev() {
        let failed = element.name == "Expression" && element.attribute("success") != Some("true");
        if let Some(parent) = element.parent {
            passed[parent] &= passed[index] && !failed;
        }
    }
    passed
}
