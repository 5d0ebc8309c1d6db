//! Two sets of verdicts on the same instances: what was gained and lost, whether that may be chance,
//! and which flips flakiness explains.

mod text;

pub use text::{comparison_markdown, comparison_table};

use super::calibration::Calibration;
use super::record::Record;
use super::statistics::{Interval, Paired, mcnemar};
use crate::model::{Digest, InstanceId, VerdictKind};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// One model's first attempts in a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Side {
    /// What it is called here, e.g. `nightly`.
    pub label: String,
    /// The model.
    pub model: String,
    /// What came of every selected instance.
    pub seen: BTreeMap<String, Seen>,
}

/// What came of an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Whether it is resolved; `None` where our own trouble or an unfinished run left that open.
    pub resolved: Option<bool>,
    /// The verdict's name, or what stands for it.
    pub verdict: String,
    /// The repository, where it is known.
    pub repo: String,
    /// Digest of the patch.
    pub patch: Option<Digest>,
    /// Not resolved, but what failed passed when it ran again.
    pub flaky: bool,
    /// Another attempt with the same patch came to another verdict.
    pub wavers: bool,
}

/// A comparison.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The earlier side.
    pub before: String,
    /// The later side.
    pub after: String,
    /// How the instances of both fell together.
    pub paired: Paired,
    /// The later share less the earlier one.
    pub difference: f64,
    /// Its interval (Newcombe).
    pub interval: Interval,
    /// How likely a difference like this is by chance (McNemar, exact).
    pub p: f64,
    /// Resolved now, and not before.
    pub gained: Vec<Flip>,
    /// Resolved before, and not now.
    pub lost: Vec<Flip>,
    /// By repository, where it is known.
    pub by_repository: Vec<Change>,
    /// Instances of the earlier side alone.
    pub only_before: usize,
    /// Instances of the later side alone.
    pub only_after: usize,
    /// Instances without a verdict on either side: they are left out.
    pub without_verdict: usize,
}

/// An instance whose verdict changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Flip {
    /// Which one.
    pub instance_id: String,
    /// Its repository.
    pub repo: String,
    /// The verdict before.
    pub before: String,
    /// The verdict after.
    pub after: String,
    /// It is the same patch on both sides: what changed is not the model's doing.
    pub same_patch: bool,
    /// Why it may be flakiness.
    pub flaky: Option<String>,
}

/// What changed of a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The repository.
    pub repo: String,
    /// Its instances on both sides.
    pub instances: usize,
    /// Resolved before.
    pub before: usize,
    /// Resolved after.
    pub after: usize,
    /// Gained.
    pub gained: usize,
    /// Lost.
    pub lost: usize,
}

impl Side {
    /// The first attempts of a model in a run.
    #[must_use]
    pub fn of(record: &Record, model: &str, label: &str) -> Self {
        let header = &record.state.header;
        let patches: BTreeMap<_, _> =
            header.predictions.iter().map(|one| (&one.key, one.patch)).collect();
        let mut seen: BTreeMap<String, Seen> = header
            .instances
            .iter()
            .map(|one| {
                let none = Seen {
                    resolved: Some(false),
                    verdict: "no_prediction".to_owned(),
                    repo: one.repo.to_string(),
                    ..Seen::default()
                };
                (one.id.to_string(), none)
            })
            .collect();
        let entries = record.entries();
        let own = || entries.iter().filter(|entry| &*entry.key.model == model);
        for entry in own().filter(|entry| entry.key.attempt == 1) {
            let Some(one) = seen.get_mut(entry.key.instance_id.as_str()) else { continue };
            one.patch = patches.get(entry.key).copied();
            one.resolved = match entry.done.map(|done| done.kind) {
                None | Some(VerdictKind::Infra) => None,
                Some(kind) => Some(kind == VerdictKind::Resolved),
            };
            one.verdict = entry.done.map_or("open", |done| done.kind.name()).to_owned();
            one.flaky = entry.done.is_some_and(|done| done.flaky);
        }
        for entry in own().filter(|entry| entry.key.attempt > 1) {
            let Some(one) = seen.get_mut(entry.key.instance_id.as_str()) else { continue };
            let judged = entry.done.is_some_and(|done| done.kind != VerdictKind::Infra);
            let same = patches.get(entry.key).copied() == one.patch;
            one.wavers |= judged && same && one.resolved.is_some_and(|was| was != entry.resolved());
        }
        Self { label: label.to_owned(), model: model.to_owned(), seen }
    }

