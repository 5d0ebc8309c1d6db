//! `evalrun bench grade`: how fast logs are read, beside the incumbent's parsers in the same run.

use super::Session;
use super::args::BenchGradeArgs;
use super::exit::{self, Failure};
use crate::grade::{Subject, decode, parse};
use anyhow::{Context as _, anyhow};
use rayon::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};
use std::hint::black_box;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What the incumbent's Python runs.
const THEIRS: &str = include_str!("../../benches/parsers.py");

/// The logs are read again and again for at least so long.
const AT_LEAST: Duration = Duration::from_secs(2);

/// A log and its parser.
struct Log {
    path: PathBuf,
    parser: String,
    bytes: Vec<u8>,
}

pub(super) fn run(args: &BenchGradeArgs, session: &Session) -> Result<u8, Failure> {
    let logs = logs(args)?;
    let bytes: usize = logs.iter().map(|log| log.bytes.len()).sum();
    let one = speed(bytes, || logs.iter().for_each(read));
    let all = speed(bytes, || logs.par_iter().for_each(read));
    let theirs = match &args.python {
        Some(python) => Some(theirs(python, &logs)?),
        None => None,
    };
    let ratio = theirs.map(|theirs| one / theirs);
    if session.terminal.json {
        session.terminal.print_json(&json!({
            "logs": logs.len(),
            "bytes": bytes,
            "threads": rayon::current_num_threads(),
            "one_core_mb_per_second": one,
            "all_cores_mb_per_second": all,
            "incumbent_mb_per_second": theirs,
            "times_the_incumbent": ratio,
        }));
        return Ok(exit::FINISHED);
    }
    #[expect(clippy::cast_precision_loss, reason = "megabytes")]
    let megabytes = bytes as f64 / 1e6;
    let mut text = format!("{} logs, {megabytes:.1} MB\n", logs.len());
    text.push_str(&format!("one core:   {one:8.1} MB/s\n"));
    text.push_str(&format!("{} threads: {all:8.1} MB/s\n", rayon::current_num_threads()));
    if let (Some(theirs), Some(ratio)) = (theirs, ratio) {
        text.push_str(&format!(
            "incumbent:  {theirs:8.1} MB/s; ours on one core: {ratio:.1} times\n"
        ));
    }
    session.terminal.print(&text);
    Ok(exit::FINISHED)
}

fn read(log: &Log) {
    black_box(parse(&log.parser, &decode(&log.bytes), Subject::default()));
}

/// Megabytes a second.
fn speed(bytes: usize, work: impl Fn()) -> f64 {
    work();
    let (began, mut rounds) = (Instant::now(), 0u32);
    while began.elapsed() < AT_LEAST {
        work();
        rounds += 1;
    }
    #[expect(clippy::cast_precision_loss, reason = "megabytes")]
    let megabytes = bytes as f64 / 1e6;
    megabytes * f64::from(rounds) / began.elapsed().as_secs_f64()
}

/// The incumbent's parsers on the same logs, on one core, in megabytes a second.
fn theirs(python: &Path, logs: &[Log]) -> Result<f64, Failure> {
    let list: Vec<Value> =
        logs.iter().map(|log| json!({"path": log.path, "parser": log.parser})).collect();
    let mut child = Command::new(python)
        .args(["-c", THEIRS])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", python.display()))
        .map_err(Failure::input)?;
    if let Some(stdin) = &mut child.stdin {
        let text = serde_json::to_string(&list).map_err(Failure::broken)?;
        stdin.write_all(text.as_bytes()).map_err(Failure::broken)?;
    }
    let output = child.wait_with_output().map_err(Failure::broken)?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().map_err(|_| {
        Failure::input(anyhow!("{} could not run the incumbent's parsers", python.display()))
            .hint("--python names a Python that has the swebench package")
    })
}

#[derive(Deserialize)]
struct Verdict {
    log: PathBuf,
    log_parser: String,
}

/// The logs of a folder: as its `verdicts.jsonl` names them, or all of it for one parser.
fn logs(args: &BenchGradeArgs) -> Result<Vec<Log>, Failure> {
    let mut logs = Vec::new();
    let mut add = |path: PathBuf, parser: String| -> Result<(), Failure> {
        let bytes = fs_err::read(&path).map_err(Failure::input)?;
        let path = std::path::absolute(path).map_err(Failure::input)?;
        logs.push(Log { path, parser, bytes });
        Ok(())
    };
    match &args.parser {
        Some(parser) => {
            for entry in walkdir::WalkDir::new(&args.logs).sort_by_file_name() {
                let entry = entry.map_err(Failure::input)?;
                if entry.file_type().is_file() {
                    add(entry.into_path(), parser.clone())?;
                }
            }
        }
        None => {
            let list = fs_err::read_to_string(args.logs.join("verdicts.jsonl"))
                .map_err(|error| Failure::input(error).hint("--parser reads all files as one"))?;
            for line in list.lines() {
                let verdict: Verdict = serde_json::from_str(line).map_err(Failure::input)?;
                add(args.logs.join(verdict.log), verdict.log_parser)?;
            }
        }
    }
    if logs.is_empty() {
        return Err(Failure::input(anyhow!("{} holds no log", args.logs.display())));
    }
    Ok(logs)
}
