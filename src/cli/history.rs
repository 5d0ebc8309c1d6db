//! `evalrun history`: what past runs taught, for people.

use super::Session;
use super::args::{HistoryCommand, ShowHistoryArgs};
use super::exit::{self, Failure};
use super::settings::Settings;
use super::terminal::{Terminal, bytes};
use crate::history::{Expectations, History, InstanceHistory};
use crate::report::RunDir;
use anyhow::anyhow;
use globset::{Glob, GlobSet, GlobSetBuilder};
use jiff::{Span, Timestamp};
use serde_json::json;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use tabled::builder::Builder;
use tabled::settings::object::{Columns, Rows};
use tabled::settings::{Alignment, Style};

pub(super) fn run(command: HistoryCommand, session: &Session) -> Result<u8, Failure> {
    let Session { settings, terminal } = session;
    let history = History::open(&settings.home()?).map_err(Failure::broken)?;
    match command {
        HistoryCommand::Show(args) => show(&args, &history, terminal)?,
        HistoryCommand::Prune { older_than } => {
            prune(older_than.as_deref(), &history, terminal)?;
        }
        HistoryCommand::Export { to } => export(&to, &history)?,
        HistoryCommand::Import { runs } => import(&runs, &history, terminal)?,
    }
    Ok(exit::FINISHED)
}

/// The history of the home folder. Trouble with it is told, and is no reason not to run.
pub(super) fn open(settings: &Settings, terminal: &Terminal) -> Result<Option<History>, Failure> {
    match History::open(&settings.home()?) {
        Ok(history) => {
            if let Some(why) = history.read_only() {
                let path = history.path().display();
                terminal.note(&format!("warning: {path} can only be read: {why}"));
            }
            Ok(Some(history))
        }
        Err(error) => {
            terminal.note(&format!("warning: {error}; the run goes on without what is known"));
            Ok(None)
        }
    }
}

/// What is expected of evaluations on this machine.
pub(super) fn expectations(history: Option<&History>, terminal: &Terminal) -> Expectations {
    let known = history.map(History::expectations).transpose();
    known
        .unwrap_or_else(|error| {
            terminal.note(&format!("warning: {error}; nothing is expected of the instances"));
            None
        })
        .unwrap_or_default()
}

fn show(args: &ShowHistoryArgs, history: &History, terminal: &Terminal) -> Result<(), Failure> {
    let wanted = globs(&args.instances)?;
    let mut all = history.instances().map_err(Failure::broken)?;
    all.retain(|one| args.instances.is_empty() || wanted.is_match(&one.instance));
    if terminal.json {
        terminal.print_json(&all);
        return Ok(());
    }
    let evaluations: u32 = all.iter().map(|one| one.evaluations).sum();
    if !all.is_empty() {
        terminal.print(&table(&all));
    }
    for one in all.iter().filter(|one| !one.flaky.is_empty()) {
        let text = format!("not to be relied on, {}: {}\n", one.instance, one.flaky.join(", "));
        terminal.print(&text.replace(|c: char| c.is_control() && c != '\n', "\u{fffd}"));
    }
    terminal.say(&format!("{evaluations} evaluations in {}", history.path().display()));
    Ok(())
}

fn table(all: &[InstanceHistory]) -> String {
    let mut builder = Builder::default();
    builder.push_record([
        "instance", "image", "runs", "verdicts", "seconds", "longest", "CPU s", "memory",
    ]);
    for one in all {
        let verdicts = one.verdicts.iter().map(|(name, count)| match count {
            1 => name.replace('_', " "),
            _ => format!("{count} {}", name.replace('_', " ")),
        });
        builder.push_record([
            one.instance.clone(),
            one.image.chars().take(12).collect(),
            one.evaluations.to_string(),
            verdicts.collect::<Vec<_>>().join(", "),
            format!("{:.1}", one.seconds.0),
            format!("{:.1}", one.seconds.1),
            format!("{:.1}", one.cpu_seconds),
            bytes(one.peak_memory),
        ]);
    }
    let mut table = builder.build();
    table.with(Style::rounded()).modify(Columns::new(4..), Alignment::right());
    table.modify(Rows::first(), Alignment::left());
    format!("{table}\n")
}

fn globs(patterns: &[String]) -> Result<GlobSet, Failure> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(Glob::new(pattern).map_err(Failure::input)?);
    }
    set.build().map_err(Failure::input)
}

fn prune(age: Option<&str>, history: &History, terminal: &Terminal) -> Result<(), Failure> {
    let before = age.map(moment).transpose()?;
    let pruned = history.prune(before).map_err(Failure::broken)?;
    if terminal.json {
        terminal.print_json(&json!({
            "evaluations": pruned.evaluations, "verdicts_without_files": pruned.answers,
        }));
    }
    terminal.say(&format!(
        "forgotten: {} evaluations, and {} verdicts whose files are gone",
        pruned.evaluations, pruned.answers
    ));
    Ok(())
}

/// So long ago.
fn moment(age: &str) -> Result<Timestamp, Failure> {
    let wrong = || Failure::input(anyhow!("`{age}` is no age")).hint("write 90d, 12h or 30m");
    let unit = age.chars().last().ok_or_else(wrong)?;
    let count: i64 = age[..age.len() - unit.len_utf8()].trim().parse().map_err(|_| wrong())?;
    let hours = match unit {
        'd' => count.checked_mul(24).map(|hours| Span::new().try_hours(hours)),
        'h' => Some(Span::new().try_hours(count)),
        'm' => Some(Span::new().try_minutes(count)),
        _ => None,
    };
    let span = hours.and_then(Result::ok).ok_or_else(wrong)?;
    Timestamp::now().checked_sub(span).map_err(|_| wrong())
}

fn export(to: &Path, history: &History) -> Result<(), Failure> {
    let mut out: Box<dyn std::io::Write> = match to.to_str() {
        Some("-") => Box::new(std::io::stdout().lock()),
        _ => Box::new(fs_err::File::create(to).map_err(Failure::input)?),
    };
    let mut out = std::io::BufWriter::new(&mut out);
    let mut result = Ok(());
    let mut write = |one| {
        let line = serde_json::to_string(&one).expect("plain values have a JSON form");
        if result.is_ok() {
            result = writeln!(out, "{line}");
        }
    };
    history.export(&mut write).map_err(Failure::broken)?;
    result.and_then(|()| out.flush()).map_err(Failure::broken)
}

fn import(runs: &[PathBuf], history: &History, terminal: &Terminal) -> Result<(), Failure> {
    let mut told = Vec::new();
    for run in runs {
        let run = std::path::absolute(run).map_err(Failure::input)?;
        let name = run.file_name().map(|name| name.to_string_lossy().into_owned());
        let parent = run.parent().unwrap_or(Path::new("/"));
        let dir = RunDir::new(parent, &name.unwrap_or_default());
        let imported = history.import(&run, &|key| dir.prediction(key)).map_err(Failure::input)?;
        terminal.say(&format!(
            "{}: {} evaluations, {} of them new",
            run.display(),
            imported.found,
            imported.new
        ));
        told.push(json!({ "run": run, "found": imported.found, "new": imported.new }));
    }
    if terminal.json {
        terminal.print_json(&told);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::moment;

    #[test]
    fn ages_are_read() {
        for age in ["90d", "12h", "5m", "1 d"] {
            assert!(moment(age).is_ok(), "{age}");
        }
        for wrong in ["", "d", "5", "5y", "xd"] {
            assert!(moment(wrong).is_err(), "{wrong}");
        }
    }
}
