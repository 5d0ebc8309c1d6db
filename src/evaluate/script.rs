//! Running an evaluation script under supervision.
//!
//! Where both marker lines stand at the script's top level, the script is cut there and run as
//! three commands of their own: what is before the tests, the tests, what is after them. So the
//! test section is a stream of its own, and its end and exit status come from the supervisor; no
//! text that a test prints can move them. Each part hands the shell's state on to the next:
//! directory, variables, functions, options, aliases, traps, umask.
//!
//! Each part is one brace group, so that the shell has read all of it before it runs any of it: a
//! script that is changed on disk while it runs does not change what runs. (Parts that change how
//! the shell reads, by `shopt` or aliases, are not.)

use super::patch::WorkTree;
use super::{EvaluateError, Scribe, was_stopped};
use crate::grade;
use crate::grade::script::{self as eval_script, Cut, cut};
use crate::model::{Instance, Outcome, Phase, Section, Status};
use crate::sandbox::{Command, Content, Output, Sandbox};
use bytes::Bytes;
use fs_err as fs;
use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

/// Where the script stands inside, as the incumbent has it.
const SCRIPT: &str = "/eval.sh";

/// A file of results may have so many bytes.
const MAX_RESULTS: u64 = 256 << 20;

/// Where one part leaves the state of its shell for the next.
const STATE: &str = "/tmp/.evalrun-shell-state";

/// How a script ran.
pub(super) struct Ran {
    pub(super) end: End,
    pub(super) wall: Duration,
    /// The test files as the tests found them, if they were asked for and the script was cut.
    pub(super) tests: Option<Tests>,
    /// Of these, files that were other ones, or gone, when the tests had run.
    pub(super) changed_tests: Vec<String>,
    /// The test patch is not in the work tree although the script applies it.
    pub(super) test_patch_missing: bool,
}

/// The files that the test patch touches: text and permission bits, by path in the work tree.
pub(super) struct Tests {
    pub(super) files: BTreeMap<String, (String, u32)>,
}

/// A test file has at most so many bytes.
const MAX_TESTS: u64 = 4 << 20;

/// How far it came.
pub(super) enum End {
    /// It reached its end; this is where its tests are.
    Section(Section),
    /// It ended before its tests.
    NotStarted(Outcome),
    /// It ended inside its tests.
    NotEnded(Section),
    /// We ended it.
    Stopped(Outcome),
}

/// Runs the instance's script and writes `eval.sh` and `test_output.txt`.
pub(super) async fn run(
    sandbox: &dyn Sandbox,
    instance: &Instance,
    (timeout, keeps_tests): (Duration, bool),
    scribe: &mut Scribe<'_>,
) -> Result<Ran, EvaluateError> {
    fs::write(scribe.dir.join("eval.sh"), &instance.eval_script)?;
    let path = scribe.dir.join("test_output.txt");
    fs::write(&path, "")?;
    let output = fs::OpenOptions::new().read(true).append(true).open(&path)?;
    let started = Instant::now();
    let tests = keeps_tests.then(|| Tests { files: BTreeMap::new() });
    let changed_tests = Vec::new();
    let mut runner = Runner { sandbox, output, started, timeout, tests, changed_tests };
    let (end, test_patch_missing) = match cut(&instance.eval_script) {
        Cut::ThreeParts { prepare, test, finish } => {
            runner.three_parts(instance, [prepare, test, finish], scribe).await?
        }
        Cut::Whole => {
            let outcome =
                runner.part(&eval_script::with_recorded_status(&instance.eval_script)).await?;
            scribe.phase_ended(Phase::Test);
            match was_stopped(&outcome) {
                true => (runner.stopped(outcome)?, false),
                false => (End::Section(Section::TextOnly { outcome }), false),
            }
        }
    };
    let tests = runner.tests.filter(|tests| !tests.files.is_empty());
    let changed_tests = runner.changed_tests;
    Ok(Ran { end, wall: started.elapsed(), tests, changed_tests, test_patch_missing })
}

