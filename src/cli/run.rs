//! `evalrun run`: predictions to verdicts and reports.

use super::events::{EventLines, Logged, Several};
use super::exit::{self, Failure};
use super::settings::Settings;
use super::terminal::Terminal;
use super::{Session, runtime};
use super::{budget, calibrate, history, policy, progress, shard, trace};
use crate::dataset::{self, Dataset};
use crate::evaluate::EvalOptions;
use crate::image::Images;
use crate::journal::{RunState, ShardFacts};
use crate::model::Prediction;
use crate::report::{self, Calibration, Report, RunDir};
use crate::run::{KnownUse, Retries, RunError, RunPlan};
use crate::sandbox::SandboxOptions;
use anyhow::anyhow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

pub(super) fn run(session: &Session) -> Result<u8, Failure> {
    runtime()?.block_on(conduct(&session.settings, &session.terminal))
}

/// The program: task list and predictions in, verdicts and reports out.
async fn conduct(settings: &Settings, terminal: &Terminal) -> Result<u8, Failure> {
    let (mut dataset, predictions) = load(settings).await?;
    let shard = shard::take_part(settings, &mut dataset, &predictions)?;
    let run_id = match &shard {
        Some(facts) => shard::run_id(facts),
        None => settings.run_id.clone().unwrap_or_else(|| fresh_run_id(&dataset.name)),
    };
    let known = match (settings.no_cache, settings.cache_only) {
        (true, _) => KnownUse::Leave,
        (_, true) => KnownUse::Only,
        _ => KnownUse::Take,
    };
    let planned = Planned { run_id, dataset, predictions, shard, known };
    let (state, dir, stopped) = execute(settings, terminal, planned).await?;
    if let Some(path) = &settings.trace {
        trace::write_of(dir.path(), path)?;
    }
    close(&state, (settings, terminal), &dir, stopped)
}

/// What is to run.
pub(super) struct Planned {
    pub(super) run_id: String,
    pub(super) dataset: Dataset,
    pub(super) predictions: Vec<Prediction>,
    /// Which part of a run it is, if it was cut into shards.
    pub(super) shard: Option<ShardFacts>,
    /// What to do with verdicts that are known already.
    pub(super) known: KnownUse,
}

/// Runs it, as the settings say; also whether the end was asked for from elsewhere than the
/// keyboard.
pub(super) async fn execute(
    settings: &Settings,
    terminal: &Terminal,
    planned: Planned,
) -> Result<(RunState, RunDir, bool), Failure> {
    let dir = RunDir::new(&settings.report_dir, &planned.run_id);
    let models = planned.predictions.iter().map(|prediction| prediction.model.as_ref());
    RunDir::check_names(&planned.run_id, models).map_err(|why| Failure::input(anyhow!(why)))?;
    terminal.say(&format!(
        "run {}: {} instances, {} predictions",
        planned.run_id,
        planned.dataset.instances.len(),
        planned.predictions.len()
    ));
    let dataset = &planned.dataset;
    let assets = dataset::fetch_assets(dataset, &settings.load_options()?).await?;
    for failure in &assets.failures {
        terminal.note(&format!("an asset could not be had: {failure}"));
    }
    let store = settings.store()?;
    let _in_use = store.prune_lock().map_err(Failure::broken)?;
    let backend = settings.backend(&store).await?;
    for caveat in backend.caveats() {
        terminal.say(&format!("note: {caveat}"));
    }
    let options = settings.image_options(&store, &dir.path().join("images"))?;
    let images = Images::new(backend.clone(), store.clone(), options);
    images.expect(&dataset.instances);
    budget::set(settings.disk_budget.0, &store, (&images, &dataset.instances), terminal)?;
    let mut plan = plan(settings, terminal, planned)?;
    plan.options.assets = assets.files;
    plan.calibration = calibrate::read(&settings.calibration_file()?)?.unwrap_or_default();
    let (cancel, stopped) = cancel_on_signals()?;
    let mut sink = sinks(settings, terminal, &plan.run_id)?;
    let state = crate::run::run(plan, backend, images, &mut sink, cancel).await?;
    drop(sink);
    Ok((state, dir, stopped.load(Ordering::Relaxed)))
}

async fn load(settings: &Settings) -> Result<(Dataset, Vec<Prediction>), Failure> {
    if settings.dataset.is_some() && settings.predictions.is_empty() {
        let failure = Failure::input(anyhow!("no predictions are named"));
        return Err(failure.hint(
            "--predictions takes files, folders, `gold` (the reference solutions) or `empty`",
        ));
    }
    let (mut dataset, selection) = settings.load_dataset().await?;
    selection.apply(&mut dataset)?;
    let predictions = dataset::load_predictions(&settings.predictions, &dataset)?;
    Ok((dataset, predictions))
}

/// All who hear of the progress.
fn sinks(settings: &Settings, terminal: &Terminal, run_id: &str) -> Result<Several, Failure> {
    let mut sinks = vec![progress::sink(terminal), Box::new(Logged)];
    if let Some(to) = &settings.events {
        sinks.push(Box::new(EventLines::open(to, run_id)?));
    }
    Ok(Several(sinks))
}

