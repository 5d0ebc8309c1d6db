//! What a run has from those before it, and leaves to those after it: verdicts that are known
//! already, and what is learned of the others.

use super::jobs::Prepared;
use super::queue::Job;
use super::work::{Shared, clear, write_report};
use super::{KnownUse, RunPlan};
use crate::history::{History, HistoryError, ImageRecord, Question, Record, Recorder};
use crate::journal::{Evaluated, Event, Header, InstanceFacts};
use crate::layers::ImageKey;
use crate::model::{AssetSource, Digest, InstanceId, PredictionKey, Verdict};
use jiff::Timestamp;
use rayon::prelude::*;
use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The history, as a run uses it.
pub(crate) struct Knowledge {
    history: Option<History>,
    recorder: Option<Recorder>,
    header: Arc<Header>,
    patches: HashMap<PredictionKey, Digest>,
    /// Jobs whose verdicts were asked for, by prediction.
    asked: HashSet<usize>,
    /// In which image, and for how long, predictions ran.
    held: HashMap<PredictionKey, (ImageKey, Duration)>,
}

/// A job whose verdict is known.
pub(crate) struct Taken {
    pub(crate) job: Job,
    pub(crate) evaluated: Evaluated,
}

impl Knowledge {
    /// For a run with this header.
    pub(crate) fn new(plan: &RunPlan, header: &Header) -> Self {
        let history = plan.history.clone();
        let writable = history.clone().filter(|history| history.read_only().is_none());
        Self {
            recorder: writable.map(Recorder::start),
            history,
            patches: header.predictions.iter().map(|one| (one.key.clone(), one.patch)).collect(),
            header: Arc::new(header.clone()),
            asked: HashSet::new(),
            held: HashMap::new(),
        }
    }

    /// Takes over what is known of these jobs, files and all. Without an `image` those are asked for
    /// whose image can be told without making it. Further attempts, and what is run again, take
    /// nothing over: they are there to see whether it comes out the same.
    pub(crate) async fn take(
        &mut self,
        shared: &Arc<Shared>,
        mut jobs: Vec<Job>,
        image: Option<ImageKey>,
    ) -> Vec<Taken> {
        let Some(history) = &self.history else { return Vec::new() };
        if shared.plan.known == KnownUse::Leave {
            return Vec::new();
        }
        jobs.retain(|job| !self.asked.contains(&job.prediction) && may_take(&shared.plan, job));
        if jobs.is_empty() {
            return Vec::new();
        }
        let (history, header, shared) = (history.clone(), self.header.clone(), shared.clone());
        let answers = tokio::task::spawn_blocking(move || {
            let asking = Asking { history: &history, header: &header, shared: &shared };
            asking.ask_all(jobs, image)
        });
        let answers = answers.await.unwrap_or_default();
        let mut taken = Vec::new();
        for (job, answer) in answers {
            self.asked.insert(job.prediction);
            taken.extend(answer.map(|evaluated| Taken { job, evaluated }));
        }
        taken
    }

    /// An image is there since then; making sure of it took so long.
    pub(crate) fn image_there(
        &self,
        prepared: &Prepared,
        id: &InstanceId,
        (at, took): (Timestamp, Duration),
    ) {
        let (Some(recorder), Some(instance)) = (&self.recorder, facts(&self.header, id)) else {
            return;
        };
        recorder.add_image(ImageRecord {
            image: prepared.key,
            name: prepared.name.clone(),
            instance: instance.clone(),
            at,
            built: prepared.built,
            took,
        });
    }

    /// A prediction ran so long in this image.
    pub(crate) fn held(&mut self, key: &PredictionKey, held: (ImageKey, Duration)) {
        if self.recorder.is_some() {
            self.held.insert(key.clone(), held);
        }
    }

