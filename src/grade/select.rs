//! Scripts that run some tests only, for runners that can select tests by their names.

use super::script::{Cut, cut};
use crate::model::Instance;

/// The instance's script with nothing but these tests; `None` where its runner cannot select them,
/// or the names do not say enough.
#[must_use]
pub fn select_tests(instance: &Instance, tests: &[&str]) -> Option<String> {
    let Cut::ThreeParts { test, .. } = cut(&instance.eval_script) else { return None };
    let command = test.lines().rev().find(|line| !line.trim().is_empty())?;
    let words: Vec<&str> = command.split(' ').collect();
    let chosen = match *words.first()? {
        "pytest" => tests.iter().map(|test| pytest_id(test)).collect::<Option<Vec<String>>>()?,
        "./tests/runtests.py" => {
            tests.iter().map(|test| django_label(test)).collect::<Option<Vec<String>>>()?
        }
        _ => return None,
    };
    if command.contains(['|', ';', '&', '>', '"', '\'']) {
        return None;
    }
    let kept = words.iter().enumerate().filter(|(nth, word)| {
        *nth == 0
            || word.starts_with('-')
            || words[nth - 1] == "--verbosity"
            || is_value(&words, *nth)
    });
    let mut line: Vec<String> = kept.map(|(_, word)| (*word).to_owned()).collect();
    line.extend(chosen);
    // The command stands in the part of the tests alone.
    let selected = test.replacen(command, &line.join(" "), 1);
    Some(instance.eval_script.replacen(test, &selected, 1))
}

/// Whether a word belongs to the flag before it.
fn is_value(words: &[&str], nth: usize) -> bool {
    const TAKE: [&str; 6] = ["--parallel", "--verbosity", "-o", "-p", "-W", "-k"];
    nth > 0 && TAKE.contains(&words[nth - 1])
}

/// An id that is whole: parsers cut ids at their first blank.
fn pytest_id(test: &str) -> Option<String> {
    let count = |bracket| test.matches(bracket).count();
    let whole =
        test.contains("::") && count('[') == count(']') && !test.contains(char::is_whitespace);
    whole.then(|| format!("'{}'", test.replace('\'', r"'\''")))
}

/// `test_x (module.Class)` and `test_x (module.Class.test_x)` → `module.Class.test_x`.
fn django_label(test: &str) -> Option<String> {
    let (name, place) = test.strip_suffix(')')?.split_once(" (")?;
    let plain = |text: &str| text.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.');
    if !plain(name) || !plain(place) || !place.contains('.') {
        return None;
    }
    let ends = place.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'));
    Some(if ends { place.to_owned() } else { format!("{place}.{name}") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grade::tests::instance;

    fn selected(command: &str, tests: &[&str]) -> Option<String> {
        let mut of = instance(&[], &[]);
        of.eval_script = format!(
            "cd /testbed\n: '>>>>> Start Test Output'\n{command}\n: '>>>>> End Test Output'\ngit checkout x\n"
        );
        let script = select_tests(&of, tests)?;
        let Cut::ThreeParts { test, .. } = cut(&script) else { panic!("{script}") };
        Some(test.trim().to_owned())
    }

    #[test]
    fn runners_that_can_select_run_the_named_tests_alone() {
        assert_eq!(
            selected("pytest -rA -p no:x a/t.py b/t.py", &["a/t.py::T::test_x[a-'b']"]).unwrap(),
            r"pytest -rA -p no:x 'a/t.py::T::test_x[a-'\''b'\'']'"
        );
        let django = "./tests/runtests.py --verbosity 2 --settings=s --parallel 1 m.n";
        assert_eq!(
            selected(django, &["test_x (m.n.T)", "test_y (m.n.T.test_y)"]).unwrap(),
            "./tests/runtests.py --verbosity 2 --settings=s --parallel 1 m.n.T.test_x m.n.T.test_y"
        );
        assert_eq!(selected("pytest -rA a.py", &["a.py::test_x[a"]), None);
        assert_eq!(selected("pytest -rA a.py | cat", &["a.py::test_x"]), None);
        assert_eq!(selected(django, &["What it does"]), None);
        assert_eq!(selected("make test", &["x"]), None);
    }
}