/// Runs the tests of a script that was cut once more, as the shell of the first time left them, and
/// writes what they print into a file of its own.
pub(super) async fn tests_again(
    sandbox: &dyn Sandbox,
    instance: &Instance,
    timeout: Duration,
    log: &Path,
) -> Result<Outcome, EvaluateError> {
    fs::write(log, "")?;
    let output = fs::OpenOptions::new().read(true).append(true).open(log)?;
    let (started, changed_tests) = (Instant::now(), Vec::new());
    let mut runner = Runner { sandbox, output, started, timeout, tests: None, changed_tests };
    let Cut::ThreeParts { test, .. } = cut(&instance.eval_script) else {
        unreachable!("only a script that was cut has kept its tests")
    };
    let results = grade::result_file(&instance.log_parser);
    if let Some(path) = results {
        runner.remove(path).await?;
    }
    let outcome = runner.part(&part_script(STATE, true, test)).await?;
    if let Some(path) = results
        && !was_stopped(&outcome)
    {
        runner.take_results(path).await?;
    }
    Ok(outcome)
}

struct Runner<'a> {
    sandbox: &'a dyn Sandbox,
    output: fs::File,
    started: Instant,
    timeout: Duration,
    tests: Option<Tests>,
    changed_tests: Vec<String>,
}

