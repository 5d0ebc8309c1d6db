//! The page put together.

use super::charts::{Chart, bars, interval, stacked};
use super::data::{hardness, payload};
use super::timeline::{Plot, durations, memory, timeline};
use super::{SCRIPT, STYLE, policy};
use crate::model::VerdictKind;
use crate::report::analysis::{Analysis, Group, ModelFigures};
use crate::report::markdown::{duration, hours, percent, range};
use crate::report::plain::printable;
use crate::report::statistics::share;
use crate::report::{Counts, Record, Report, RunDir};
use askama::Template;
use std::collections::BTreeSet;

/// Causes that are listed.
const CAUSES: usize = 24;

#[derive(Template)]
#[template(path = "html/page.html")]
struct Page {
    policy: String,
    style: &'static str,
    script: &'static str,
    version: String,
    run_id: String,
    dataset: String,
    began: String,
    instances: usize,
    complete: bool,
    models: Vec<Card>,
    outcomes: Vec<Outcomes>,
    attempts_note: String,
    verdict_legend: Vec<Legend>,
    tables: Vec<Table>,
    time_note: String,
    plots: Vec<Plot>,
    phase_legend: Vec<Legend>,
    durations: Plot,
    durations_note: String,
    memory: Plot,
    memory_note: String,
    provenance: Vec<Fact>,
    index: String,
    chunks: Vec<String>,
}

/// A model's headline.
struct Card {
    name: String,
    short: String,
    share: String,
    resolved: usize,
    instances: usize,
    interval: String,
    interval_chart: Chart,
    pass_at: String,
    chips: Vec<Chip>,
}

struct Chip {
    count: String,
    what: &'static str,
    class: &'static str,
}

/// A model's verdicts as a bar.
struct Outcomes {
    name: String,
    chart: Chart,
}

struct Legend {
    class: &'static str,
    name: String,
}

/// A table of groups.
struct Table {
    slug: &'static str,
    title: &'static str,
    column: &'static str,
    note: String,
    has_total: bool,
    rows: Vec<Row>,
}

struct Row {
    name: String,
    total: usize,
    cells: Vec<Cell>,
    spark: Chart,
}

struct Cell {
    text: String,
    title: String,
}

struct Fact {
    name: &'static str,
    value: String,
}

/// The page of a run; `dir` is where its patches and logs are.
#[must_use]
pub fn html(record: &Record, dir: &RunDir, validated: Option<&BTreeSet<String>>) -> String {
    let analysis = Analysis::of(record);
    let report = Report::with(&record.state, validated);
    let header = &record.state.header;
    let payload = payload(record, dir, &analysis);
    let line = timeline(record);
    let (durations, durations_note) = durations(record);
    let (memory, memory_note) = memory(record);
    let page = Page {
        policy: policy(STYLE, SCRIPT),
        style: STYLE,
        script: SCRIPT,
        version: header.versions.evalrun.clone(),
        run_id: printable(&header.run_id),
        dataset: printable(&report.dataset),
        began: record.state.began.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        instances: report.instances,
        complete: report.complete,
        models: analysis.models.iter().map(Card::of).collect(),
        outcomes: outcomes(&report),
        attempts_note: attempts_note(&report),
        verdict_legend: verdict_legend(&report),
        tables: tables(&analysis),
        time_note: line.note,
        plots: [Some(line.sandboxes), line.images].into_iter().flatten().collect(),
        phase_legend: phase_legend(),
        durations,
        durations_note,
        memory,
        memory_note,
        provenance: provenance(record, &report),
        index: payload.index,
        chunks: payload.chunks,
    };
    page.render().expect("the page is written into memory")
}

