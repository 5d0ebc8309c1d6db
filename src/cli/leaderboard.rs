//! `evalrun leaderboard`: models over runs and task lists.

use super::args::LeaderboardArgs;
use super::exit::{self, Failure};
use super::{Session, runs};
use crate::journal::FILE_NAME;
use crate::report::{
    Leaderboard, Record, leaderboard_csv, leaderboard_html, leaderboard_json, leaderboard_markdown,
};
use crate::run::write_whole;
use anyhow::{Context as _, anyhow};
use std::collections::BTreeMap;
use std::path::Path;

pub(super) fn run(args: &LeaderboardArgs, session: &Session) -> Result<u8, Failure> {
    let records = records(args, session)?;
    let costs = args.costs.as_deref().map(costs).transpose()?.unwrap_or_default();
    let board = Leaderboard::of(&records, &costs);
    let text = match () {
        () if args.html => leaderboard_html(&board),
        () if args.csv => leaderboard_csv(&board),
        () if session.terminal.json && !args.markdown => leaderboard_json(&board),
        () => leaderboard_markdown(&board),
    };
    match runs::target(args.to.as_ref()) {
        Some(path) => {
            write_whole(path, &text)
                .with_context(|| format!("cannot write {}", path.display()))
                .map_err(Failure::broken)?;
            session.terminal.say(&format!("written: {}", path.display()));
        }
        None => session.terminal.print(&text),
    }
    Ok(exit::FINISHED)
}

/// The runs. A shell's `reports/*` names folders that are none: they are passed over, and told.
fn records(args: &LeaderboardArgs, session: &Session) -> Result<Vec<Record>, Failure> {
    let mut records = Vec::new();
    for named in &args.runs {
        let exists = named.exists() && !named.join(FILE_NAME).is_file();
        if exists && !session.settings.report_dir.join(named).join(FILE_NAME).is_file() {
            session.terminal.say(&format!("passed over: {} is no run", named.display()));
            continue;
        }
        records.push(runs::record(&runs::run_dir(named, &session.settings)?)?);
    }
    if records.is_empty() {
        return Err(Failure::input(anyhow!("there is no run among what was named")));
    }
    Ok(records)
}

fn costs(path: &Path) -> Result<BTreeMap<String, f64>, Failure> {
    let text = fs_err::read_to_string(path).map_err(Failure::input)?;
    serde_json::from_str(&text)
        .with_context(|| format!("{} is no object of numbers by model", path.display()))
        .map_err(Failure::input)
}
