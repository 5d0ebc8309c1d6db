//! A run as Markdown: for pull requests, issues and step summaries.

use super::analysis::{Analysis, Group, ModelFigures};
use super::plain::printable;
use super::record::Record;
use super::statistics::{Interval, share};
use super::{Remark, Report};
use crate::model::VerdictKind;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

/// Groups and remarks that are listed at most.
const LISTED: usize = 40;

/// The text.
#[must_use]
pub fn markdown(record: &Record, validated: Option<&BTreeSet<String>>) -> String {
    let report = Report::with(&record.state, validated);
    let analysis = Analysis::of(record);
    let header = &record.state.header;
    let mut text = format!("## evalrun: {}\n\n", inline(&header.run_id));
    let _ = writeln!(
        text,
        "{} ({}), {} instances{}\n",
        inline(&header.dataset.name),
        inline(&header.dataset.split),
        header.instances.len(),
        if report.complete { "" } else { ", **not complete**" }
    );
    headline(&analysis, &mut text);
    verdicts(&report, &mut text);
    if report.shares.without_infra != report.shares.all || report.shares.validated.is_some() {
        for line in report.shares.to_text().lines() {
            let _ = writeln!(text, "- {line}");
        }
        text.push('\n');
    }
    let models: Vec<&str> = analysis.models.iter().map(|model| model.model.as_str()).collect();
    groups("Repository", &analysis.by_repository, &models, &mut text);
    groups("Difficulty", &analysis.by_difficulty, &models, &mut text);
    groups("Language", &analysis.by_language, &models, &mut text);
    causes(&analysis, &models, &mut text);
    remarks(&report, &mut text);
    provenance(record, &report, &mut text);
    text
}

fn headline(analysis: &Analysis, text: &mut String) {
    let most = analysis.models.iter().map(|model| model.pass_at.len()).max().unwrap_or(0);
    let mut head = "| model | resolved | share | 95 % interval |".to_owned();
    let mut rule = "|:--|--:|--:|:-:|".to_owned();
    if most > 1 {
        for k in 1..=most {
            let _ = write!(head, " pass@{k} |");
            rule.push_str("--:|");
        }
    }
    head.push_str(" flaky | suspicious | forged | infra | CPU hours |\n");
    rule.push_str("--:|--:|--:|--:|--:|\n");
    text.push_str(&head);
    text.push_str(&rule);
    for model in &analysis.models {
        text.push_str(&headline_row(model, most));
    }
    text.push('\n');
}

fn headline_row(model: &ModelFigures, most: usize) -> String {
    let mut row = format!(
        "| {} | {} of {} | **{}** | {} |",
        inline(&model.model),
        model.resolved,
        model.instances,
        percent(model.share),
        range(model.interval)
    );
    if most > 1 {
        for k in 0..most {
            let value = model.pass_at.get(k).map(|mean| percent(mean.value)).unwrap_or_default();
            let _ = write!(row, " {value} |");
        }
    }
    let _ = writeln!(
        row,
        " {} | {} | {} | {} | {:.2} |",
        model.flaky,
        model.suspicious,
        model.forged,
        model.infra,
        hours(model.cpu_time)
    );
    row
}

fn verdicts(report: &Report, text: &mut String) {
    let shown: Vec<VerdictKind> =
        VerdictKind::ALL.into_iter().filter(|kind| report.counts.of(*kind) > 0).collect();
    if shown.is_empty() {
        return;
    }
    text.push_str("| model |");
    for kind in &shown {
        let _ = write!(text, " {} |", kind.name().replace('_', " "));
    }
    text.push_str(" to do |\n|:--|");
    text.push_str(&"--:|".repeat(shown.len() + 1));
    text.push('\n');
    for model in &report.models {
        let _ = write!(text, "| {} |", inline(&model.model));
        for kind in &shown {
            let _ = write!(text, " {} |", model.counts.of(*kind));
        }
        let _ = writeln!(text, " {} |", model.counts.total - model.counts.done());
    }
    text.push('\n');
}