impl Card {
    fn of(model: &ModelFigures) -> Self {
        let chips = [
            (model.flaky, "flaky", "warn"),
            (model.suspicious, "suspicious", "warn"),
            (model.forged, "forged", "bad"),
            (model.infra, "infra", "bad"),
            (model.open, "without a verdict", "warn"),
            (model.known, "known before", ""),
        ];
        let mut chips: Vec<Chip> = chips
            .into_iter()
            .filter(|(count, _, _)| *count > 0)
            .map(|(count, what, class)| Chip { count: count.to_string(), what, class })
            .collect();
        let cpu = format!("{:.1}", hours(model.cpu_time));
        chips.push(Chip { count: cpu, what: "CPU hours", class: "" });
        let pass_at: Vec<String> = (1..)
            .zip(&model.pass_at)
            .map(|(k, mean)| format!("pass@{k} {}", percent(mean.value)))
            .collect();
        let name = printable(&model.model);
        Self {
            short: short(&name),
            name,
            share: percent(model.share),
            resolved: model.resolved,
            instances: model.instances,
            interval: range(model.interval),
            interval_chart: interval(model.share, model.interval),
            pass_at: if model.attempts > 1 { pass_at.join(", ") } else { String::new() },
            chips,
        }
    }
}

/// A name for the head of a narrow column.
fn short(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    match last.char_indices().nth(12) {
        Some((at, _)) => format!("{}…", &last[..at]),
        None => last.to_owned(),
    }
}

fn outcomes(report: &Report) -> Vec<Outcomes> {
    let one = |name: &str, counts: &Counts| {
        #[expect(clippy::cast_precision_loss, reason = "counts of predictions are small")]
        let number = |count: usize| count as f64;
        let open = counts.total - counts.done();
        let mut parts: Vec<(f64, &str)> =
            VerdictKind::ALL.iter().map(|kind| (number(counts.of(*kind)), kind.name())).collect();
        parts.push((number(open), "open"));
        let words: Vec<String> = VerdictKind::ALL
            .iter()
            .filter(|kind| counts.of(**kind) > 0)
            .map(|kind| format!("{} {}", counts.of(*kind), kind.name().replace('_', " ")))
            .collect();
        let name = printable(name);
        let said = format!("{name}: {}", words.join(", "));
        Outcomes { chart: stacked(&parts, number(counts.total), &said), name }
    };
    report.models.iter().map(|model| one(&model.model, &model.counts)).collect()
}

fn attempts_note(report: &Report) -> String {
    let shares = &report.shares;
    let mut note = format!("{} attempts", shares.all.total);
    if shares.without_infra != shares.all {
        let part = share(shares.without_infra.resolved, shares.without_infra.total);
        note.push_str(&format!(", {} resolved without trouble of our own", percent(part)));
    }
    if let Some(one) = shares.validated {
        let part = share(one.resolved, one.total);
        note.push_str(&format!(", {} of instances that gold resolves here", percent(part)));
    }
    note
}

fn verdict_legend(report: &Report) -> Vec<Legend> {
    VerdictKind::ALL
        .into_iter()
        .filter(|kind| report.counts.of(*kind) > 0)
        .map(|kind| Legend {
            class: kind.name(),
            name: format!("{} {}", kind.name().replace('_', " "), report.counts.of(kind)),
        })
        .collect()
}

fn phase_legend() -> Vec<Legend> {
    [
        ("image", "image pulled or built"),
        ("setup", "sandbox and patch"),
        ("prepare", "script before its tests"),
        ("test", "tests"),
        ("finish", "script after its tests"),
    ]
    .into_iter()
    .map(|(class, name)| Legend { class, name: name.to_owned() })
    .collect()
}

