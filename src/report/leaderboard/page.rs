//! A leaderboard as one static page: no script, a link to every figure.

use super::{BoardDataset, Leaderboard, Standing};
use crate::report::html::{STYLE, charts, policy};
use crate::report::markdown::{hours, percent, range};
use crate::report::plain::printable;
use askama::Template;
use charts::Chart;

#[derive(Template)]
#[template(path = "leaderboard/page.html")]
struct Page {
    policy: String,
    style: &'static str,
    version: &'static str,
    names: Vec<Link>,
    overview: Vec<Line>,
    datasets: Vec<Section>,
}

struct Link {
    name: String,
    anchor: String,
}

/// A model over all task lists.
struct Line {
    model: String,
    cells: Vec<Option<Link>>,
}

struct Section {
    name: String,
    anchor: String,
    digest: String,
    instances: usize,
    pass_heads: Vec<String>,
    has_cost: bool,
    rows: Vec<Row>,
}

struct Row {
    rank: usize,
    model: String,
    anchor: String,
    share: String,
    resolved: usize,
    interval: String,
    chart: Chart,
    pass_at: Vec<String>,
    flaky: usize,
    doubtful: String,
    infra: usize,
    cpu: String,
    sandbox: String,
    cost: String,
    provenance: Vec<(&'static str, String)>,
}

/// The page; the same runs give the same bytes.
#[must_use]
pub fn leaderboard_html(board: &Leaderboard) -> String {
    let link = |dataset: &BoardDataset| Link {
        name: printable(&dataset.name),
        anchor: anchor(&[&dataset.name, &dataset.digest[..8]]),
    };
    let line = |model: &str| Line {
        model: printable(model),
        cells: board
            .datasets
            .iter()
            .map(|dataset| {
                let best = dataset.best(model)?;
                let name = percent(best.figures.share);
                Some(Link { name, anchor: row_anchor(dataset, best) })
            })
            .collect(),
    };
    let page = Page {
        policy: policy(STYLE, ""),
        style: STYLE,
        version: env!("CARGO_PKG_VERSION"),
        names: board.datasets.iter().map(link).collect(),
        overview: board.models().into_iter().map(line).collect(),
        datasets: board.datasets.iter().map(Section::of).collect(),
    };
    page.render().expect("the page is written into memory")
}

fn row_anchor(dataset: &BoardDataset, standing: &Standing) -> String {
    let model = &standing.figures.model;
    anchor(&[&dataset.name, &dataset.digest[..8], model, &standing.run_id])
}

/// A name for links that stays the same.
fn anchor(parts: &[&str]) -> String {
    let clean = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    parts.join("--").chars().map(clean).collect()
}

impl Section {
    fn of(dataset: &BoardDataset) -> Self {
        let attempts = dataset.attempts();
        let shown = if attempts > 1 { attempts } else { 0 };
        let rows =
            (1..).zip(&dataset.ranking).map(|(rank, one)| Row::of(dataset, rank, one, shown));
        Self {
            name: printable(&dataset.name),
            anchor: anchor(&[&dataset.name, &dataset.digest[..8]]),
            digest: dataset.digest.clone(),
            instances: dataset.instances,
            pass_heads: (1..=shown).map(|k| format!("pass@{k}")).collect(),
            has_cost: dataset.ranking.iter().any(|one| one.cost.is_some()),
            rows: rows.collect(),
        }
    }
}

impl Row {
    fn of(dataset: &BoardDataset, rank: usize, standing: &Standing, attempts: usize) -> Self {
        let figures = &standing.figures;
        let pass_at = (0..attempts)
            .map(|k| figures.pass_at.get(k).map_or(String::new(), |mean| percent(mean.value)));
        let whole = if standing.complete { "" } else { ", not complete" };
        Self {
            rank,
            model: printable(&figures.model),
            anchor: row_anchor(dataset, standing),
            share: percent(figures.share),
            resolved: figures.resolved,
            interval: range(figures.interval),
            chart: charts::interval(figures.share, figures.interval),
            pass_at: pass_at.collect(),
            flaky: figures.flaky,
            doubtful: format!("{} / {}", figures.suspicious, figures.forged),
            infra: figures.infra,
            cpu: format!("{:.1}", hours(figures.cpu_time)),
            sandbox: format!("{:.1}", hours(figures.sandbox_time)),
            cost: standing.cost.map(|cost| format!("${cost:.2}")).unwrap_or_default(),
            provenance: vec![
                ("run", format!("{}, {}{whole}", printable(&standing.run_id), standing.date)),
                (
                    "evalrun",
                    format!("{}, grader {}", printable(&standing.evalrun), standing.grader),
                ),
                ("verdicts", standing.integrity.clone()),
                ("known from other runs", figures.known.to_string()),
                ("host", printable(&standing.host)),
                ("patches sha256", standing.patches.clone()),
                ("images sha256", standing.images.clone()),
            ],
        }
    }
}
