//! Runs every program in a sandbox of its own and judges what came of it.

use super::case::{self, Case};
use super::deeds;
use super::host::{Host, processes_with};
use super::images;
use super::neighbour::Neighbour;
use crate::compiled;
use crate::conformance::bench::{Bench, helper, patient, scratch};
use bytes::Bytes;
use evalrun::model::{KilledBy, Outcome, Status};
use evalrun::sandbox::{Command, Content, Output, Process, Sandbox, SandboxOptions, Upper};
use futures_util::StreamExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt as _;

/// How many are tried at once.
const AT_ONCE: usize = 2;
/// How long anything may take that a program cannot hold up.
const PATIENCE: Duration = Duration::from_secs(240);

/// What all programs are tried with.
pub(super) struct Trial<'a> {
    pub(super) bench: &'a Bench,
    pub(super) told: &'a [(String, String)],
    pub(super) secret: &'a str,
}

/// Every program, once.
pub(super) async fn run() {
    let Some(bench) = Bench::native("").await else { return };
    let rootless = !rustix::process::geteuid().is_root();
    let cases = case::all(rootless);
    let mut host = Host::new(&scratch(), &helper());
    host.bait_works();
    let neighbour = Neighbour::new(&bench).await;
    let told = host.told().into_iter().chain(neighbour.told()).collect::<Vec<_>>();
    let secret = host.secret.clone();
    let trial = Trial { bench: &bench, told: &told, secret: &secret };
    let mut complaints = Vec::new();
    let tried = futures_util::stream::iter(&cases).map(|case| try_one(&trial, case));
    let mut tried = tried.buffer_unordered(AT_ONCE);
    while let Some((case, wrong)) = tried.next().await {
        let wrong = wrong.into_iter().chain(host.harm(&helper()));
        let wrong = wrong.chain(neighbour.harm().await);
        complaints.extend(wrong.map(|wrong| format!("{}: {wrong}", case.name)));
    }
    drop(tried);
    drop(neighbour);
    bench.backend.close().await;
    bench.no_leaks();
    complaints.extend(host.harm(&helper()));
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    assert!(cases.len() >= 60 || std::env::var_os("EVALRUN_HOSTILE").is_some());
    eprintln!("{} hostile programs were held", cases.len());
}

/// Tries one; returns what is wrong.
async fn try_one<'a>(trial: &Trial<'_>, case: &'a Case) -> (&'a Case, Vec<String>) {
    let began = Instant::now();
    let patience = patient(PATIENCE + Duration::from_secs(case.seconds().into()));
    let wrong = match tokio::time::timeout(patience, contain(trial, case)).await {
        Ok(wrong) => wrong,
        Err(_) => vec!["it holds up its keeper".to_owned()],
    };
    eprintln!("{:>7.2} s {}", began.elapsed().as_secs_f64(), case.name);
    (case, wrong)
}

fn options(case: &Case) -> SandboxOptions {
    let mut options = SandboxOptions::default();
    let limits = &mut options.limits;
    (limits.memory, limits.pids, limits.disk) = (Some(256 << 20), Some(256), Some(256 << 20));
    limits.output = 1 << 20;
    for limit in case.limits().split_whitespace() {
        let (name, value) = limit.split_once('=').expect("name=value");
        let bytes = bytes(value);
        match name {
            "memory" => limits.memory = bytes,
            "pids" => limits.pids = bytes.map(|count| u32::try_from(count).unwrap()),
            "disk" => limits.disk = bytes,
            "output" => limits.output = bytes.unwrap(),
            other => panic!("{}: there is no limit `{other}`", case.name),
        }
    }
    options.upper = match case.upper() {
        "memory" => Upper::Memory,
        _ => Upper::Disk,
    };
    options
}

/// `64M` in bytes; `none` is none.
fn bytes(text: &str) -> Option<u64> {
    if text == "none" {
        return None;
    }
    let (number, shift) = match text.strip_suffix('M') {
        Some(number) => (number, 20),
        None => (text, 0),
    };
    Some(number.parse::<u64>().unwrap() << shift)
}

/// A program in C as it is run.
pub(super) fn compile(case: &Case) -> PathBuf {
    let header = fs_err::read_to_string(case::folder().join("hostile.h")).unwrap();
    let name = case.name.replace('/', "-");
    compiled::compile(&name, &format!("{header}\n#line 1 \"{name}.c\"\n{}", case.source))
}

/// The words that start a program inside, and its file.
fn program(case: &Case) -> (Vec<String>, Bytes) {
    let inside = "/hostile/program".to_owned();
    let text = || Bytes::from(case.source.clone());
    match case.path.extension().and_then(|extension| extension.to_str()) {
        Some("c") => (vec![inside], fs_err::read(compile(case)).unwrap().into()),
        Some("py") => (vec!["python3".to_owned(), inside], text()),
        _ => (vec!["/bin/sh".to_owned(), inside], text()),
    }
}

