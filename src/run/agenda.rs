//! What is left to do of a run. Pure: where it stands in, what to run out.

use super::queue::Job;
use crate::dataset::Dataset;
use crate::journal::{Done, RunState, Status};
use crate::model::{InstanceId, PredictionKey, VerdictKind};
use std::collections::HashMap;

/// What is left to do, and what is not.
#[derive(Default)]
pub(crate) struct Agenda {
    /// How many predictions are for selected instances.
    pub total: usize,
    /// What has its verdict, with its instance.
    pub done: Vec<(usize, Done)>,
    /// What gets its verdict without a run.
    pub empty: Vec<PredictionKey>,
    /// What has to run, by instance.
    pub wanted: HashMap<usize, Vec<Job>>,
}

impl Agenda {
    /// Of a run that stands so.
    pub(crate) fn of(dataset: &Dataset, state: &RunState) -> Self {
        let instances: HashMap<&InstanceId, usize> =
            dataset.instances.iter().enumerate().map(|(at, i)| (&i.id, at)).collect();
        let mut agenda = Self::default();
        for (prediction, (facts, status)) in state.predictions().enumerate() {
            let Some(&instance) = instances.get(&facts.key.instance_id) else { continue };
            agenda.total += 1;
            let round = match status {
                Status::Done(done) if done.kind != VerdictKind::Infra => {
                    agenda.done.push((instance, done.as_ref().clone()));
                    continue;
                }
                _ if facts.empty => {
                    agenda.empty.push(facts.key.clone());
                    continue;
                }
                // What failed by our own trouble is worth a try again in a new session.
                Status::Done(done) => done.round + 1,
                Status::Running { round } | Status::Retrying { round, .. } => round + 1,
                Status::Waiting => 1,
            };
            let job = Job { prediction, instance, round, tries: 1 };
            agenda.wanted.entry(instance).or_default().push(job);
        }
        agenda
    }
}
