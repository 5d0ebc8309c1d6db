//! `--shard`: which part of a run is done here.

use super::exit::Failure;
use super::settings::Settings;
use crate::dataset::Dataset;
use crate::history::Table;
use crate::journal::ShardFacts;
use crate::model::{InstanceId, Prediction};
use crate::run::{Cut, cut};
use anyhow::anyhow;
use std::collections::{BTreeSet, HashMap};

/// The table shipped with a task list, in its folder.
const SHIPPED: &str = "durations.json";

/// The table of durations that travels with the command: the one named, else the one shipped with the
/// task list, else an empty one.
pub(super) fn table(settings: &Settings, dataset: &Dataset) -> Result<Table, Failure> {
    let shipped = dataset.directory.as_ref().map(|folder| folder.join(SHIPPED));
    let path = settings.durations.clone().or(shipped.filter(|path| path.is_file()));
    match path {
        Some(path) => Table::read(&path).map_err(Failure::input),
        None => Ok(Table::default()),
    }
}

/// The instances of a run that have something to run, and how many predictions each.
pub(super) fn cut_run(
    dataset: &Dataset,
    predictions: &[Prediction],
    table: &Table,
    of: usize,
) -> Cut {
    let mut counts: HashMap<&InstanceId, usize> = HashMap::new();
    for prediction in predictions {
        *counts.entry(&prediction.instance_id).or_default() += usize::from(!prediction.is_empty());
    }
    let instances: Vec<(InstanceId, usize)> = dataset
        .instances
        .iter()
        .map(|one| (one.id.clone(), counts.get(&one.id).copied().unwrap_or_default()))
        .collect();
    cut(&instances, table, of)
}

/// Leaves of a run the part that is to be done, if one is named. All predictions stay: those of other
/// parts are for instances that this one has not selected.
pub(super) fn take_part(
    settings: &Settings,
    dataset: &mut Dataset,
    predictions: &[Prediction],
) -> Result<Option<ShardFacts>, Failure> {
    let Some(text) = &settings.shard else { return Ok(None) };
    let (number, of) = parse(text)?;
    let cut = cut_run(dataset, predictions, &table(settings, dataset)?, of);
    let own: BTreeSet<&InstanceId> = cut.shards[number - 1].iter().collect();
    dataset.instances.retain(|instance| own.contains(&instance.id));
    let run_id = settings.run_id.clone().unwrap_or_else(|| {
        // Every machine must come to the same name.
        let name = super::run::plain_name(&dataset.name);
        format!("{name}-{}", cut.digest.short())
    });
    Ok(Some(ShardFacts { number, of, run_id, cut: cut.digest, durations: cut.durations }))
}

fn parse(text: &str) -> Result<(usize, usize), Failure> {
    let parts = text.split_once('/').and_then(|(number, of)| {
        Some((number.trim().parse::<usize>().ok()?, of.trim().parse::<usize>().ok()?))
    });
    match parts {
        Some((number, of)) if number >= 1 && number <= of => Ok((number, of)),
        _ => Err(Failure::input(anyhow!("`{text}` is no shard"))
            .hint("--shard 3/8 is the third of eight; the first is 1/8")),
    }
}

/// The name of a shard's own run.
pub(super) fn run_id(facts: &ShardFacts) -> String {
    format!("{}-shard-{}-of-{}", facts.run_id, facts.number, facts.of)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn shards_are_counted_from_one() {
        assert_eq!(parse("3/8").unwrap(), (3, 8));
        for wrong in ["0/8", "9/8", "8", "a/b", "1/0", "-1/4"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