fn tables(analysis: &Analysis) -> Vec<Table> {
    let mut difficulties = analysis.by_difficulty.clone();
    difficulties.sort_by_key(|group| hardness(&group.name));
    let groups = [
        ("repository", "By repository", "repository", &analysis.by_repository),
        ("difficulty", "By difficulty", "difficulty", &difficulties),
        ("language", "By language", "language", &analysis.by_language),
    ];
    let mut tables: Vec<Table> = groups
        .into_iter()
        .filter(|(_, _, _, groups)| !groups.is_empty())
        .map(|(slug, title, column, groups)| Table {
            slug,
            title,
            column,
            note: "resolved at the first attempt".to_owned(),
            has_total: true,
            rows: groups.iter().map(Row::of_group).collect(),
        })
        .collect();
    if !analysis.causes.is_empty() {
        tables.push(causes(analysis));
    }
    tables
}

fn causes(analysis: &Analysis) -> Table {
    let most = analysis.causes.iter().flat_map(|one| &one.attempts).max().copied().unwrap_or(1);
    let rows = analysis.causes.iter().take(CAUSES).map(|one| Row {
        name: printable(&one.cause),
        total: one.attempts.iter().sum(),
        cells: one
            .attempts
            .iter()
            .map(|count| Cell { text: count.to_string(), title: String::new() })
            .collect(),
        spark: bars(&one.attempts.iter().map(|count| share(*count, most)).collect::<Vec<_>>()),
    });
    let more = analysis.causes.len().saturating_sub(CAUSES);
    Table {
        slug: "causes",
        title: "By cause of failure",
        column: "cause",
        note: match more {
            0 => "attempts that are not resolved".to_owned(),
            more => format!("attempts that are not resolved; {more} rarer causes are left out"),
        },
        has_total: false,
        rows: rows.collect(),
    }
}

impl Row {
    fn of_group(group: &Group) -> Self {
        let shares: Vec<f64> =
            group.resolved.iter().map(|resolved| share(*resolved, group.instances)).collect();
        let cells = group.resolved.iter().zip(&shares).map(|(resolved, part)| Cell {
            text: percent(*part),
            title: format!("{resolved} of {}", group.instances),
        });
        Self {
            name: printable(&group.name),
            total: group.instances,
            cells: cells.collect(),
            spark: bars(&shares),
        }
    }
}

fn provenance(record: &Record, report: &Report) -> Vec<Fact> {
    let (state, header) = (&record.state, &record.state.header);
    let (host, settings) = (&header.host, &header.settings);
    let limits = &settings.limits;
    #[expect(clippy::cast_precision_loss, reason = "bytes for people")]
    let bytes = |count: Option<u64>| match count {
        None => "none".to_owned(),
        Some(count) => format!("{:.1} GiB", count as f64 / f64::from(1 << 30)),
    };
    let number = |count: Option<u32>| count.map_or_else(|| "none".to_owned(), |n| n.to_string());
    let mut facts = vec![
        ("task list", format!("{}, sha256 {}", report.dataset, header.dataset.digest)),
        ("evalrun", format!("{}, grader {}", header.versions.evalrun, header.versions.grader)),
        (
            "host",
            format!(
                "{} {}, Linux {}, {} CPUs, {}",
                host.os,
                host.arch,
                host.kernel,
                host.cpus,
                bytes(Some(host.memory))
            ),
        ),
        ("back-end", host.backend.clone()),
        (
            "limits",
            format!(
                "memory {}, processes {}, disk {}, time {}",
                bytes(limits.memory),
                number(limits.pids),
                bytes(limits.disk),
                duration(settings.timeout)
            ),
        ),
        ("network", format!("{:?}", settings.network).to_lowercase()),
        ("integrity", format!("{:?}", settings.policy).to_lowercase()),
        ("images", format!("{} made sure of", state.images.len())),
        ("began", state.began.to_string()),
        ("last event", format!("{}, {} in all", state.last, duration(report.elapsed))),
    ];
    if !host.caveats.is_empty() {
        facts.push(("not enforced", host.caveats.join("; ")));
    }
    if report.unselected > 0 {
        facts.push(("left out", format!("{} predictions of other instances", report.unselected)));
    }
    facts.into_iter().map(|(name, value)| Fact { name, value: printable(&value) }).collect()
}