async fn contain(trial: &Trial<'_>, case: &Case) -> Vec<String> {
    let backend = &trial.bench.backend;
    let made = match images::import(trial.bench, case.image()).await {
        Ok(image) => backend.create(&image, &options(case)).await,
        Err(error) => Err(error),
    };
    let sandbox = match made {
        Ok(sandbox) => sandbox,
        Err(error) if case.ends().contains(&"refused") => {
            eprintln!("{}: {error}", case.name);
            return Vec::new();
        }
        Err(error) => return vec![format!("no sandbox: {error}")],
    };
    let marker = format!("{}-{}", case.name, std::process::id());
    let (mut wrong, ended) = match start(trial, case, &*sandbox, &marker).await {
        Ok(process) => watch(trial, case, &sandbox, process).await,
        Err(error) => (Vec::new(), format!("cannot start: {error}")),
    };
    if !case.ends().iter().any(|end| ended.starts_with(end)) {
        wrong.push(format!("it ended with {ended}, not {}", case.ends().join(" or ")));
    }
    for deed in case.then() {
        wrong.extend(deeds::then(trial, &sandbox, deed).await.err());
    }
    if let Err(error) = sandbox.terminate().await {
        wrong.push(format!("its sandbox cannot be ended: {error}"));
    }
    let left = processes_with(&format!("HOSTILE_NAME={marker}"));
    wrong.extend(left.into_iter().map(|process| format!("it is still there: {process}")));
    wrong
}

async fn start(
    trial: &Trial<'_>,
    case: &Case,
    sandbox: &dyn Sandbox,
    marker: &str,
) -> Result<Process, evalrun::sandbox::SandboxError> {
    let (argv, bytes) = program(case);
    let file = Content::File { bytes, mode: case.mode() };
    sandbox.copy_in("/hostile/program", file).await?;
    let mut command = Command::new(argv);
    command.env.extend(trial.told.iter().cloned());
    command.env.insert("HOSTILE_NAME".to_owned(), marker.to_owned());
    command.user = case.user().map(str::to_owned);
    command.timeout = Some(patient(Duration::from_secs(case.seconds().into())));
    command.stdout = Output::Pipe;
    command.stderr = Output::Stdout;
    command.pty = (case.output() == "terminal").then_some((80, 24));
    sandbox.exec(&command).await
}

/// Watches it until it has ended; returns what is wrong, and how it ended.
async fn watch(
    trial: &Trial<'_>,
    case: &Case,
    sandbox: &Arc<dyn Sandbox>,
    mut process: Process,
) -> (Vec<String>, String) {
    let mut stdout = process.stdout.take().expect("a pipe was asked for");
    let unread = case.output() == "unread";
    let reader = tokio::spawn(async move {
        let mut bytes = Vec::new();
        if !unread {
            // A stream that is cut says so; what came before counts.
            let _ = stdout.read_to_end(&mut bytes).await;
            return bytes;
        }
        std::future::pending::<()>().await;
        drop(stdout);
        bytes
    });
    let ended = AtomicBool::new(false);
    let (outcome, mut wrong) = tokio::join!(
        async {
            let outcome = process.wait().await;
            ended.store(true, Ordering::SeqCst);
            outcome
        },
        deeds::meanwhile(trial, sandbox, case.meanwhile(), &ended)
    );
    let text = if unread {
        reader.abort();
        String::new()
    } else {
        String::from_utf8_lossy(&reader.await.unwrap()).into_owned()
    };
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error) => return (wrong, format!("an error of ours: {error}: {text}")),
    };
    wrong.extend(judge(trial, case, &outcome, &text));
    let mut ended = end(&outcome);
    if !case.ends().contains(&ended.as_str()) {
        let from = text.char_indices().rev().nth(1500).map_or(0, |(at, _)| at);
        ended = format!("{ended} ({outcome:?}; {})", &text[from..]);
    }
    (wrong, ended)
}

/// How a command ended, in the words of the headers.
fn end(outcome: &Outcome) -> String {
    match outcome.status {
        Status::Code(code) => format!("code {code}"),
        Status::Signal(signal) => format!("signal {signal}"),
        Status::Killed(KilledBy::TimedOut) => "timed-out".to_owned(),
        Status::Killed(KilledBy::OutputLimit) => "output-limit".to_owned(),
        Status::Killed(KilledBy::Cancelled) => "cancelled".to_owned(),
    }
}

fn judge(trial: &Trial<'_>, case: &Case, outcome: &Outcome, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.contains(trial.secret) {
        wrong.push("the secret got out".to_owned());
    }
    wrong.extend(text.lines().filter(|line| line.contains("ESCAPED")).map(str::to_owned));
    let hit = outcome.limits_hit;
    for (name, hit) in [("memory", hit.memory), ("pids", hit.pids), ("disk", hit.disk)] {
        let (must, may) = (case.hits().contains(&name), case.may_hit().contains(&name));
        if must && !hit {
            wrong.push(format!("that it met its limit of {name} was not reported: {outcome:?}"));
        }
        if hit && !must && !may {
            wrong.push(format!("a limit of {name} was reported that it did not meet"));
        }
    }
    wrong.extend(beyond_golden(case, text));
    wrong
}

/// Lines that the golden listing does not have. `EVALRUN_UPDATE` adds them to it.
fn beyond_golden(case: &Case, text: &str) -> Vec<String> {
    let Some(golden) = case.golden() else { return Vec::new() };
    let known: Vec<&str> = golden.lines().collect();
    let new: Vec<&str> = text.lines().filter(|line| !known.contains(line)).collect();
    if std::env::var_os("EVALRUN_UPDATE").is_some() && !new.is_empty() {
        let mut all: Vec<&str> = known.iter().chain(&new).copied().collect();
        all.sort_unstable();
        fs_err::write(case.path.with_extension("golden"), all.join("\n") + "\n").unwrap();
        return Vec::new();
    }
    new.into_iter().map(|line| format!("it sees more than it should: {line}")).collect()
}
