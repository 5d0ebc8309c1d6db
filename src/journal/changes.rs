//! What changed between a run and the wish to continue it.

use super::{Header, InstanceFacts, Settings};
use crate::model::{InstanceId, PredictionKey};
use std::collections::HashMap;
use std::fmt;

/// Something that verdicts depend on is not as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A setting; every verdict depends on it.
    Setting {
        /// Its name.
        name: &'static str,
        /// As it was.
        before: String,
        /// As it is wished now.
        now: String,
    },
    /// Part of a row.
    Instance {
        /// The instance.
        id: InstanceId,
        /// Which parts: `image`, `evaluation script`, `expected tests`.
        parts: Vec<&'static str>,
    },
    /// A selected instance is selected no longer.
    InstanceGone(InstanceId),
    /// A patch.
    Patch(PredictionKey),
    /// A prediction is there no longer.
    PredictionGone(PredictionKey),
}

impl Change {
    /// Whether what was concluded of this prediction depends on it.
    #[must_use]
    pub fn touches(&self, prediction: &PredictionKey) -> bool {
        match self {
            Self::Setting { .. } => true,
            Self::Instance { id, .. } | Self::InstanceGone(id) => prediction.instance_id == *id,
            Self::Patch(key) | Self::PredictionGone(key) => key == prediction,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setting { name, before, now } => write!(f, "{name} was {before}, now {now}"),
            Self::Instance { id, parts } => write!(f, "{id}: {} changed", parts.join(" and ")),
            Self::InstanceGone(id) => write!(f, "{id} is not selected any more"),
            Self::Patch(key) => write!(f, "{key}: the patch changed"),
            Self::PredictionGone(key) => write!(f, "{key}: there is no prediction any more"),
        }
    }
}

impl Header {
    /// What verdicts of this run depend on and that `now` has otherwise. What `now` has besides
    /// (more instances, more predictions) is no change: it has no verdict yet.
    #[must_use]
    pub fn changes(&self, now: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        if self.versions.grader != now.versions.grader {
            changes.push(setting(
                "the grader's version",
                self.versions.grader,
                now.versions.grader,
            ));
        }
        self.settings.changes(&now.settings, &mut changes);
        if self.shard != now.shard {
            changes.push(setting("the part of a run", part(self), part(now)));
        }
        self.instance_changes(now, &mut changes);
        let patches: HashMap<_, _> = now.predictions.iter().map(|p| (&p.key, p.patch)).collect();
        for before in &self.predictions {
            match patches.get(&before.key) {
                None => changes.push(Change::PredictionGone(before.key.clone())),
                Some(patch) if *patch != before.patch => {
                    changes.push(Change::Patch(before.key.clone()));
                }
                Some(_) => {}
            }
        }
        changes
    }

    fn instance_changes(&self, now: &Self, changes: &mut Vec<Change>) {
        let instances: HashMap<_, _> = now.instances.iter().map(|i| (&i.id, i)).collect();
        for before in &self.instances {
            match instances.get(&before.id) {
                None => changes.push(Change::InstanceGone(before.id.clone())),
                Some(now) => {
                    let parts = before.changed_parts(now);
                    if !parts.is_empty() {
                        changes.push(Change::Instance { id: before.id.clone(), parts });
                    }
                }
            }
        }
    }
}

impl InstanceFacts {
    fn changed_parts(&self, now: &Self) -> Vec<&'static str> {
        let parts = [
            ("the image", self.image != now.image),
            ("the evaluation script", self.script != now.script),
            ("the expected tests", self.tests != now.tests),
        ];
        parts.into_iter().filter_map(|(name, changed)| changed.then_some(name)).collect()
    }
}

impl Settings {
    fn changes(&self, now: &Self, changes: &mut Vec<Change>) {
        let (a, b) = (&self.limits, &now.limits);
        let parts = [
            ("limit of memory", bytes(a.memory), bytes(b.memory)),
            ("limit of processes", number(a.pids), number(b.pids)),
            ("limit of CPU (thousandths)", number(a.cpu_millis), number(b.cpu_millis)),
            ("limit of disk", bytes(a.disk), bytes(b.disk)),
            ("limit of output", bytes(Some(a.output)), bytes(Some(b.output))),
            ("network", format!("{:?}", self.network), format!("{:?}", now.network)),
            ("place of a sandbox's files", format!("{:?}", self.upper), format!("{:?}", now.upper)),
            ("environment", format!("{:?}", self.env), format!("{:?}", now.env)),
            ("policy of verdicts", format!("{:?}", self.policy), format!("{:?}", now.policy)),
            ("reruns of failed tests", self.rerun_failed.to_string(), now.rerun_failed.to_string()),
            ("canary", self.canary.to_string(), now.canary.to_string()),
            ("time-out", format!("{:?}", self.timeout), format!("{:?}", now.timeout)),
        ];
        for (name, before, now) in parts {
            if before != now {
                changes.push(Change::Setting { name, before, now });
            }
        }
    }
}

/// Which shard, for people.
fn part(header: &Header) -> String {
    header.shard.as_ref().map_or_else(
        || "the whole".to_owned(),
        |shard| format!("shard {}/{} of cut {}", shard.number, shard.of, shard.cut.short()),
    )
}

fn setting(name: &'static str, before: impl fmt::Display, now: impl fmt::Display) -> Change {
    Change::Setting { name, before: before.to_string(), now: now.to_string() }
}

fn number(value: Option<u32>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}

fn bytes(value: Option<u64>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| format!("{value} bytes"))
}
