//! The beginning of a run, new or continued, and the files at its end.

use super::jobs::Jobs;
use super::machine;
use super::work::{Shared, clear, write_report, write_whole};
use super::{RunError, RunPlan};
use crate::journal::{
    DatasetFacts, Event, FORMAT, GRADER, Header, InstanceFacts, Journal, JournalError,
    PredictionFacts, RunState, Settings, Versions, read_at,
};
use crate::report::{RunDir, manifest, summary};
use jiff::Timestamp;
use std::collections::{BTreeSet, HashSet};
use std::io;
use std::sync::Arc;

/// A run whose journal is open.
pub(crate) struct Opened {
    pub(crate) shared: Arc<Shared>,
    pub(crate) journal: Journal,
    pub(crate) state: RunState,
}

/// Opens a run: begins it, or checks that it may go on and drops what counts no longer.
pub(crate) fn open(plan: RunPlan, jobs: Arc<dyn Jobs>) -> Result<Opened, RunError> {
    check(&plan)?;
    let header = header(&plan, jobs.as_ref());
    let dir = RunDir::new(&plan.reports, &plan.run_id);
    let (mut journal, before) = Journal::open(dir.path())?;
    let state = match before {
        None => begin(&mut journal, header)?,
        Some(state) => go_on(&mut journal, state, header, (&plan, &dir))?,
    };
    remove_summaries(&dir, &state)?;
    write_whole(&dir.manifest(), &manifest(&state))?;
    Ok(Opened { shared: Arc::new(Shared::new(plan, dir, jobs)), journal, state })
}

/// Writes the manifest, and each model's report if every prediction has its verdict.
pub(crate) fn write_reports(dir: &RunDir, state: &RunState) -> io::Result<()> {
    write_whole(&dir.manifest(), &manifest(state))?;
    if !state.finished {
        return Ok(());
    }
    for model in models(&state.header) {
        let path = dir.summary(model, &state.header.run_id);
        write_whole(&path, &summary(state, model).to_text())?;
    }
    Ok(())
}

fn check(plan: &RunPlan) -> Result<(), RunError> {
    let models: BTreeSet<&str> = plan.predictions.iter().map(|p| &*p.model).collect();
    RunDir::check_names(&plan.run_id, models).map_err(RunError::Name)?;
    let mut seen = HashSet::new();
    match plan
        .predictions
        .iter()
        .map(crate::model::Prediction::key)
        .find(|k| !seen.insert(k.clone()))
    {
        Some(key) => Err(RunError::Twice(key)),
        None => Ok(()),
    }
}

fn header(plan: &RunPlan, jobs: &dyn Jobs) -> Header {
    let (backend, caveats) = jobs.backend();
    let sandbox = &plan.options.sandbox;
    let mut instances: Vec<_> = plan.dataset.instances.iter().map(InstanceFacts::of).collect();
    instances.sort_by(|a, b| a.id.cmp(&b.id));
    Header {
        format: FORMAT,
        run_id: plan.run_id.clone(),
        versions: Versions { evalrun: env!("CARGO_PKG_VERSION").to_owned(), grader: GRADER },
        host: machine::host(backend, caveats),
        dataset: DatasetFacts {
            name: plan.dataset.name.clone(),
            split: plan.dataset.split.clone(),
            digest: plan.dataset.digest,
        },
        settings: Settings {
            limits: sandbox.limits.clone(),
            network: sandbox.network,
            upper: sandbox.upper,
            env: sandbox.env.clone(),
            timeout: plan.options.timeout,
            policy: plan.options.policy,
            canary: plan.options.canary,
            rerun_failed: plan.options.rerun_failed,
        },
        shard: plan.shard.clone(),
        instances,
        predictions: plan.predictions.iter().map(PredictionFacts::of).collect(),
    }
}

fn begin(journal: &mut Journal, header: Header) -> Result<RunState, JournalError> {
    let at = Timestamp::now();
    journal.append(at, &[Event::Header(Box::new(header.clone()))])?;
    journal.sync()?;
    Ok(RunState::new(header, at))
}

fn go_on(
    journal: &mut Journal,
    mut state: RunState,
    header: Header,
    (plan, dir): (&RunPlan, &RunDir),
) -> Result<RunState, RunError> {
    let changes = state.header.changes(&header);
    if !changes.is_empty() && !plan.rerun_changed {
        return Err(RunError::Changed { run_id: plan.run_id.clone(), changes });
    }
    let mut events = Vec::new();
    let mut dropped = Vec::new();
    for (facts, status) in state.predictions() {
        let change = changes.iter().find(|change| change.touches(&facts.key));
        if let (Some(change), Some(_)) = (change, status.done()) {
            events.push(Event::Dropped { key: facts.key.clone(), why: change.to_string() });
            dropped.push(facts.key.clone());
        }
    }
    events.push(Event::Header(Box::new(header)));
    let at = Timestamp::now();
    let places = journal.append(at, &events)?;
    journal.sync()?;
    for (event, place) in events.iter().zip(places) {
        state.apply(at, event, place).expect("dropped predictions are the state's own");
    }
    let open = state.predictions().filter(|(_, status)| status.done().is_none());
    for key in open.map(|(facts, _)| &facts.key).chain(&dropped) {
        clear(&dir.prediction(key))?;
    }
    mend_reports(&state, dir)?;
    Ok(state)
}

/// Reports are not synced one by one: after a power cut one may be missing or empty although its
/// verdict counts. It is written again from the journal.
fn mend_reports(state: &RunState, dir: &RunDir) -> Result<(), RunError> {
    for (facts, status) in state.predictions() {
        let Some(done) = status.done().filter(|done| done.reported) else { continue };
        let path = dir.instance_report(&facts.key);
        if fs_err::metadata(&path).is_ok_and(|file| file.len() > 0) {
            continue;
        }
        if let Event::Evaluated(evaluated) = read_at(dir.path(), done.place)? {
            write_report(&evaluated, &dir.prediction(&facts.key))?;
        }
    }
    Ok(())
}

/// A model's report stands for a finished run: while there is work to do there is none.
fn remove_summaries(dir: &RunDir, state: &RunState) -> io::Result<()> {
    for model in models(&state.header) {
        match fs_err::remove_file(dir.summary(model, &state.header.run_id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn models(header: &Header) -> BTreeSet<&str> {
    header.predictions.iter().map(|prediction| &*prediction.key.model).collect()
}