fn groups(title: &str, groups: &[Group], models: &[&str], text: &mut String) {
    if groups.len() < 2 {
        return;
    }
    let _ = write!(text, "<details><summary>By {}</summary>\n\n", title.to_lowercase());
    let names: String = models.iter().map(|model| format!(" {} |", inline(model))).collect();
    let _ = writeln!(text, "| {title} | instances |{names}");
    let _ = writeln!(text, "|:--|--:|{}", "--:|".repeat(models.len()));
    for group in groups.iter().take(LISTED) {
        let _ = write!(text, "| {} | {} |", inline(&group.name), group.instances);
        for resolved in &group.resolved {
            let part = percent(share(*resolved, group.instances));
            let _ = write!(text, " {resolved} ({part}) |");
        }
        text.push('\n');
    }
    more(groups.len(), text);
    text.push_str("\n</details>\n\n");
}

fn causes(analysis: &Analysis, models: &[&str], text: &mut String) {
    if analysis.causes.is_empty() {
        return;
    }
    text.push_str("<details><summary>By cause of failure</summary>\n\n");
    let names: String = models.iter().map(|model| format!(" {} |", inline(model))).collect();
    let _ = writeln!(text, "| cause |{names}");
    let _ = writeln!(text, "|:--|{}", "--:|".repeat(models.len()));
    for cause in analysis.causes.iter().take(LISTED) {
        let counts: String = cause.attempts.iter().map(|count| format!(" {count} |")).collect();
        let _ = writeln!(text, "| {} |{counts}", inline(&cause.cause));
    }
    more(analysis.causes.len(), text);
    text.push_str("\n</details>\n\n");
}

fn remarks(report: &Report, text: &mut String) {
    let all: Vec<&Remark> = report.models.iter().flat_map(|model| &model.remarks).collect();
    if all.is_empty() {
        return;
    }
    let _ = write!(text, "<details><summary>Worth a look: {}</summary>\n\n", all.len());
    for remark in all.iter().take(LISTED) {
        let key = inline(&remark.key.to_string());
        let _ = write!(text, "- {key}: {}", remark.kind.name().replace('_', " "));
        if let Some(why) = &remark.why {
            let _ = write!(text, " ({})", inline(why));
        }
        text.push('\n');
    }
    more(all.len(), text);
    text.push_str("\n</details>\n\n");
}

fn more(all: usize, text: &mut String) {
    if all > LISTED {
        let _ = writeln!(text, "\n… and {} more", all - LISTED);
    }
}

fn provenance(record: &Record, report: &Report, text: &mut String) {
    let header = &record.state.header;
    let _ = writeln!(
        text,
        "<sub>evalrun {}, grader {}; task list sha256 {}; {} back-end on {} {}; {} at most at once, \
         {} in all</sub>",
        inline(&header.versions.evalrun),
        header.versions.grader,
        header.dataset.digest,
        inline(&header.host.backend),
        inline(&header.host.os),
        inline(&header.host.arch),
        report.peak_in_flight,
        duration(report.elapsed),
    );
}

/// Text of others inside a line or a cell: no markup of it counts, and nobody is mentioned.
pub(super) fn inline(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in printable(text).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '@' => safe.push_str("&#64;"),
            '|' => safe.push_str("&#124;"),
            '\\' | '`' | '*' | '[' | ']' | '#' | '!' | '~' | '$' => {
                safe.push('\\');
                safe.push(c);
            }
            // Inside a word an underscore is a letter.
            c => safe.push(c),
        }
    }
    safe
}

/// `48.3 %`.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// `46.3–50.3 %`.
pub(super) fn range(interval: Interval) -> String {
    format!("{:.1}–{:.1} %", interval.low * 100.0, interval.high * 100.0)
}

pub(super) fn hours(time: Duration) -> f64 {
    time.as_secs_f64() / 3600.0
}

/// `1 h 02 min`, `3 min 07 s`, `4.2 s`.
pub(super) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{:.1} s", time.as_secs_f64()),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}
