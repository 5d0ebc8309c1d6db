//! Python's test files spoil their own tests: what is appended runs last, when all are defined.

use super::CanaryPlan;
use crate::model::Instance;
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn plan(
    _instance: &Instance,
    passed: &BTreeSet<&str>,
    files: &BTreeMap<&String, &String>,
    word: &str,
) -> CanaryPlan {
    let mut spoiled = BTreeMap::new();
    let mut pairs = BTreeSet::new();
    for name in passed {
        if let Some((class, function)) = parts(name) {
            let mark = format!("{}.{function}", class.unwrap_or_default());
            spoiled.insert((*name).to_owned(), mark);
            pairs.insert((class.unwrap_or_default(), function));
        }
    }
    let witness = format!("/tmp/.{word}");
    let list: String =
        pairs.iter().map(|(class, function)| format!("    ({class:?}, {function:?}),\n")).collect();
    let appended = APPENDED
        .replace("WORD", word)
        .replace("CLASS", &camel(word))
        .replace("WITNESS", &witness)
        .replace("    PAIRS\n", &list);
    let whole = !files.values().any(|text| text.contains("__main__"));
    let files = files
        .iter()
        .map(|(path, text)| ((*path).clone(), format!("{}\n{appended}", text.trim_end())))
        .collect();
    let must_fail = ["sum", "equal", "truth", "raising", "told"];
    CanaryPlan {
        files,
        witness: Some(witness),
        whole,
        spoiled,
        must_fail: must_fail.map(|end| format!("test_{word}_{end}")).into(),
        must_pass: vec![format!("test_{word}_same")],
    }
}

/// Runs under every Python 3. It raises nothing itself: a file that cannot be spoiled stays whole,
/// and the witness does not name its tests.
const APPENDED: &str = r#"

import functools as _functools_WORD
import unittest as _unittest_WORD


def test_WORD_sum():
    assert 17 + 4 == 22


def test_WORD_same():
    assert 17 + 4 == 21


class CLASS(_unittest_WORD.TestCase):
    def test_WORD_equal(self):
        self.assertEqual(17 + 4, 22)

    def test_WORD_truth(self):
        self.assertTrue(not "x")

    def test_WORD_raising(self):
        with self.assertRaises(KeyError):
            pass

    def test_WORD_told(self):
        self.fail("told to")

    def test_WORD_same(self):
        self.assertEqual(17 + 4, 21)


def _spoil_WORD(pairs):
    def failing(before):
        @_functools_WORD.wraps(before)
        def fails(*args, **kwargs):
            raise AssertionError("17 + 4 is 21")

        return fails

    spoiled = []
    for owner_name, name in pairs:
        try:
            if owner_name:
                owner = globals()[owner_name]
                setattr(owner, name, failing(getattr(owner, name)))
            else:
                globals()[name] = failing(globals()[name])
            spoiled.append(owner_name + "." + name)
        except Exception:
            pass
    try:
        with open("WITNESS", "a") as witness:
            witness.write("".join(line + "\n" for line in spoiled))
    except Exception:
        pass


_spoil_WORD([
    PAIRS
])
"#;

/// `nested_values` → `NestedValuesTest`.
fn camel(word: &str) -> String {
    let parts = word.split('_').map(|part| {
        let (head, tail) = part.split_at(part.len().min(1));
        head.to_uppercase() + tail
    });
    parts.collect::<String>() + "Test"
}

/// The class and the function that a test's name speaks of, as pytest, Django, unittest and SymPy
/// write names.
fn parts(test: &str) -> Option<(Option<&str>, &str)> {
    let plain =
        |word: &str| !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || c == '_');
    let (class, function) = if let Some((_, rest)) = test.split_once("::") {
        let rest = rest.split('[').next().unwrap_or(rest);
        match rest.rsplit_once("::") {
            // A class within a class is not looked for.
            Some((class, _)) if class.contains("::") => return None,
            Some((class, function)) => (Some(class), function),
            None => (None, rest),
        }
    } else if let Some((function, place)) = test.split_once(" (") {
        let place = place.strip_suffix(')')?;
        let place = place.strip_suffix(function).map_or(place, |place| place.trim_end_matches('.'));
        (Some(place.rsplit('.').next().unwrap_or(place)), function)
    } else {
        match test.rsplit_once('.') {
            Some((place, function)) => (Some(place.rsplit('.').next().unwrap_or(place)), function),
            None => (None, test),
        }
    };
    (plain(function) && class.is_none_or(plain)).then_some((class, function))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_every_runner_are_understood() {
        for (name, expected) in [
            ("a/t.py::test_x", Some((None, "test_x"))),
            ("a/t.py::T::test_x[a::b-c d]", Some((Some("T"), "test_x"))),
            ("a/t.py::T::U::test_x", None),
            ("test_x (m.n.T)", Some((Some("T"), "test_x"))),
            ("test_x (m.n.T.test_x)", Some((Some("T"), "test_x"))),
            ("tests.test_a.T.test_x", Some((Some("T"), "test_x"))),
            ("test_x", Some((None, "test_x"))),
            ("What it does is right", None),
        ] {
            assert_eq!(parts(name), expected, "{name}");
        }
    }
}
