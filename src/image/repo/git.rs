//! Runs the `git` command.

use super::RepoError;
use std::path::Path;
use std::process::{Output, Stdio};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// Variables with which a caller's own repository would take the place of ours.
const FOREIGN: [&str; 8] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
];

/// Runs git in a directory, with this text as its input; what it prints on standard output.
pub(super) async fn git(dir: &Path, args: &[&str], input: &str) -> Result<String, RepoError> {
    let mut command = Command::new("git");
    command.arg("-C").arg(dir).args(args);
    for name in FOREIGN {
        command.env_remove(name);
    }
    command
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_NO_LAZY_FETCH", "1")
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(RepoError::NoGit)?;
    let mut stdin = child.stdin.take().expect("standard input is piped");
    let feed = async {
        // If git ends early its status tells why; the broken pipe does not matter.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
    };
    let ((), output) = tokio::join!(feed, child.wait_with_output());
    answer(args, &output?)
}

fn answer(args: &[&str], output: &Output) -> Result<String, RepoError> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    let tail = lines[lines.len().saturating_sub(5)..].join("; ");
    let words: Vec<&str> = args.iter().copied().take(4).collect();
    let tail = if tail.is_empty() { output.status.to_string() } else { tail };
    Err(RepoError::Git { command: words.join(" "), tail })
}