impl Runner<'_> {
    async fn three_parts(
        &mut self,
        instance: &Instance,
        parts: [&str; 3],
        scribe: &mut Scribe<'_>,
    ) -> Result<(End, bool), EvaluateError> {
        let [prepare, test, finish] = parts;
        let outcome = self.part(&part_script(STATE, false, prepare)).await?;
        scribe.phase_ended(Phase::Prepare);
        if was_stopped(&outcome) {
            return Ok((self.stopped(outcome)?, false));
        }
        if !self.take_state().await? {
            return Ok((End::NotStarted(outcome), false));
        }
        let test_patch_missing = self.test_patch_missing(instance).await?;
        self.keep_tests(instance).await;

        let marker = |marker: &str| match eval_script::echoes_markers(&instance.eval_script) {
            true => format!("{marker}\n"),
            false => format!("+ : '{marker}'\n"),
        };
        let results = grade::result_file(&instance.log_parser);
        if let Some(path) = results {
            // What stands there before the tests is no result of theirs.
            self.remove(path).await?;
        }
        self.write(&marker(eval_script::START))?;
        let start = self.position()?;
        let outcome = self.part(&part_script(STATE, true, test)).await?;
        if let Some(path) = results
            && !was_stopped(&outcome)
        {
            self.take_results(path).await?;
        }
        let end = self.position()?;
        scribe.phase_ended(Phase::Test);
        if was_stopped(&outcome) {
            scribe.record.section = Some(Section::Supervised { start, end, outcome });
            return Ok((self.stopped(outcome)?, test_patch_missing));
        }
        self.compare_tests(instance).await;
        let section = Section::Supervised { start, end, outcome };
        if !self.take_state().await? {
            return Ok((End::NotEnded(section), test_patch_missing));
        }
        let status = shell_status(outcome.status);
        let end_marker = marker(eval_script::END);
        let recorded = format!("{}: {status}", eval_script::EXIT_CODE);
        self.write(&format!("+ SWEBENCH_TEST_EXIT_CODE={status}\n{end_marker}"))?;
        self.write(&format!("+ echo '{recorded}'\n{recorded}\n"))?;
        // What comes after the tests cannot change their results, however it ends.
        self.part(&part_script(STATE, true, finish)).await?;
        Ok((End::Section(section), test_patch_missing))
    }

    /// Runs one part; its output goes to the end of the log.
    async fn part(&mut self, script: &str) -> Result<Outcome, EvaluateError> {
        let bytes = Bytes::copy_from_slice(script.as_bytes());
        self.sandbox.copy_in(SCRIPT, Content::File { bytes, mode: 0o755 }).await?;
        let mut command = Command::new(["/bin/bash", SCRIPT]);
        command.stdout = Output::File(self.output.file().try_clone()?);
        command.stderr = Output::Stdout;
        command.timeout = Some(self.timeout.saturating_sub(self.started.elapsed()));
        let outcome = self.sandbox.exec(&command).await?.wait().await?;
        self.output.seek(SeekFrom::End(0))?;
        Ok(outcome)
    }

    /// What cannot be had is left out.
    async fn keep_tests(&mut self, instance: &Instance) {
        if self.tests.is_none() {
            return;
        }
        let mut files = BTreeMap::new();
        for path in grade::test_files(instance) {
            if let Some(file) = self.test_file(instance, &path).await {
                files.insert(path, file);
            }
        }
        self.tests = Some(Tests { files });
    }

    /// Finds the test files that are not what they were before the tests.
    async fn compare_tests(&mut self, instance: &Instance) {
        let Some(Tests { files }) = &self.tests else { return };
        let mut changed = Vec::new();
        for (path, (before, _)) in files {
            let after = self.test_file(instance, path).await;
            if after.is_none_or(|(after, _)| after != *before) {
                changed.push(path.clone());
            }
        }
        self.changed_tests = changed;
    }

    /// The text of a test file and its permission bits.
    async fn test_file(&self, instance: &Instance, path: &str) -> Option<(String, u32)> {
        let inside = format!("{}/{path}", instance.work_dir);
        match self.sandbox.copy_out(&inside, MAX_TESTS).await {
            Ok(Content::File { bytes, mode }) => {
                Some((String::from_utf8(bytes.to_vec()).ok()?, mode))
            }
            _ => None,
        }
    }

    /// Whether the last part came to its end. Its state is in the way of none that follows: each
    /// writes it anew.
    async fn take_state(&self) -> Result<bool, EvaluateError> {
        let mut command = Command::new(["/bin/bash", "-c"]);
        command.argv.push(format!("test -s {STATE} && mv -f {STATE} {STATE}.taken"));
        Ok(self.sandbox.exec(&command).await?.wait().await?.success())
    }

    async fn remove(&self, path: &str) -> Result<(), EvaluateError> {
        let command = Command::new(["/bin/rm", "-rf", "--", path]);
        self.sandbox.exec(&command).await?.wait().await?;
        Ok(())
    }

    /// Writes the file of results into the log, below a heading of its own. A file that cannot be
    /// had is left out: then there are no results.
    async fn take_results(&mut self, path: &str) -> Result<(), EvaluateError> {
        let Ok(Content::File { bytes, .. }) = self.sandbox.copy_out(path, MAX_RESULTS).await else {
            return Ok(());
        };
        self.write(&format!("\n{}: {path}\n", eval_script::RESULT_FILE))?;
        self.output.write_all(&bytes)?;
        self.write("\n")
    }

    /// The script says of its own `git apply` only what it prints. Where that sounds like a
    /// failure, git is asked whether the test patch is there.
    async fn test_patch_missing(&mut self, instance: &Instance) -> Result<bool, EvaluateError> {
        if instance.test_patch.trim().is_empty() {
            return Ok(false);
        }
        let mut text = Vec::new();
        self.output.rewind()?;
        self.output.read_to_end(&mut text)?;
        let sounds_failed = text.split(|byte| *byte == b'\n').any(|line| {
            line.starts_with(b"error: ")
                && [
                    b"does not apply".as_slice(),
                    b"already exists in working directory",
                    b"No such file or directory",
                    b"corrupt patch",
                ]
                .iter()
                .any(|sign| memchr::memmem::find(line, sign).is_some())
        });
        let tree = WorkTree { sandbox: self.sandbox, path: &instance.work_dir };
        Ok(sounds_failed && !tree.is_applied(&instance.test_patch).await?)
    }

    fn stopped(&mut self, outcome: Outcome) -> Result<End, EvaluateError> {
        let seconds = self.timeout.as_secs();
        if outcome.status == Status::Killed(crate::model::KilledBy::TimedOut) {
            self.write(&format!("\n\nTimeout error: {seconds} seconds exceeded."))?;
        }
        Ok(End::Stopped(outcome))
    }

    fn write(&mut self, text: &str) -> Result<(), EvaluateError> {
        self.output.seek(SeekFrom::End(0))?;
        self.output.write_all(text.as_bytes())?;
        Ok(())
    }

    fn position(&mut self) -> Result<u64, EvaluateError> {
        Ok(self.output.seek(SeekFrom::End(0))?)
    }
}

