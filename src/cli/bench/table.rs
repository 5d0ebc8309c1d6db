//! The findings as text.

use super::Findings;
use super::figures::Figures;
use std::fmt::Write as _;
use tabled::builder::Builder;
use tabled::settings::{Alignment, Style, object::Columns};

/// Tables, and what is to be said besides.
pub(super) fn text_of(findings: &Findings) -> String {
    let mut text = contenders(findings);
    if !findings.rates.is_empty() {
        text += &rates(findings);
    }
    for (name, alive) in &findings.alive {
        let _ = writeln!(
            text,
            "{} alive ({name}): {} MB each; create and run p50 {} ms for the first hundred, {} ms \
             for the last; ended in {} ms",
            alive.count,
            alive.mb_each,
            number(alive.first_hundred_p50_ms),
            number(alive.last_hundred_p50_ms),
            alive.all_ended_ms,
        );
    }
    for (name, fan_out) in &findings.fan_out {
        let _ = writeln!(
            text,
            "{} children of a snapshot ({name}): taken in {} ms, all verified in {} ms ({} bare \
             programs)",
            fan_out.children,
            fan_out.snapshot_ms,
            fan_out.verified_ms,
            number(fan_out.bare_spawns),
        );
    }
    for absent in &findings.absent {
        let _ = writeln!(text, "without {absent}");
    }
    for caveat in &findings.caveats {
        let _ = writeln!(text, "not enforced here: {caveat}");
    }
    for change in &findings.census {
        let _ = writeln!(text, "{}: {} before, {} after", change.what, change.before, change.after);
        for new in &change.new {
            let _ = writeln!(text, "    new: {new}");
        }
    }
    for leak in &findings.leaks {
        let _ = writeln!(text, "left behind: {leak}");
    }
    text
}

fn contenders(findings: &Findings) -> String {
    let mut table = Builder::new();
    table.push_record([
        "",
        "p50 ms",
        "p99 ms",
        "× bare",
        "× p99",
        "per s",
        "first ⅓",
        "last ⅓",
        "of bare",
        "protects",
    ]);
    for (name, figures) in &findings.contenders {
        let Figures { p50_ms, p99_ms, p50_ratio, p99_ratio, .. } = figures;
        let mut row = vec![(*name).to_owned()];
        row.extend([p50_ms, p99_ms, p50_ratio, p99_ratio].map(|value| number(*value)));
        let rates = [
            figures.per_second,
            figures.first_third_per_second,
            figures.last_third_per_second,
            figures.rate_ratio,
        ];
        row.extend(rates.map(number));
        row.push(figures.protects.clone());
        table.push_record(row);
    }
    let mut table = table.build();
    table.with(Style::blank()).modify(Columns::new(1..9), Alignment::right());
    format!("{table}\n")
}

fn rates(findings: &Findings) -> String {
    let mut table = Builder::new();
    let counts: Vec<usize> =
        findings.rates.values().next().map(|row| row.keys().copied().collect()).unwrap_or_default();
    let head = std::iter::once("per second, at once:".to_owned());
    table.push_record(head.chain(counts.iter().map(ToString::to_string)));
    for (name, row) in &findings.rates {
        let rates = row.values().map(|rate| number(Some(*rate)));
        table.push_record(std::iter::once((*name).to_owned()).chain(rates));
    }
    let mut table = table.build();
    table.with(Style::blank()).modify(Columns::new(1..), Alignment::right());
    format!("{table}\n")
}

/// Three digits that count.
fn number(value: Option<f64>) -> String {
    match value {
        None => String::new(),
        Some(value) if value >= 100.0 => format!("{value:.0}"),
        Some(value) if value >= 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.2}"),
    }
}
