//! `evalrun parse`: the results of tests, read out of a log, without a task list or a sandbox.

use super::Session;
use super::args::ParseArgs;
use super::exit::{self, Failure};
use crate::grade::{self, Parsed, StatusMap, Subject};
use anyhow::{Context as _, anyhow};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::{BufRead, BufReader, BufWriter, Read, Write, stdin, stdout};
use std::path::Path;

pub(super) fn run(args: &ParseArgs, session: &Session) -> Result<u8, Failure> {
    if args.list {
        let names: String = grade::parser_names().map(|name| format!("{name}\n")).collect();
        session.terminal.print(&names);
        return Ok(exit::FINISHED);
    }
    let file = args.file.as_deref().unwrap_or(Path::new("-"));
    if args.jsonl {
        return many(args, open(file)?);
    }
    let Some(parser) = &args.parser else {
        return Err(Failure::input(anyhow!("no log parser is named"))
            .hint("--parser takes a name; `evalrun parse --list` shows them"));
    };
    let mut log = Vec::new();
    open(file)?.read_to_end(&mut log).context("cannot read the log").map_err(Failure::input)?;
    let parsed = read(parser, &log, &args.instance, &args.project_version)?;
    let mut text = serde_json::to_string_pretty(&parsed.tests).map_err(Failure::broken)?;
    text.push('\n');
    session.terminal.print(&text);
    if let Some(why) = parsed.failure {
        session.terminal.note(&format!("the parser gave up: {why}"));
        return Ok(exit::BROKEN);
    }
    Ok(exit::FINISHED)
}

fn open(file: &Path) -> Result<Box<dyn BufRead>, Failure> {
    if file == Path::new("-") {
        return Ok(Box::new(stdin().lock()));
    }
    let file = fs_err::File::open(file).map_err(Failure::input)?;
    Ok(Box::new(BufReader::with_capacity(1 << 16, file)))
}

fn read(parser: &str, log: &[u8], instance: &str, version: &str) -> Result<Parsed, Failure> {
    let subject = Subject { instance_id: instance, version };
    grade::parse(parser, &grade::decode(log), subject).ok_or_else(|| {
        Failure::input(anyhow!("no log parser is called `{parser}`"))
            .hint("`evalrun parse --list` shows the names")
    })
}

/// A line that asks.
#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    id: Value,
    parser: Option<String>,
    log: Option<String>,
    hex: Option<String>,
    #[serde(default)]
    instance_id: Option<String>,
    #[serde(default)]
    version: Option<String>,
}

/// A line that answers.
#[derive(Serialize)]
struct Answer {
    id: Value,
    status_map: StatusMap,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
}

fn many(args: &ParseArgs, input: Box<dyn BufRead>) -> Result<u8, Failure> {
    let mut output = BufWriter::new(stdout().lock());
    for (index, line) in input.split(b'\n').enumerate() {
        let line = line.context("cannot read the logs").map_err(Failure::input)?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let place = || format!("line {}", index + 1);
        let asked: Asked = serde_json::from_slice(&line)
            .with_context(|| format!("{}: not of the form {{id, parser, log}}", place()))
            .map_err(Failure::input)?;
        let answer = answer(args, asked)
            .map_err(|failure| Failure { error: failure.error.context(place()), ..failure })?;
        serde_json::to_writer(&mut output, &answer).map_err(Failure::broken)?;
        output.write_all(b"\n").map_err(Failure::broken)?;
    }
    output.flush().map_err(Failure::broken)?;
    Ok(exit::FINISHED)
}

fn answer(args: &ParseArgs, asked: Asked) -> Result<Answer, Failure> {
    let log = match (asked.log, asked.hex) {
        (Some(log), None) => log.into_bytes(),
        (None, Some(hex)) => hex::decode(hex).context("field `hex`").map_err(Failure::input)?,
        _ => return Err(Failure::input(anyhow!("one of the fields `log` and `hex` is needed"))),
    };
    let Some(parser) = asked.parser.as_ref().or(args.parser.as_ref()) else {
        return Err(Failure::input(anyhow!("field `parser` is missing"))
            .hint("--parser names one for all lines"));
    };
    let instance = asked.instance_id.as_deref().unwrap_or(&args.instance);
    let version = asked.version.as_deref().unwrap_or(&args.project_version);
    let parsed = read(parser, &log, instance, version)?;
    Ok(Answer { id: asked.id, status_map: parsed.tests, failure: parsed.failure })
}
