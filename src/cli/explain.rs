//! `evalrun explain`: why a prediction has its verdict.

use super::Session;
use super::args::ExplainArgs;
use super::exit::{self, Failure};
use crate::regrade::{Account, account};
use crate::report::printable_text;
use std::fmt::Write as _;

pub(super) fn run(args: &ExplainArgs, session: &Session) -> Result<u8, Failure> {
    let accounts = account(&args.run, &args.instance, args.model.as_deref())?;
    if session.terminal.json {
        session.terminal.print_json(&accounts);
    } else {
        let texts: Vec<_> = accounts.iter().map(text_of).collect();
        session.terminal.print(&texts.join("\n"));
    }
    Ok(exit::FINISHED)
}

fn text_of(account: &Account) -> String {
    let mut text = format!("{}: {}\n", account.prediction, account.verdict.replace('_', " "));
    if let Some(why) = &account.why {
        let _ = writeln!(text, "  {why}");
    }
    let mut list = |title: &str, lines: &[String]| {
        if !lines.is_empty() {
            let _ = writeln!(text, "\n{title}");
            for line in lines {
                let _ = writeln!(text, "  {}", printable_text(line));
            }
        }
    };
    list("expected tests that went the other way:", &account.failed);
    list(
        &format!("in the log, of {}:", account.test.as_deref().unwrap_or("the tests")),
        &account.log,
    );
    list("what did not apply:", &account.rejected);
    list("evidence of trouble in the environment:", &account.evidence);
    list("signs of forging:", &account.signs);
    list("notes:", &account.notes);
    let _ = writeln!(text, "\nfiles: {}", account.place.display());
    text
}
