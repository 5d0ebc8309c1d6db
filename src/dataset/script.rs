//! The evaluation script of a row that carries none, in the incumbent's shape.
//!
//! The lines, the directives and the files that are reset follow swebench 4.1.0
//! (`harness/test_spec/python.py`), so that its parsers read the log of such a script as they read
//! their own.

use super::patch::{self, Change};
use crate::model::EnvSpec;
use std::borrow::Cow;

/// Where the repository stands in an image.
const WORK_TREE: &str = "/testbed";
pub(super) const START: &str = ": '>>>>> Start Test Output'";
pub(super) const END: &str = ": '>>>>> End Test Output'";
/// Ends of names that are never handed to a test command.
const NOT_TESTS: [&str; 11] =
    [".json", ".png", "csv", ".txt", ".md", ".jpg", ".jpeg", ".pkl", ".yml", ".yaml", ".toml"];

/// The script that brings in the tests, runs those they touch, and puts the files back.
pub(super) fn generate(env: &EnvSpec, test_patch: &str, base_commit: Option<&str>) -> String {
    let changes = patch::changes(test_patch);
    let base = base_commit.unwrap_or("HEAD");
    let reset = reset(&changes, base);
    let activate = env
        .python
        .as_ref()
        .map(|_| ["source /opt/miniconda3/bin/activate", "conda activate testbed"]);
    let go = format!("cd {WORK_TREE}");

    let mut lines: Vec<Cow<'_, str>> = vec!["#!/bin/bash".into(), "set -uxo pipefail".into()];
    lines.extend(activate.iter().flatten().map(|&line| line.into()));
    lines.push(go.clone().into());
    lines.extend(env.eval_commands.iter().map(Into::into));
    lines.push(format!("git config --global --add safe.directory {WORK_TREE}").into());
    lines.push(go.into());
    lines.push("git status".into());
    lines.push("git show".into());
    lines.push(format!("git -c core.fileMode=false diff {base}").into());
    lines.extend(activate.iter().flatten().map(|&line| line.into()));
    lines.extend(env.install.iter().map(Into::into));
    lines.push(reset.clone().into());
    if !test_patch.is_empty() {
        let end = delimiter(test_patch);
        lines.push(format!("git apply -v - <<'{end}'\n{test_patch}\n{end}").into());
    }
    lines.push(START.into());
    lines.push(test_command(env, &changes).into());
    lines.push(END.into());
    lines.push(reset.into());
    lines.join("\n") + "\n"
}

/// The command that brings the test files to the state the test patch is made for.
pub(super) fn reset(changes: &[Change], base: &str) -> String {
    let quoted = |paths: Vec<&str>| paths.into_iter().map(quoted).collect::<Vec<_>>().join(" ");
    let old: Vec<_> = changes.iter().filter_map(|change| change.old.as_deref()).collect();
    let new: Vec<_> = changes.iter().filter_map(|change| change.new.as_deref()).collect();
    match (old.is_empty(), new.is_empty()) {
        (false, _) => format!("git checkout {base} {}", quoted(old)),
        // All of them are new: what the patch under test put in their place has to go.
        (true, false) => format!("rm -f {}", quoted(new)),
        (true, true) => ": no test file to reset".to_owned(),
    }
}

fn test_command(env: &EnvSpec, changes: &[Change]) -> String {
    let django = env.test_command.contains("runtests.py");
    env.test_command.clone() + &directives(changes, django)
}

/// The changed files that are tests, each with a blank before it.
pub(super) fn test_files(changes: &[Change]) -> String {
    directives(changes, false)
}

fn directives(changes: &[Change], django: bool) -> String {
    let mut command = String::new();
    for change in changes {
        let path = change.name.as_str();
        if NOT_TESTS.iter().any(|end| path.ends_with(end)) {
            continue;
        }
        command.push(' ');
        if django {
            command.push_str(&quoted(&django_label(path)));
        } else {
            command.push_str(&quoted(path));
        }
    }
    command
}