    /// A report in the incumbent's form, of any harness; `None` where it has no list of what is
    /// resolved.
    #[must_use]
    pub fn of_summary(report: &Value, model: &str, label: &str) -> Option<Self> {
        let ids = |key: &str| -> Option<BTreeSet<&str>> {
            Some(report.get(key)?.as_array()?.iter().filter_map(Value::as_str).collect())
        };
        let resolved = ids("resolved_ids")?;
        let infra = ids("infra_failure_ids").unwrap_or_default();
        let errors = ids("error_ids").unwrap_or_default();
        let lists = [
            ("empty_patch_ids", "empty_patch"),
            ("incomplete_ids", "no_prediction"),
            ("unresolved_ids", "unresolved"),
            ("error_ids", "error"),
            ("resolved_ids", "resolved"),
        ];
        let mut seen = BTreeMap::new();
        for (key, verdict) in lists {
            for id in ids(key).unwrap_or_default() {
                let ours = infra.contains(id) && errors.contains(id);
                let one = Seen {
                    resolved: (!ours).then(|| resolved.contains(id)),
                    verdict: if ours { "infra" } else { verdict }.to_owned(),
                    repo: repo_of(id),
                    ..Seen::default()
                };
                seen.insert(id.to_owned(), one);
            }
        }
        Some(Self { label: label.to_owned(), model: model.to_owned(), seen })
    }

    fn name(&self) -> String {
        format!("{} ({})", self.model, self.label)
    }
}

/// `owner__name-number` names its repository.
fn repo_of(id: &str) -> String {
    let stem = id.rsplit_once('-').map_or(id, |(stem, _)| stem);
    stem.replacen("__", "/", 1)
}

impl Comparison {
    /// Compares two sides on the instances that both have.
    #[must_use]
    pub fn of(before: &Side, after: &Side, known: Option<&Calibration>) -> Self {
        let mut found = Self::none(before, after);
        let mut repos: BTreeMap<&str, Change> = BTreeMap::new();
        for (id, was) in &before.seen {
            let Some(is) = after.seen.get(id) else {
                found.only_before += 1;
                continue;
            };
            let (Some(was_resolved), Some(is_resolved)) = (was.resolved, is.resolved) else {
                found.without_verdict += 1;
                continue;
            };
            let repo = if is.repo.is_empty() { &was.repo } else { &is.repo };
            let change = repos.entry(repo).or_default();
            change.add(was_resolved, is_resolved);
            let flip = || Flip {
                instance_id: id.clone(),
                repo: repo.clone(),
                before: was.verdict.clone(),
                after: is.verdict.clone(),
                same_patch: was.patch.is_some() && was.patch == is.patch,
                flaky: flakiness(id, was, is, known),
            };
            match (was_resolved, is_resolved) {
                (true, true) => found.paired.both += 1,
                (false, false) => found.paired.neither += 1,
                (false, true) => found.gained.push(flip()),
                (true, false) => found.lost.push(flip()),
            }
        }
        found.only_after = after.seen.keys().filter(|id| !before.seen.contains_key(*id)).count();
        (found.paired.gained, found.paired.lost) = (found.gained.len(), found.lost.len());
        found.by_repository = repos
            .into_iter()
            .map(|(repo, change)| Change { repo: repo.to_owned(), ..change })
            .collect();
        found.difference = found.paired.difference();
        found.interval = found.paired.interval();
        found.p = mcnemar(found.paired.gained, found.paired.lost);
        found
    }

    fn none(before: &Side, after: &Side) -> Self {
        let paired = Paired::default();
        Self {
            before: before.name(),
            after: after.name(),
            paired,
            difference: 0.0,
            interval: paired.interval(),
            p: 1.0,
            gained: Vec::new(),
            lost: Vec::new(),
            by_repository: Vec::new(),
            only_before: 0,
            only_after: 0,
            without_verdict: 0,
        }
    }

