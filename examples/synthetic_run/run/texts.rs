//! Made-up names, patches and logs, some of them hostile.

use evalrun::model::{PredictionKey, Verdict};
use std::fmt::Write as _;

/// What a log or a patch may hold to mislead the page or the terminal that shows it.
pub(crate) const HOSTILE: &str = "</script><script>window.pwned=1</script><img src=x onerror=\"window.pwned=1\">\
    \u{1b}[2J\u{1b}]0;owned\u{7}<!--<script>]]>&lt;{{7*7}}${7*7}";

/// The name of a test.
pub(crate) fn test_name(language: &str, what: &str, task: usize, n: usize) -> String {
    match language {
        "Python" => format!(
            "tests/module_{}/test_area_{}.py::TestCase{}::test_{what}_{n}",
            task % 40,
            task % 7,
            n % 9
        ),
        "Rust" => format!("runtime::area_{}::{what}_{n}", task % 9),
        "Go" => format!("TestArea{}/{what}_{n}", task % 9),
        "Java" => format!("org.example.area{}.Test{what}{n}", task % 9),
        _ => format!("area {} {what} case {n}", task % 9),
    }
}

/// A patch; that of every fiftieth instance is hostile.
pub(crate) fn patch(key: &PredictionKey) -> String {
    let seed = key.instance_id.as_str().bytes().map(usize::from).sum::<usize>();
    let file = format!("package/area_{}/module_{}.py", seed % 9, seed % 31);
    let mut text = format!("diff --git a/{file} b/{file}\n--- a/{file}\n+++ b/{file}\n");
    for hunk in 0..1 + seed % 3 {
        let line = 20 + hunk * 60;
        let _ =
            writeln!(text, "@@ -{line},7 +{line},9 @@ def handle_{hunk}(request, options=None):");
        text.push_str("     if options is None:\n         options = {}\n     value = request.get(\"value\")\n");
        let _ = writeln!(text, "-    return value.strip()");
        let _ = writeln!(text, "+    if value is None:  # {} {}", key.attempt, hunk);
        text.push_str(
            "+        return \"\"\n+    return str(value).strip()\n \n \n def other(self):\n",
        );
    }
    if seed % 50 == 0 {
        let _ = writeln!(text, "+# {HOSTILE}");
    }
    text
}

/// The log, and where its tests stand.
pub(crate) fn log(language: Option<&str>, verdict: &Verdict) -> (String, Option<(u64, u64)>) {
    let Some(tests) = verdict.tests() else {
        let text = match verdict {
            Verdict::EmptyPatch | Verdict::Infra { .. } => return (String::new(), None),
            Verdict::TestsStopped { .. } => "collecting …\nTimeout error: 1800 seconds exceeded.\n",
            _ => "+ source activate\nImportError: cannot import name 'x'\n",
        };
        return (text.to_owned(), None);
    };
    let mut text = "+ git status\n+ git checkout abc123 tests\n".repeat(12);
    let start = text.len() as u64;
    let _ = writeln!(
        text,
        "============ test session starts ({}) ============",
        language.unwrap_or("")
    );
    let failed = || tests.fail_to_pass.failure.iter().chain(&tests.pass_to_pass.failure);
    for name in failed() {
        let short = name.rsplit("::").next().unwrap_or(name);
        let _ = writeln!(text, "_____________ {short} _____________\n");
        text.push_str("    def test(self):\n        request = Request({\"value\": None})\n");
        text.push_str(">       assert handle(request) == \"\"\n");
        text.push_str("\u{1b}[31mE       AttributeError: 'NoneType' object has no attribute 'strip'\u{1b}[0m\n");
        text.push_str("\npackage/area/module.py:27: AttributeError\n");
        if name.ends_with('0') {
            let _ = writeln!(text, "{HOSTILE}");
        }
    }
    text.push_str("=========== short test summary info ===========\n");
    for name in tests.fail_to_pass.success.iter().chain(&tests.pass_to_pass.success) {
        let _ = writeln!(text, "PASSED {name}");
    }
    for name in failed() {
        let _ = writeln!(text, "FAILED {name} - AttributeError");
    }
    let end = text.len() as u64;
    text.push_str("+ git checkout abc123 tests\n");
    (text, Some((start, end)))
}
