//! What the keeper does with a sandbox while a hostile program runs in it (`while`), and afterwards
//! (`then`).
//!
//! | `while` | again and again until the program has ended |
//! |---|---|
//! | `copy-out PATH` | reads a file or tree; what comes must not hold the secret |
//! | `copy-in PATH`, `tree-in PATH` | writes a file, or a tree |
//! | `exec` | runs commands |
//! | `snapshot PATH` | takes images and reads PATH in a sandbox made of each |
//!
//! | `then` | |
//! |---|---|
//! | `copy-out PATH refused`, `too-large`, `file`, `tree`, `any` | what comes of reading it |
//! | `workdir PATH` | commands in that directory are refused or see nothing of the machine |
//! | `works` | commands can still be run |
//! | `snapshot` | an image can be taken, and a sandbox of it works |

use super::suite::Trial;
use crate::conformance::bench::run;
use bytes::Bytes;
use evalrun::layers::host;
use evalrun::sandbox::{Command, Content, Sandbox, SandboxError, SandboxOptions};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::AsyncReadExt as _;

/// Most bytes that are read.
const LIMIT: u64 = 1 << 20;
const SECRET_OUT: &str = "the keeper read the secret out of the sandbox";

/// Does a deed again and again until the program has ended; returns what is wrong.
pub(super) async fn meanwhile(
    trial: &Trial<'_>,
    sandbox: &Arc<dyn Sandbox>,
    deed: &str,
    ended: &AtomicBool,
) -> Vec<String> {
    while !deed.is_empty() && !ended.load(Ordering::SeqCst) {
        match once(trial, sandbox, deed).await {
            // What is tried in a sandbox whose time is up may fail.
            Err(error) if error.contains(SECRET_OUT) || !ended.load(Ordering::SeqCst) => {
                return vec![error];
            }
            _ => {}
        }
    }
    Vec::new()
}

async fn once(trial: &Trial<'_>, sandbox: &Arc<dyn Sandbox>, deed: &str) -> Result<(), String> {
    match deed.split_once(' ').unwrap_or((deed, "")) {
        ("copy-out", path) => secretless(trial, &read(&**sandbox, path).await.1),
        ("copy-in", path) => {
            let bytes = Bytes::from_static(b"from the keeper\n");
            // It may be refused; where it lands is looked at elsewhere.
            let _ = sandbox.copy_in(path, Content::File { bytes, mode: 0o644 }).await;
            Ok(())
        }
        ("tree-in", path) => {
            let _ = sandbox.copy_in(path, Content::Tar(Box::new(tree()))).await;
            Ok(())
        }
        ("exec", _) => {
            let mut command = Command::new(["/bin/true"]);
            command.timeout = Some(std::time::Duration::from_secs(60));
            if let Ok(process) = sandbox.exec(&command).await {
                let _ = process.wait().await;
            }
            Ok(())
        }
        ("snapshot", path) => snapshot(trial, &**sandbox, path, false).await,
        (other, _) => panic!("there is no deed `{other}`"),
    }
}

/// A tree of a directory, a file in it, and a link.
fn tree() -> std::io::Cursor<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, kind, text) in [
        ("sub", tar::EntryType::Directory, ""),
        ("sub/file", tar::EntryType::Regular, "from the keeper\n"),
        ("canary", tar::EntryType::Regular, "from the keeper\n"),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(text.len() as u64);
        header.set_mode(0o755);
        builder.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    std::io::Cursor::new(builder.into_inner().unwrap())
}

fn secretless(trial: &Trial<'_>, bytes: &[u8]) -> Result<(), String> {
    match memchr::memmem::find(bytes, trial.secret.as_bytes()) {
        None => Ok(()),
        Some(_) => Err(SECRET_OUT.to_owned()),
    }
}