    /// What was lost and flakiness does not explain.
    pub fn regressions(&self) -> impl Iterator<Item = &Flip> {
        self.lost.iter().filter(|flip| flip.flaky.is_none())
    }
}

impl Change {
    fn add(&mut self, was: bool, is: bool) {
        self.instances += 1;
        self.before += usize::from(was);
        self.after += usize::from(is);
        self.gained += usize::from(!was && is);
        self.lost += usize::from(was && !is);
    }
}

/// Why a flip may say nothing of the model.
fn flakiness(id: &str, was: &Seen, is: &Seen, known: Option<&Calibration>) -> Option<String> {
    if was.flaky || is.flaky {
        return Some("what failed passed when it ran again".to_owned());
    }
    if was.wavers || is.wavers {
        return Some("attempts with the same patch differ".to_owned());
    }
    let one = known?.instances.get(&InstanceId::new(id).ok()?)?;
    (one.gold_runs > 0 && !one.is_reliable()).then(|| {
        format!(
            "unreliable here: gold is resolved {} of {} times, no change {} of {}",
            one.gold_resolved, one.gold_runs, one.unchanged_resolved, one.unchanged_runs
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Calibrated;
    use serde_json::json;

    fn side(label: &str, resolved: &[&str], not: &[&str]) -> Side {
        let report = json!({"resolved_ids": resolved, "unresolved_ids": not});
        Side::of_summary(&report, "m", label).unwrap()
    }

    #[test]
    fn gains_and_losses_are_told_by_instance_and_repository() {
        let before = side("a", &["o__n-1", "o__n-2", "p__q-1"], &["o__n-3", "o__n-9"]);
        let mut after = side("b", &["o__n-1", "o__n-3"], &["o__n-2", "p__q-1", "o__n-8"]);
        after.seen.get_mut("p__q-1").unwrap().flaky = true;
        let found = Comparison::of(&before, &after, None);
        assert_eq!(found.paired, Paired { both: 1, gained: 1, lost: 2, neither: 0 });
        assert_eq!((found.only_before, found.only_after), (1, 1));
        let regressions: Vec<&str> =
            found.regressions().map(|flip| flip.instance_id.as_str()).collect();
        assert_eq!(regressions, ["o__n-2"]);
        assert_eq!(found.by_repository[0].repo, "o/n");
        assert_eq!((found.by_repository[0].gained, found.by_repository[0].lost), (1, 1));
        assert_eq!(found.p.to_bits(), mcnemar(1, 2).to_bits());
    }

    #[test]
    fn what_flakiness_explains_is_no_regression() {
        let before = side("a", &["o__n-1"], &[]);
        let after = side("b", &[], &["o__n-1"]);
        let mut known = Calibration::default();
        let id = InstanceId::new("o__n-1").unwrap();
        let counts = Calibrated { gold_runs: 3, gold_resolved: 2, ..Calibrated::default() };
        known.instances.insert(id, counts);
        assert_eq!(Comparison::of(&before, &after, None).regressions().count(), 1);
        assert_eq!(Comparison::of(&before, &after, Some(&known)).regressions().count(), 0);
        // The same patch is not the model's doing, but something got worse.
        let (mut same, mut now) = (before.clone(), after.clone());
        let patch = Some(Digest::of("p"));
        same.seen.get_mut("o__n-1").unwrap().patch = patch;
        now.seen.get_mut("o__n-1").unwrap().patch = patch;
        let found = Comparison::of(&same, &now, None);
        assert!(found.lost[0].same_patch && found.regressions().count() == 1);
        now.seen.get_mut("o__n-1").unwrap().wavers = true;
        assert_eq!(Comparison::of(&same, &now, None).regressions().count(), 0);
    }

    #[test]
    fn trouble_of_our_own_is_left_out() {
        let before = side("a", &["o__n-1"], &[]);
        let report = json!({
            "resolved_ids": [], "error_ids": ["o__n-1"], "infra_failure_ids": ["o__n-1"]
        });
        let after = Side::of_summary(&report, "m", "b").unwrap();
        let found = Comparison::of(&before, &after, None);
        assert_eq!((found.without_verdict, found.paired.total()), (1, 0));
        assert!(Side::of_summary(&json!({"model": "x"}), "m", "c").is_none());
    }
}
