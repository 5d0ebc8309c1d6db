//! The table that closes a run.

use super::plain::printable;
use super::{Counts, Report};
use crate::model::VerdictKind;
use std::fmt::Write as _;
use tabled::builder::Builder;
use tabled::settings::object::{Columns, Rows};
use tabled::settings::{Alignment, Style};

/// How many remarks of a model are written out.
const REMARKS: usize = 20;

/// A table of models and verdicts, and below it what needs a person's eye.
#[must_use]
pub fn table(report: &Report) -> String {
    let shown: Vec<_> = VerdictKind::ALL
        .into_iter()
        .filter(|kind| *kind == VerdictKind::Resolved || report.counts.of(*kind) > 0)
        .collect();
    let mut builder = Builder::default();
    let mut head = vec!["model".to_owned(), "predictions".to_owned()];
    head.extend(shown.iter().map(|kind| kind.name().replace('_', " ")));
    let open = report.counts.done() < report.counts.total;
    if open {
        head.push("to do".to_owned());
    }
    head.push("resolved %".to_owned());
    builder.push_record(head);
    for model in &report.models {
        builder.push_record(row(&printable(&model.model), &model.counts, (&shown, open)));
    }
    if report.models.len() > 1 {
        builder.push_record(row("all", &report.counts, (&shown, open)));
    }
    let mut table = builder.build();
    table.with(Style::rounded()).modify(Columns::new(1..), Alignment::right());
    table.modify(Rows::first(), Alignment::left());
    let mut text = table.to_string();
    text.push('\n');
    if report.shares.without_infra != report.shares.all || report.shares.validated.is_some() {
        text.push_str(&report.shares.to_text());
    }
    let flaky: usize = report.models.iter().map(|model| model.resolved_flaky).sum();
    if flaky > 0 {
        let _ = writeln!(text, "resolved (flaky), not counted above: {flaky}");
    }
    remarks(report, &mut text);
    text
}

fn row(name: &str, counts: &Counts, (shown, open): (&[VerdictKind], bool)) -> Vec<String> {
    let mut row = vec![name.to_owned(), counts.total.to_string()];
    row.extend(shown.iter().map(|kind| counts.of(*kind).to_string()));
    if open {
        row.push((counts.total - counts.done()).to_string());
    }
    let share = counts.resolved_share();
    row.push(share.map_or_else(String::new, |share| format!("{:.1}", share * 100.0)));
    row
}

fn remarks(report: &Report, text: &mut String) {
    for model in &report.models {
        for remark in model.remarks.iter().take(REMARKS) {
            let _ = write!(text, "{}: {}", printable(&remark.key.to_string()), remark.kind.name());
            if let Some(why) = &remark.why {
                let _ = write!(text, " ({})", printable(why));
            }
            text.push('\n');
        }
        if model.remarks.len() > REMARKS {
            let _ = writeln!(
                text,
                "… and {} more by {}",
                model.remarks.len() - REMARKS,
                printable(&model.model)
            );
        }
    }
}