/// One part of a cut script: takes the state of the part before over, runs, hands its own on, and
/// exits with the status of its last command.
fn part_script(state: &str, follows: bool, text: &str) -> String {
    // `shopt` first: functions may need `extglob` to be read; `set` last: from there on the part
    // is traced as it would be in the whole script. Restoring the shell's own read-only variables
    // fails, silently and rightly.
    let restore = match follows {
        true => format!(". {state}.shopt\n. {state}.taken\n. {state}.set\n"),
        false => String::new(),
    };
    let restore = format!("{{\n:\n{restore}}} 2>/dev/null\n");
    // A brace group must hold a command.
    let is_empty = text.lines().all(|line| line.trim().is_empty() || line.starts_with('#'));
    let text = if is_empty { ":" } else { text };
    // What changes how the shell reads must have run before the rest is read.
    let changes_reading = text.contains("shopt") || text.contains("alias");
    let text = match changes_reading {
        true => text.to_owned(),
        false => format!("{{\n{text}\n}}"),
    };
    format!(
        r#"#!/bin/bash
{restore}{text}
{{
  __evalrun_status=$?
  set +o > {state}.set
  shopt -p > {state}.shopt
  set +xeu
  {{
    declare -p
    declare -f
    declare -xF
    alias -p
    trap -p
    umask -p
    printf 'cd -- %q\n' "$PWD"
  }} > {state}
  trap - EXIT ERR DEBUG
  exit "$__evalrun_status"
}} 2>/dev/null
"#
    )
}

/// The status as a shell gives it in `$?`.
fn shell_status(status: Status) -> i32 {
    match status {
        Status::Code(code) => code,
        Status::Signal(signal) => 128 + signal,
        Status::Killed(_) => 137,
    }
}

#[cfg(test)]
mod tests {
    use super::part_script;
    use std::path::Path;
    use std::process::Command;

    /// Runs the parts one after the other as the sandbox would; gives each one's output and status.
    fn run_parts(dir: &Path, parts: &[&str]) -> Vec<(String, i32)> {
        let state = dir.join("state").display().to_string();
        let mut ran = Vec::new();
        for (nth, text) in parts.iter().enumerate() {
            let file = dir.join("eval.sh");
            fs_err::write(&file, part_script(&state, nth > 0, text)).unwrap();
            let command = format!("exec /bin/bash {} 2>&1", file.display());
            let output = Command::new("/bin/bash").args(["-c", &command]).output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            ran.push((text, output.status.code().unwrap()));
            if fs_err::rename(&state, format!("{state}.taken")).is_err() {
                break;
            }
        }
        ran
    }

    #[test]
    fn the_state_of_the_shell_is_handed_on() {
        let dir = tempfile::tempdir().unwrap();
        let prepare = "set -uo pipefail\nshopt -s extglob\nexport A='x y'; B=(1 '2 3')\n\
            declare -A M=([k]=v)\nf() { case $1 in +(a)) echo aa;; esac; }\ncd /usr\numask 027";
        let test = "echo \"$A|${B[1]}|${M[k]}|$PWD|$(umask)\"; f aaa; set -o | grep -c 'nounset.*on'\n\
            env | grep ^A=\nfalse | true";
        let ran = run_parts(dir.path(), &[prepare, test, "echo end $PWD"]);
        assert_eq!(ran[1], ("x y|2 3|v|/usr|0027\naa\n1\nA=x y\n".to_owned(), 1));
        assert_eq!(ran[2], ("end /usr\n".to_owned(), 0));
    }

    #[test]
    fn traces_are_those_of_the_whole_script() {
        let dir = tempfile::tempdir().unwrap();
        let ran = run_parts(dir.path(), &["set -x\ntrue 1", "echo hi", "# nothing"]);
        assert_eq!(ran[0].0, "+ true 1\n");
        assert_eq!(ran[1].0, "+ echo hi\nhi\n");
    }

    #[test]
    fn a_part_that_exits_hands_nothing_on() {
        let dir = tempfile::tempdir().unwrap();
        let ran = run_parts(dir.path(), &["echo one", "exit 0", "echo three"]);
        assert_eq!(ran.len(), 2);
        let ran = run_parts(dir.path(), &["set -e", "false\necho no", "echo three"]);
        assert_eq!(ran[1], (String::new(), 1));
        assert_eq!(ran.len(), 2);
    }

    #[test]
    fn the_exit_status_is_that_of_the_last_command() {
        let dir = tempfile::tempdir().unwrap();
        let ran = run_parts(dir.path(), &["trap 'echo bye' EXIT", "(exit 3)", "true"]);
        assert_eq!(ran[1], (String::new(), 3));
    }
}