/// Reads what is at a path; returns what it turned out to be, and its bytes.
async fn read(sandbox: &dyn Sandbox, path: &str) -> (&'static str, Vec<u8>) {
    match sandbox.copy_out(path, LIMIT).await {
        Ok(Content::File { bytes, .. }) => ("file", bytes.to_vec()),
        Ok(Content::Tar(mut stream)) => {
            let mut bytes = Vec::new();
            match stream.read_to_end(&mut bytes).await {
                Ok(_) => ("tree", bytes),
                Err(error) if error.to_string().contains("larger") => ("too-large", bytes),
                Err(error) => ("refused", [&bytes, error.to_string().as_bytes()].concat()),
            }
        }
        Err(SandboxError::TooLarge { .. }) => ("too-large", Vec::new()),
        Err(error) => ("refused", error.to_string().into_bytes()),
    }
}

/// Takes an image and looks at a path in a sandbox of it.
async fn snapshot(
    trial: &Trial<'_>,
    sandbox: &dyn Sandbox,
    path: &str,
    last: bool,
) -> Result<(), String> {
    let backend = &trial.bench.backend;
    let failed = |error: SandboxError| format!("no snapshot: {error}");
    let image = sandbox.snapshot(None, &host::config(), last).await.map_err(failed)?;
    let child = backend.create(&image, &SandboxOptions::default()).await.map_err(failed)?;
    let found = secretless(trial, &read(&*child, path).await.1);
    let (outcome, text) = run(&*child, Command::new(["/bin/true"])).await;
    child.terminate().await.map_err(failed)?;
    backend.remove(&image).await.map_err(failed)?;
    found?;
    if outcome.success() { Ok(()) } else { Err(format!("its image is broken: {text}")) }
}

/// Does a deed once and compares what comes of it.
pub(super) async fn then(
    trial: &Trial<'_>,
    sandbox: &Arc<dyn Sandbox>,
    deed: &str,
) -> Result<(), String> {
    let words: Vec<&str> = deed.split(' ').collect();
    match words[..] {
        ["copy-out", path, expected] => {
            let (found, bytes) = read(&**sandbox, path).await;
            secretless(trial, &bytes)?;
            if found == expected || expected == "any" {
                return Ok(());
            }
            let end = &bytes[bytes.len().saturating_sub(200)..];
            let said = String::from_utf8_lossy(end).into_owned();
            Err(format!("reading {path} gave {found}, not {expected}: {said}"))
        }
        ["workdir", path] => workdir(trial, &**sandbox, path).await,
        ["works"] => match sandbox.exec(&Command::new(["/bin/true"])).await {
            Ok(process) => match process.wait().await {
                Ok(outcome) if outcome.success() => Ok(()),
                other => Err(format!("afterwards a command ended with {other:?}")),
            },
            Err(error) => Err(format!("afterwards no command can be started: {error}")),
        },
        ["snapshot"] => snapshot(trial, &**sandbox, "/hostile/program", true).await,
        _ => panic!("there is no deed `{deed}`"),
    }
}

/// Runs a command in a directory: wherever that is, it must be inside.
async fn workdir(trial: &Trial<'_>, sandbox: &dyn Sandbox, path: &str) -> Result<(), String> {
    let canary = trial.told.iter().find(|(name, _)| name == "CANARY").expect("it is told");
    let up = "../".repeat(40);
    let line = format!("pwd -P; ls /proc/self/fd; cat {up}{} .{} 2>&1; true", canary.1, canary.1);
    let mut command = Command::new(["/bin/sh", "-c", &line]);
    command.workdir = Some(path.to_owned());
    match sandbox.exec(&command).await {
        Err(SandboxError::CannotStart { .. }) => return Ok(()),
        Err(error) => return Err(format!("in {path}: {error}")),
        Ok(process) => drop(process.wait().await),
    }
    let (_, text) = run(sandbox, command).await;
    secretless(trial, text.as_bytes())?;
    if text.starts_with('/') { Ok(()) } else { Err(format!("{path} leads outside: {text}")) }
}
