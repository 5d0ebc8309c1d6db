//! Models × task lists, over many runs, with what stands behind each figure.

mod page;
mod text;

pub use page::leaderboard_html;
pub use text::{leaderboard_csv, leaderboard_json, leaderboard_markdown};

use super::analysis::{Analysis, ModelFigures};
use super::record::Record;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// A leaderboard.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Leaderboard {
    /// The task lists, by name; of the same name with other content both.
    pub datasets: Vec<BoardDataset>,
}

/// A task list with its ranking.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BoardDataset {
    /// Its name and split.
    pub name: String,
    /// Digest of its content.
    pub digest: String,
    /// How many of its instances were selected.
    pub instances: usize,
    /// The models, the best first.
    pub ranking: Vec<Standing>,
}

/// A model's place.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Standing {
    /// Its figures.
    #[serde(flatten)]
    pub figures: ModelFigures,
    /// What it cost, where that was given, in dollars.
    pub cost: Option<f64>,
    /// The run.
    pub run_id: String,
    /// Whether every prediction has its verdict.
    pub complete: bool,
    /// The day the run was begun.
    pub date: String,
    /// The program.
    pub evalrun: String,
    /// The version of the rules that judge.
    pub grader: u32,
    /// Whose verdicts: official, report or strict.
    pub integrity: String,
    /// The back-end, and the machine.
    pub host: String,
    /// Digest of the digests of all images, in their order.
    pub images: String,
    /// Digest of the digests of all patches of the model, by instance and attempt.
    pub patches: String,
}

impl Leaderboard {
    /// The leaderboard of these runs; `costs` are by model.
    #[must_use]
    pub fn of(records: &[Record], costs: &BTreeMap<String, f64>) -> Self {
        let mut datasets: BTreeMap<(String, String, usize), Vec<Standing>> = BTreeMap::new();
        for record in records {
            let header = &record.state.header;
            let name = format!("{} ({})", header.dataset.name, header.dataset.split);
            let key = (name, header.dataset.digest.to_string(), header.instances.len());
            let standings = datasets.entry(key).or_default();
            for figures in Analysis::of(record).models {
                standings.push(Standing::of(record, figures, costs));
            }
        }
        let datasets = datasets.into_iter().map(|((name, digest, instances), mut ranking)| {
            ranking.sort_by(|a, b| {
                let share = b.figures.share.total_cmp(&a.figures.share);
                share
                    .then_with(|| a.figures.model.cmp(&b.figures.model))
                    .then_with(|| a.run_id.cmp(&b.run_id))
            });
            BoardDataset { name, digest, instances, ranking }
        });
        Self { datasets: datasets.collect() }
    }

    /// Every model once, the best anywhere first.
    #[must_use]
    pub fn models(&self) -> Vec<&str> {
        let mut best: BTreeMap<&str, f64> = BTreeMap::new();
        for standing in self.datasets.iter().flat_map(|one| &one.ranking) {
            let share = best.entry(&standing.figures.model).or_default();
            *share = share.max(standing.figures.share);
        }
        let mut models: Vec<(&str, f64)> = best.into_iter().collect();
        models.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        models.into_iter().map(|(model, _)| model).collect()
    }
}

impl BoardDataset {
    /// The best standing of a model.
    #[must_use]
    pub fn best(&self, model: &str) -> Option<&Standing> {
        self.ranking.iter().find(|one| one.figures.model == model)
    }

    /// The most attempts that a model has.
    #[must_use]
    pub fn attempts(&self) -> usize {
        self.ranking.iter().map(|one| one.figures.pass_at.len()).max().unwrap_or(0)
    }
}

impl Standing {
    fn of(record: &Record, figures: ModelFigures, costs: &BTreeMap<String, f64>) -> Self {
        use crate::model::DigestBuilder;
        let (state, header) = (&record.state, &record.state.header);
        let images: BTreeSet<String> =
            state.images.iter().map(|(name, (_, digest))| format!("{name} {digest}")).collect();
        let mut patches: Vec<String> = header
            .predictions
            .iter()
            .filter(|one| *one.key.model == figures.model)
            .map(|one| format!("{} {} {}", one.key.instance_id, one.key.attempt, one.patch))
            .collect();
        patches.sort();
        Self {
            cost: costs.get(&figures.model).copied(),
            run_id: header.run_id.clone(),
            complete: figures.open == 0,
            date: state.began.strftime("%Y-%m-%d").to_string(),
            evalrun: header.versions.evalrun.clone(),
            grader: header.versions.grader,
            integrity: format!("{:?}", header.settings.policy).to_lowercase(),
            host: format!("{}, {} {}", header.host.backend, header.host.os, header.host.arch),
            images: DigestBuilder::new("images of a run 1")
                .list("image", images)
                .finish()
                .to_string(),
            patches: DigestBuilder::new("patches of a model 1")
                .list("patch", patches)
                .finish()
                .to_string(),
            figures,
        }
    }
}
