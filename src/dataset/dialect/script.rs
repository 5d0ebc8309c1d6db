//! Evaluation scripts for rows that only name their test command.

use crate::dataset::patch;
use crate::dataset::script::{END, START, delimiter, quoted, reset};

/// Makes Python's environment the current one, where the image has it.
pub(super) const ACTIVATE: &str = "source /opt/miniconda3/bin/activate\nconda activate testbed";

/// What a script is made of; each part is lines of shell, and may be empty.
#[derive(Default)]
pub(super) struct Script<'a> {
    /// Where the repository stands.
    pub(super) work_dir: &'a str,
    /// The commit the test files are taken back to.
    pub(super) base_commit: Option<&'a str>,
    /// Before anything is looked at.
    pub(super) prepare: String,
    /// Before the tests come in.
    pub(super) install: String,
    /// The tests' patch.
    pub(super) test_patch: &'a str,
    /// After the tests came in.
    pub(super) rebuild: String,
    /// The tests themselves.
    pub(super) test: String,
}

impl Script<'_> {
    /// The script, in the incumbent's shape.
    pub(super) fn text(&self) -> String {
        let base = self.base_commit.unwrap_or("HEAD");
        let go = format!("cd {}", quoted(self.work_dir));
        let reset = reset(&patch::changes(self.test_patch), base);
        let mut lines = vec!["#!/bin/bash".to_owned(), "set -uxo pipefail".to_owned()];
        let mut add = |part: &str| {
            if !part.trim().is_empty() {
                lines.push(part.trim_end_matches('\n').to_owned());
            }
        };
        add(&self.prepare);
        add(&go);
        add(&format!("git config --global --add safe.directory {}", quoted(self.work_dir)));
        add("git status");
        add(&format!("git -c core.fileMode=false diff {base}"));
        add(&self.install);
        if !self.test_patch.trim().is_empty() {
            let end = delimiter(self.test_patch);
            add(&reset);
            add(&format!("git apply -v - <<'{end}'\n{}\n{end}", self.test_patch));
        }
        add(&self.rebuild);
        add(START);
        add(&self.test);
        add(END);
        if !self.test_patch.trim().is_empty() {
            add(&reset);
        }
        lines.join("\n") + "\n"
    }
}

/// Lines that write a file.
pub(super) fn write_file(path: &str, text: &str) -> String {
    let end = delimiter(text);
    let newline = if text.ends_with('\n') { "" } else { "\n" };
    format!("cat > {} <<'{end}'\n{text}{newline}{end}\n", quoted(path))
}
