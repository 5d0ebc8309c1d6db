//! SWE-smith: rows of bugs made by machine. `patch` puts the bug in, so the reference solution is
//! its reverse.
//!
//! Source: `swesmith/harness/{eval,grading,utils}.py` and `swesmith/profiles/{base,python}.py` of
//! `SWE-bench/SWE-smith`. The image is `image_name`; the harness checks `base_commit` (the branch
//! with the bug) out in it. Tests of Python run as `pytest --disable-warnings --color=no --tb=no
//! --verbose` on the files of FAIL_TO_PASS, PASS_TO_PASS counts for these files only, and pytest's
//! progress lines are read. Rows of other languages name a `test_cmd` and a `log_parser` here, since
//! theirs stand in the harness alone.

use super::NewRow;
use super::script::{ACTIVATE, Script};
use crate::dataset::fields::Fields;
use crate::dataset::patch;
use crate::dataset::script::quoted;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

const TEST_COMMAND: &str = "pytest --disable-warnings --color=no --tb=no --verbose";

/// `owner__name.1234abcd.kind__digest` is an id of SWE-smith.
pub(super) fn is_row(row: &Map<String, Value>) -> bool {
    let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default();
    let own_id = text("instance_id").split('.').nth(1).is_some_and(|commit| {
        commit.len() == 8 && commit.bytes().all(|byte| byte.is_ascii_hexdigit())
    });
    text("image_name").contains("swesmith") || own_id && !row.contains_key("test_patch")
}

pub(super) fn translate(row: &mut Fields<'_>) -> Option<NewRow> {
    let id = row.peek("instance_id").unwrap_or_default();
    let (owner_name, _) = id.split_once('.').unwrap_or((&id, ""));
    let repo = owner_name.replacen("__", "/", 1);
    let bug = row.filled("patch");
    let fail_to_pass = row.list("FAIL_TO_PASS")?;
    let mut pass_to_pass = row.list("PASS_TO_PASS")?;
    let own = row.filled("test_cmd").zip(row.filled("log_parser"));
    let files: BTreeSet<&str> =
        fail_to_pass.iter().filter_map(|test| test.split("::").next()).collect();
    let (test, log_parser) = match own {
        Some(own) => own,
        None if files.iter().all(|file| file.ends_with(".py")) => {
            pass_to_pass.retain(|test| files.iter().any(|file| test.starts_with(file)));
            let files: String = files.iter().map(|file| format!(" {}", quoted(file))).collect();
            (format!("{TEST_COMMAND}{files}"), "pytest-verbose".to_owned())
        }
        None => {
            let hint = "add `test_cmd` and `log_parser` to the row: for other languages than \
                Python they stand in the harness, not in the rows";
            row.wrong("FAIL_TO_PASS", "the tests are not pytest's", hint);
            return None;
        }
    };
    let default = || format!("jyangballin/swesmith.x86_64.{}", super::image_id(&prefix(&id)));
    let script =
        Script { work_dir: "/testbed", prepare: ACTIVATE.to_owned(), test, ..Script::default() };
    Some(NewRow {
        image: row.filled("image_name").unwrap_or_else(default),
        // The row's repository is a mirror, `swesmith/owner__name.1234abcd`.
        repo: Some(repo),
        patch: bug.map(|bug| reverse(&bug)),
        eval_script: script.text(),
        log_parser,
        fail_to_pass,
        pass_to_pass,
        ..NewRow::default()
    })
}

/// `owner__name.1234abcd` of an id.
fn prefix(id: &str) -> String {
    id.rsplit_once('.').map_or(id, |(prefix, _)| prefix).to_owned()
}

/// The patch that takes another one back.
pub(super) fn reverse(patch: &str) -> String {
    let mut out = String::with_capacity(patch.len());
    // Removed lines, which become added ones, wait until the added ones of their block are out.
    let mut waiting = String::new();
    let mut last_waits = false;
    let (mut old_left, mut new_left) = (0u64, 0u64);
    let mut from = None;
    for line in patch.split_inclusive('\n') {
        let (text, newline) = line.strip_suffix('\n').map_or((line, ""), |text| (text, "\n"));
        let inside = old_left > 0 || new_left > 0;
        match text.as_bytes().first() {
            Some(b'-') if inside => {
                old_left = old_left.saturating_sub(1);
                last_waits = true;
                waiting.push_str(&format!("+{}{newline}", &text[1..]));
            }
            Some(b'+') if inside => {
                new_left = new_left.saturating_sub(1);
                last_waits = false;
                out.push_str(&format!("-{}{newline}", &text[1..]));
            }
            // "No newline at end of file" belongs to the line before it.
            Some(b'\\') if last_waits => waiting.push_str(line),
            Some(b'\\') => out.push_str(line),
            _ => {
                out.push_str(&std::mem::take(&mut waiting));
                last_waits = false;
                if inside {
                    old_left = old_left.saturating_sub(1);
                    new_left = new_left.saturating_sub(1);
                    out.push_str(line);
                } else if let Some(ranges) = text.strip_prefix("@@ -") {
                    (old_left, new_left) = patch::hunk(ranges);
                    out.push_str(&(header(text) + newline));
                } else if let Some(old) = text.strip_prefix("--- ") {
                    from = Some(old);
                } else if let (Some(new), Some(old)) = (text.strip_prefix("+++ "), from.take()) {
                    out.push_str(&format!("--- {}\n", renamed(new, "b/", "a/")));
                    out.push_str(&format!("+++ {}{newline}", renamed(old, "a/", "b/")));
                } else {
                    out.push_str(&(header(text) + newline));
                }
            }
        }
    }
    out + &waiting
}

fn renamed(name: &str, own: &str, other: &str) -> String {
    name.strip_prefix(own).map_or_else(|| name.to_owned(), |name| format!("{other}{name}"))
}

/// A line of a file's or a hunk's header, turned around; other lines as they are.
fn header(text: &str) -> String {
    let words = [
        ("new file mode ", "deleted file mode "),
        ("deleted file mode ", "new file mode "),
        ("rename from ", "rename to "),
        ("rename to ", "rename from "),
        ("old mode ", "new mode "),
        ("new mode ", "old mode "),
    ];
    if let Some(rest) = text.strip_prefix("@@ -")
        && let Some((old, rest)) = rest.split_once(" +")
        && let Some((new, tail)) = rest.split_once(" @@")
    {
        return format!("@@ -{new} +{old} @@{tail}");
    }
    if let Some(rest) = text.strip_prefix("index ")
        && let Some((old, rest)) = rest.split_once("..")
    {
        let (new, mode) = rest.split_once(' ').unwrap_or((rest, ""));
        let mode = if mode.is_empty() { String::new() } else { format!(" {mode}") };
        return format!("index {new}..{old}{mode}");
    }
    let turned = words
        .iter()
        .find_map(|(own, other)| text.strip_prefix(own).map(|rest| format!("{other}{rest}")));
    turned.unwrap_or_else(|| text.to_owned())
}