/// Django's runner takes modules: `tests/auth/test_views.py` is `auth.test_views`.
fn django_label(path: &str) -> String {
    let path = path.strip_suffix(".py").unwrap_or(path);
    path.strip_prefix("tests/").unwrap_or(path).replace('/', ".")
}

/// A line that ends the here-document and does not occur in it.
pub(super) fn delimiter(text: &str) -> String {
    let mut end = "EOF_114329324912".to_owned();
    while text.lines().any(|line| line == end) {
        end.push('_');
    }
    end
}

/// The path as the shell takes it: quoted where it has to be.
pub(super) fn quoted(path: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c) || !c.is_ascii();
    if !path.is_empty() && path.chars().all(plain) {
        return path.into();
    }
    format!("'{}'", path.replace('\'', r"'\''")).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{PythonSpec, RepoSource, RootSource};

    fn env(command: &str) -> EnvSpec {
        EnvSpec {
            origin: "test".into(),
            base: RootSource::Host,
            base_packages: vec![],
            tools: vec![],
            python: None,
            repo: RepoSource::Git,
            pre_install: vec!["never in the script".into()],
            install: vec![],
            env: [].into(),
            test_command: command.into(),
            eval_commands: vec![],
            log_parser: String::new(),
        }
    }

    const CHANGED: &str = "diff --git a/tests/a/t.py b/tests/a/t.py\n--- a/tests/a/t.py\n+++ b/tests/a/t.py\n@@ -1 +1 @@\n-x\n+y\n";
    const NEW: &str = "diff --git a/t/it's new.py b/t/it's new.py\nnew file mode 100644\n--- /dev/null\n+++ b/t/it's new.py\n@@ -0,0 +1 @@\n+EOF_114329324912\n";

    #[test]
    fn the_shape_is_the_incumbents() {
        let env = EnvSpec {
            python: Some(PythonSpec::default()),
            install: vec!["python -m pip install -e .".into()],
            eval_commands: vec!["export A=b".into()],
            ..env("pytest -rA")
        };
        let script = generate(&env, CHANGED, Some("0123abc"));
        let expected = format!(
            "#!/bin/bash\nset -uxo pipefail\nsource /opt/miniconda3/bin/activate\nconda activate testbed\ncd /testbed\nexport A=b\ngit config --global --add safe.directory /testbed\ncd /testbed\ngit status\ngit show\ngit -c core.fileMode=false diff 0123abc\nsource /opt/miniconda3/bin/activate\nconda activate testbed\npython -m pip install -e .\ngit checkout 0123abc tests/a/t.py\ngit apply -v - <<'EOF_114329324912'\n{CHANGED}\nEOF_114329324912\n: '>>>>> Start Test Output'\npytest -rA tests/a/t.py\n: '>>>>> End Test Output'\ngit checkout 0123abc tests/a/t.py\n"
        );
        assert_eq!(script, expected);
    }

    #[test]
    fn without_python_nothing_is_activated_and_head_stands_for_the_base() {
        let script = generate(&env("./tests/runtests.py -v 2"), CHANGED, None);
        assert!(!script.contains("conda"));
        assert!(script.contains("\ngit checkout HEAD tests/a/t.py\n"));
        assert!(script.contains("\n./tests/runtests.py -v 2 a.t\n"));
        assert!(!script.contains("never in the script"));
    }

    #[test]
    fn new_files_are_removed_names_are_quoted_and_the_document_cannot_be_ended() {
        let text = NEW.replace("+EOF", " EOF").replace("@@\n EOF", "@@\nEOF");
        let script = generate(&env("run"), &text, None);
        assert!(script.contains("\nrm -f 't/it'\\''s new.py'\n"), "{script}");
        assert!(script.contains("<<'EOF_114329324912_'\n"), "{script}");
        assert!(script.contains("\nrun 't/it'\\''s new.py'\n"), "{script}");
        let script = generate(&env("run"), "", None);
        assert!(script.contains("\n: no test file to reset\n: '>>>>> Start"), "{script}");
    }
}
