//! A run cut into parts that take about as long as each other. Pure, and the same on every machine:
//! by a table of durations that travels with the command, never by what a machine knows itself.

use crate::history::Table;
use crate::model::{Digest, DigestBuilder, InstanceId};
use std::cmp::Reverse;

/// A run cut into shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The instances of each shard, by id; the one expected to take longest comes first.
    pub shards: Vec<Vec<InstanceId>>,
    /// What is expected of each, in milliseconds of sandboxes; of no meaning where the table is empty.
    pub loads: Vec<u64>,
    /// What tells this cut from another.
    pub digest: Digest,
    /// Digest of the durations it was made by.
    pub durations: Digest,
}

/// Cuts these instances, each with so many predictions, into `of` shards. All predictions of an
/// instance are in one shard, so that its image is made once. An instance that the table does not
/// know counts as the mean of those that it knows.
#[must_use]
pub fn cut(instances: &[(InstanceId, usize)], table: &Table, of: usize) -> Cut {
    let of = of.max(1);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "durations are positive, and in milliseconds far below the bound"
    )]
    let millis = |id: &InstanceId| Some((table.instances.get(id)?.seconds * 1000.0).round() as u64);
    let known: Vec<u64> = instances.iter().filter_map(|(id, _)| millis(id)).collect();
    // Whole numbers: the same on every machine.
    let mean = known.iter().sum::<u64>().checked_div(known.len() as u64).unwrap_or(1000).max(1);
    let mut loads: Vec<(u64, &InstanceId)> = instances
        .iter()
        .map(|(id, count)| (millis(id).unwrap_or(mean).max(1) * *count as u64, id))
        .collect();
    loads.sort_by_key(|(load, id)| (Reverse(*load), *id));
    let mut shards: Vec<(u64, Vec<InstanceId>)> = vec![(0, Vec::new()); of];
    for (load, id) in loads {
        let least = shards.iter_mut().min_by_key(|(sum, ids)| (*sum, ids.len()));
        let (sum, ids) = least.expect("there is at least one shard");
        *sum += load;
        ids.push(id.clone());
    }
    shards.sort_by_key(|(sum, _)| Reverse(*sum));
    shards.iter_mut().for_each(|(_, ids)| ids.sort());
    let mut digest = DigestBuilder::new("cut 1").field("of", of.to_string());
    for (_, ids) in &shards {
        digest = digest.list("instance", ids.iter().map(InstanceId::as_str));
    }
    Cut {
        digest: digest.finish(),
        durations: table.digest(),
        loads: shards.iter().map(|(sum, _)| *sum).collect(),
        shards: shards.into_iter().map(|(_, ids)| ids).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Line;
    use std::collections::BTreeSet;

    fn instances(count: usize) -> Vec<(InstanceId, usize)> {
        (0..count).map(|at| (InstanceId::new(&format!("i-{at}")).unwrap(), 1)).collect()
    }

    fn table(seconds: &[f64]) -> Table {
        let line = |seconds| Line { seconds, cpu_seconds: 0.0, memory: 0 };
        let lines = instances(seconds.len()).into_iter().zip(seconds);
        Table::new("set", lines.map(|((id, _), seconds)| (id, line(*seconds))).collect())
    }

    #[test]
    fn shards_take_about_as_long_and_lose_nothing() {
        let table = table(&[9.0, 5.0, 4.0, 1.0, 1.0, 1.0]);
        let all = instances(7);
        let cut = super::cut(&all, &table, 2);
        // The last is not in the table: it counts as their mean, 3.5 seconds.
        assert_eq!(cut.loads, [12500, 12000]);
        let ids: BTreeSet<_> = cut.shards.iter().flatten().collect();
        assert_eq!(ids.len(), 7);
        assert_eq!(cut.shards.iter().map(Vec::len).sum::<usize>(), 7);
        let mut turned = all.clone();
        turned.reverse();
        assert_eq!(super::cut(&turned, &table, 2), cut, "the order of the rows is of no matter");
    }

    #[test]
    fn other_durations_or_another_number_make_another_cut() {
        let (all, table) = (instances(6), table(&[9.0, 5.0, 4.0, 1.0, 1.0, 1.0]));
        let cut = |table: &Table, of| super::cut(&all, table, of);
        let none = Table::default();
        assert_ne!(cut(&table, 2).digest, cut(&table, 3).digest);
        assert_ne!(cut(&table, 2).digest, cut(&none, 2).digest);
        assert_ne!(cut(&table, 2).durations, cut(&none, 2).durations);
        // Without a table each takes the same; more shards than instances leave some empty.
        assert!(cut(&none, 2).shards.iter().all(|ids| ids.len() == 3));
        assert_eq!(cut(&none, 8).shards.iter().filter(|ids| ids.is_empty()).count(), 2);
    }
}