fn plan(settings: &Settings, terminal: &Terminal, planned: Planned) -> Result<RunPlan, Failure> {
    let Planned { run_id, dataset, predictions, shard, known } = planned;
    let history = history::open(settings, terminal)?;
    let mut expectations = history::expectations(history.as_ref(), terminal);
    expectations.fill(&shard::table(settings, &dataset)?, &dataset.instances);
    Ok(RunPlan {
        run_id,
        reports: settings.report_dir.clone(),
        dataset,
        predictions,
        options: EvalOptions {
            sandbox: SandboxOptions {
                limits: settings.limits(),
                network: settings.network.into(),
                upper: settings.upper.into(),
                ..SandboxOptions::default()
            },
            timeout: Duration::from_secs(settings.timeout),
            policy: settings.integrity.into(),
            canary: settings.canary,
            rerun_failed: settings.rerun_failed,
            assets: HashMap::new(),
        },
        parallel: settings.parallel(),
        image_jobs: settings.parallel(),
        warm: settings.warm,
        retries: Retries { rounds: settings.retries.saturating_add(1), ..Retries::default() },
        calibration: Calibration::default(),
        rerun_changed: settings.rerun_changed,
        shard,
        order: settings.order.into(),
        expectations,
        history,
        known,
    })
}

/// A name that says what and when: `mini-20260131-235959`.
pub(super) fn fresh_run_id(dataset: &str) -> String {
    format!("{}-{}", plain_name(dataset), jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S"))
}

/// The name of a task list as a part of a file's name.
pub(super) fn plain_name(dataset: &str) -> String {
    dataset
        .rsplit('/')
        .next()
        .unwrap_or(dataset)
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' })
        .take(60)
        .collect()
}

/// A token that the first signal to end cancels, and whether it came from elsewhere than the
/// keyboard. The second signal ends the program where it stands: the journal bears that, and the
/// sandboxes end with us.
fn cancel_on_signals() -> Result<(CancellationToken, Arc<AtomicBool>), Failure> {
    let (cancel, stopped) = (CancellationToken::new(), Arc::new(AtomicBool::new(false)));
    for (kind, from_keyboard) in [
        (SignalKind::interrupt(), true),
        (SignalKind::terminate(), false),
        (SignalKind::hangup(), false),
    ] {
        let mut signals = signal(kind).map_err(Failure::broken)?;
        let (cancel, stopped) = (cancel.clone(), stopped.clone());
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                if cancel.is_cancelled() {
                    leave_at_once(from_keyboard);
                }
                stopped.store(!from_keyboard, Ordering::Relaxed);
                cancel.cancel();
            }
        });
    }
    Ok((cancel, stopped))
}

#[expect(clippy::exit, reason = "whoever asks twice does not want to wait for a tidy end")]
fn leave_at_once(from_keyboard: bool) -> ! {
    let code = if from_keyboard { exit::INTERRUPTED } else { exit::STOPPED };
    std::process::exit(code.into())
}

/// Shows what came out and says what the program exits with.
fn close(
    state: &RunState,
    (settings, terminal): (&Settings, &Terminal),
    dir: &RunDir,
    stopped: bool,
) -> Result<u8, Failure> {
    let known = calibrate::read(&settings.calibration_file()?)?;
    let report = Report::with(state, known.map(|known| known.validated()).as_ref());
    if terminal.json {
        terminal.print_json(&report);
    } else if !terminal.quiet {
        terminal.print(&report::table(&report));
    }
    let known = state.predictions().filter_map(|(_, status)| status.done()?.known.as_ref());
    let known = known.count();
    if known > 0 {
        terminal
            .say(&format!("{known} verdicts were known from earlier runs (--no-cache runs all)"));
    }
    tell_trouble(state, terminal);
    for model in &report.models {
        let path = dir.summary(&model.model, &report.run_id);
        terminal.say(&format!("report: {}", path.display()));
    }
    if state.interrupted {
        terminal.note(&format!("interrupted; --run-id {} continues", report.run_id));
        return Ok(if stopped { exit::STOPPED } else { exit::INTERRUPTED });
    }
    if settings.cache_only && !report.complete {
        terminal.note(
            "not every verdict is known; without --cache-only the same command runs the rest",
        );
        return Ok(exit::INCOMPLETE);
    }
    policy::exit_code(state, settings, terminal)
}

/// How many different causes of trouble are told in full.
const TROUBLES: usize = 5;

/// What our own trouble was, each cause once and in full: a failed build names its log here.
fn tell_trouble(state: &RunState, terminal: &Terminal) {
    let mut causes: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, status) in state.predictions() {
        if let Some(cause) = status.done().and_then(|done| done.cause.as_ref()) {
            *causes.entry(&cause.detail).or_default() += 1;
        }
    }
    for (detail, count) in causes.iter().take(TROUBLES) {
        let printable: String = detail.chars().filter(|c| *c == '\n' || !c.is_control()).collect();
        let times = if *count > 1 { format!(" ({count} times)") } else { String::new() };
        terminal.note(&format!("trouble{times}: {}", printable.trim_end().replace('\n', "\n  ")));
    }
    if causes.len() > TROUBLES {
        terminal.note(&format!("… and {} more kinds of trouble", causes.len() - TROUBLES));
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        match &error {
            RunError::Changed { .. } | RunError::Name(_) | RunError::Twice(_) => Self::input(error),
            _ => Self::broken(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn a_fresh_run_id_can_be_a_folder() {
        let id = fresh_run_id("SWE-bench/SWE-bench_Verified");
        assert!(id.starts_with("SWE-bench_Verified-2"), "{id}");
        assert!(RunDir::check_names(&id, []).is_ok());
        assert!(RunDir::check_names(&fresh_run_id("ä ö/ü §"), []).is_ok());
    }
}