    /// Those of the events from which something is to be learned once they are journaled.
    pub(crate) fn of_interest(&self, events: &[Event]) -> Vec<Evaluated> {
        if self.recorder.is_none() {
            return Vec::new();
        }
        let evaluated = events.iter().filter_map(|event| match event {
            Event::Evaluated(evaluated) => Some(evaluated.as_ref()),
            _ => None,
        });
        let ran = evaluated.filter(|one| {
            one.known.is_none() && !matches!(one.evaluation.verdict, Verdict::EmptyPatch)
        });
        ran.cloned().collect()
    }

    /// Writes down what was learned from these, which were journaled at that moment.
    pub(crate) fn learn(&mut self, evaluated: Vec<Evaluated>, shared: &Shared, at: Timestamp) {
        let Some(recorder) = &self.recorder else { return };
        for one in evaluated {
            let Some((image, took)) = self.held.remove(&one.key) else { continue };
            let Some(instance) = facts(&self.header, &one.key.instance_id) else { continue };
            let Some(patch) = self.patches.get(&one.key) else { continue };
            let place = shared.dir.prediction(&one.key);
            recorder.add(Record {
                question: Question::of(&self.header, image, instance, *patch),
                at,
                run_id: self.header.run_id.clone(),
                place: std::path::absolute(&place).unwrap_or(place),
                instance: instance.clone(),
                image,
                took,
                evaluated: one,
            });
        }
    }
}

fn facts<'a>(header: &'a Header, id: &InstanceId) -> Option<&'a InstanceFacts> {
    let at = header.instances.binary_search_by(|facts| facts.id.cmp(id)).ok()?;
    header.instances.get(at)
}

fn may_take(plan: &RunPlan, job: &Job) -> bool {
    let instance = &plan.dataset.instances[job.instance];
    let calibrated = plan.calibration.instances.get(&instance.id);
    // A file of this machine is known by its path alone.
    let local = |source: &AssetSource| matches!(source, AssetSource::File(_));
    plan.predictions[job.prediction].attempt == 1
        && job.round == 1
        && calibrated.is_none_or(crate::report::Calibrated::is_reliable)
        && !instance.image_assets.iter().any(|asset| local(&asset.source))
}

struct Asking<'a> {
    history: &'a History,
    header: &'a Header,
    shared: &'a Shared,
}

impl Asking<'_> {
    /// By job: the verdict, if it is known. Jobs that could not be asked for are left out.
    fn ask_all(&self, jobs: Vec<Job>, image: Option<ImageKey>) -> Vec<(Job, Option<Evaluated>)> {
        let instances = &self.shared.plan.dataset.instances;
        let said = AtomicBool::new(false);
        jobs.into_par_iter()
            .filter_map(|job| {
                let known = || self.shared.jobs.image_key(&instances[job.instance]);
                let answer = self.ask(&job, image.or_else(known)?);
                let answer = answer.unwrap_or_else(|error| {
                    if !said.swap(true, Ordering::Relaxed) {
                        tracing::warn!("verdicts of earlier runs are not used: {error}");
                    }
                    None
                });
                Some((job, answer))
            })
            .collect()
    }

    fn ask(&self, job: &Job, image: ImageKey) -> Result<Option<Evaluated>, HistoryError> {
        let prediction = &self.shared.plan.predictions[job.prediction];
        let Some(instance) = facts(self.header, &prediction.instance_id) else { return Ok(None) };
        let question = Question::of(self.header, image, instance, prediction.patch_digest());
        for known in self.history.known(&question)? {
            let (key, dir) = (prediction.key(), self.shared.dir.prediction(&prediction.key()));
            let take = || -> io::Result<Option<Evaluated>> {
                clear(&dir)?;
                let Some(evaluated) = known.take(&dir)? else { return Ok(None) };
                let evaluated = Evaluated { key, ..evaluated };
                write_report(&evaluated, &dir)?;
                Ok(Some(evaluated))
            };
            if let Some(evaluated) = take()? {
                return Ok(Some(evaluated));
            }
        }
        Ok(None)
    }
}
