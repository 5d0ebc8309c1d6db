//! A leaderboard as CSV, JSON and Markdown.

use super::{BoardDataset, Leaderboard, Standing};
use crate::report::markdown::{hours, inline, percent, range};
use crate::report::python_json;
use crate::report::rows::{cell, to_csv};
use serde::Serialize;
use std::fmt::Write as _;

/// A row of the CSV.
#[derive(Serialize)]
struct Row<'b> {
    dataset: String,
    dataset_sha256: &'b str,
    rank: usize,
    model: String,
    instances: usize,
    resolved: usize,
    share: f64,
    low: f64,
    high: f64,
    attempts: usize,
    pass_at_1: Option<f64>,
    pass_at_max: Option<f64>,
    flaky: usize,
    suspicious: usize,
    forged: usize,
    infra: usize,
    known: usize,
    cpu_hours: f64,
    sandbox_hours: f64,
    cost_usd: Option<f64>,
    complete: bool,
    date: &'b str,
    run_id: String,
    evalrun: &'b str,
    grader: u32,
    integrity: &'b str,
    images_sha256: &'b str,
    patches_sha256: &'b str,
}

/// A row a model and task list.
#[must_use]
pub fn leaderboard_csv(board: &Leaderboard) -> String {
    to_csv(board.datasets.iter().flat_map(|dataset| {
        (1..).zip(&dataset.ranking).map(|(rank, standing)| Row::of(dataset, rank, standing))
    }))
}

impl<'b> Row<'b> {
    fn of(dataset: &'b BoardDataset, rank: usize, standing: &'b Standing) -> Self {
        let figures = &standing.figures;
        Self {
            dataset: cell(&dataset.name),
            dataset_sha256: &dataset.digest,
            rank,
            model: cell(&figures.model),
            instances: figures.instances,
            resolved: figures.resolved,
            share: figures.share,
            low: figures.interval.low,
            high: figures.interval.high,
            attempts: figures.attempts,
            pass_at_1: figures.pass_at.first().map(|mean| mean.value),
            pass_at_max: figures.pass_at.last().map(|mean| mean.value),
            flaky: figures.flaky,
            suspicious: figures.suspicious,
            forged: figures.forged,
            infra: figures.infra,
            known: figures.known,
            cpu_hours: hours(figures.cpu_time),
            sandbox_hours: hours(figures.sandbox_time),
            cost_usd: standing.cost,
            complete: standing.complete,
            date: &standing.date,
            run_id: cell(&standing.run_id),
            evalrun: &standing.evalrun,
            grader: standing.grader,
            integrity: &standing.integrity,
            images_sha256: &standing.images,
            patches_sha256: &standing.patches,
        }
    }
}

/// All figures.
#[must_use]
pub fn leaderboard_json(board: &Leaderboard) -> String {
    python_json::to_text(board) + "\n"
}

/// A table a task list.
#[must_use]
pub fn leaderboard_markdown(board: &Leaderboard) -> String {
    let mut text = String::from("# Leaderboard\n");
    for dataset in &board.datasets {
        let attempts = dataset.attempts();
        let _ = write!(
            text,
            "\n## {}\n\n{} instances, sha256 `{}`\n\n",
            inline(&dataset.name),
            dataset.instances,
            dataset.digest
        );
        let pass: String =
            (1..=attempts).filter(|_| attempts > 1).map(|k| format!(" pass@{k} |")).collect();
        let rule = "--:|".repeat(pass.matches('|').count());
        let _ = writeln!(
            text,
            "| | model | resolved | 95 % interval |{pass} flaky | suspicious | forged | infra | CPU h | cost | run |"
        );
        let _ = writeln!(text, "|--:|:--|--:|:-:|{rule}--:|--:|--:|--:|--:|--:|:--|");
        for (rank, standing) in (1..).zip(&dataset.ranking) {
            let figures = &standing.figures;
            let pass: String = (0..attempts)
                .filter(|_| attempts > 1)
                .map(|k| figures.pass_at.get(k).map_or(String::new(), |mean| percent(mean.value)))
                .map(|value| format!(" {value} |"))
                .collect();
            let _ = writeln!(
                text,
                "| {rank} | {} | **{}** | {} |{pass} {} | {} | {} | {} | {:.1} | {} | {}{} |",
                inline(&figures.model),
                percent(figures.share),
                range(figures.interval),
                figures.flaky,
                figures.suspicious,
                figures.forged,
                figures.infra,
                hours(figures.cpu_time),
                standing.cost.map(|cost| format!("{cost:.2} USD")).unwrap_or_default(),
                inline(&standing.run_id),
                if standing.complete { "" } else { " (not complete)" },
            );
        }
    }
    text
}
