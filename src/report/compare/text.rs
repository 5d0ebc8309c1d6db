//! A comparison for people.

use super::{Comparison, Flip};
use crate::report::markdown::{inline, percent};
use crate::report::plain::printable;
use crate::report::statistics::share;
use std::fmt::Write as _;
use tabled::builder::Builder;
use tabled::settings::object::{Columns, Rows};
use tabled::settings::{Alignment, Style};

/// Flips of one side that are listed at most.
const LISTED: usize = 200;

/// For a terminal.
#[must_use]
pub fn comparison_table(found: &Comparison) -> String {
    let mut text = format!("{}\n→ {}\n", printable(&found.before), printable(&found.after));
    for line in figures(found) {
        let _ = writeln!(text, "  {line}");
    }
    let mut builder = Builder::default();
    builder.push_record(["repository", "instances", "before", "after", "gained", "lost"]);
    for one in &found.by_repository {
        let counts = [one.instances, one.before, one.after, one.gained, one.lost];
        let mut row = vec![printable(&one.repo)];
        row.extend(counts.iter().map(usize::to_string));
        builder.push_record(row);
    }
    let mut table = builder.build();
    table.with(Style::rounded()).modify(Columns::new(1..), Alignment::right());
    table.modify(Rows::first(), Alignment::left());
    let _ = writeln!(text, "{table}");
    flips("gained", &found.gained, &mut text);
    flips("lost", &found.lost, &mut text);
    text
}

/// The figures, a line each.
fn figures(found: &Comparison) -> Vec<String> {
    let (paired, total) = (found.paired, found.paired.total());
    let points = |value: f64| format!("{:+.1}", value * 100.0);
    let mut lines = vec![
        format!(
            "resolved {} → {} of {total} ({} → {})",
            paired.both + paired.lost,
            paired.both + paired.gained,
            percent(share(paired.both + paired.lost, total)),
            percent(share(paired.both + paired.gained, total)),
        ),
        format!(
            "difference {} points, 95 % interval {} to {}; p = {} (McNemar, exact)",
            points(found.difference),
            points(found.interval.low),
            points(found.interval.high),
            chance(found.p)
        ),
    ];
    let explained = |flips: &[Flip]| flips.iter().filter(|flip| flip.flaky.is_some()).count();
    lines.push(format!(
        "gained {}, lost {}; flakiness explains {} of the gains and {} of the losses",
        paired.gained,
        paired.lost,
        explained(&found.gained),
        explained(&found.lost)
    ));
    let same = found.gained.iter().chain(&found.lost).filter(|flip| flip.same_patch).count();
    let aside = [
        (same, "of these flips are of the same patch: not the model's doing"),
        (found.only_before, "only before"),
        (found.only_after, "only after"),
        (found.without_verdict, "without a verdict on one side, left out"),
    ];
    for (count, what) in aside.into_iter().filter(|(count, _)| *count > 0) {
        lines.push(format!("{count} {what}"));
    }
    lines
}

fn chance(p: f64) -> String {
    if p < 0.0001 { format!("{p:.1e}") } else { format!("{p:.4}") }
}

fn flips(title: &str, flips: &[Flip], text: &mut String) {
    for flip in flips.iter().take(LISTED) {
        let _ = write!(
            text,
            "{title}: {} ({} → {})",
            printable(&flip.instance_id),
            flip.before.replace('_', " "),
            flip.after.replace('_', " ")
        );
        if flip.same_patch {
            text.push_str(", the same patch");
        }
        if let Some(why) = &flip.flaky {
            let _ = write!(text, ", perhaps flaky: {}", printable(why));
        }
        text.push('\n');
    }
    if flips.len() > LISTED {
        let _ = writeln!(text, "… and {} more {title}", flips.len() - LISTED);
    }
}

/// For pull requests.
#[must_use]
pub fn comparison_markdown(found: &Comparison) -> String {
    let mut text = format!("## {} → {}\n\n", inline(&found.before), inline(&found.after));
    for line in figures(found) {
        let _ = writeln!(text, "- {line}");
    }
    text.push_str("\n| repository | instances | before | after | gained | lost |\n");
    text.push_str("|:--|--:|--:|--:|--:|--:|\n");
    for one in &found.by_repository {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            inline(&one.repo),
            one.instances,
            one.before,
            one.after,
            one.gained,
            one.lost
        );
    }
    for (title, flips) in [("Gained", &found.gained), ("Lost", &found.lost)] {
        if flips.is_empty() {
            continue;
        }
        let _ = write!(text, "\n<details><summary>{title}: {}</summary>\n\n", flips.len());
        text.push_str("| instance | before | after | remark |\n|:--|:--|:--|:--|\n");
        for flip in flips.iter().take(LISTED) {
            let same = flip.same_patch.then_some("the same patch");
            let why = [same, flip.flaky.as_deref()].into_iter().flatten().collect::<Vec<_>>();
            let why = inline(&why.join("; "));
            let id = inline(&flip.instance_id);
            let _ = writeln!(text, "| {id} | {} | {} | {why} |", flip.before, flip.after);
        }
        text.push_str("\n</details>\n");
    }
    text
}
