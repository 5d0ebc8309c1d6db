//! `evalrun calibrate`: what the reference solutions, and no change at all, come to on this machine.

use super::args::CalibrateArgs;
use super::exit::{self, Failure};
use super::run::{Planned, execute, fresh_run_id};
use super::{Session, runtime};
use crate::dataset::Dataset;
use crate::journal::{Event, RunState, read_at};
use crate::model::Prediction;
use crate::report::{Calibration, RunDir};
use crate::run::{KnownUse, write_whole};
use anyhow::{Context as _, anyhow};
use std::path::{Path, PathBuf};

/// The models' names of the two sides.
const GOLD: &str = "gold";
const UNCHANGED: &str = "unchanged";

/// A patch that changes nothing of the program: the script has to run.
const NOTHING: &str = "diff --git a/.evalrun-unchanged b/.evalrun-unchanged\nnew file mode 100644\n\
    --- /dev/null\n+++ b/.evalrun-unchanged\n@@ -0,0 +1 @@\n+This changes nothing.\n";

pub(super) fn run(args: &CalibrateArgs, session: &Session) -> Result<u8, Failure> {
    let (settings, terminal) = (&session.settings, &session.terminal);
    if args.times == 0 {
        return Err(Failure::input(anyhow!("--times must be at least 1")));
    }
    let target = match &args.to {
        Some(path) => path.clone(),
        None => settings.calibration_file()?,
    };
    runtime()?.block_on(async {
        let (mut dataset, selection) = settings.load_dataset().await?;
        selection.apply(&mut dataset)?;
        let run_id = settings.run_id.clone().unwrap_or_else(|| {
            fresh_run_id(&format!("calibrate-{}", dataset.name.replace('/', "-")))
        });
        let predictions = predictions(&dataset, args.times)?;
        // What is to be found out is whether it comes out the same each time.
        let known = KnownUse::Leave;
        let planned = Planned { run_id, dataset, predictions, shard: None, known };
        let (state, dir, stopped) = execute(settings, terminal, planned).await?;
        if state.interrupted {
            terminal.note(&format!("interrupted; --run-id {} continues", state.header.run_id));
            return Ok(if stopped { exit::STOPPED } else { exit::INTERRUPTED });
        }
        let learned = fold(&state, &dir)?;
        let mut known = read(&target)?.unwrap_or_default();
        known.update(learned.clone());
        write_whole(&target, &known.to_text())
            .with_context(|| format!("cannot write {}", target.display()))
            .map_err(Failure::broken)?;
        match terminal.json {
            true => terminal.print_json(&learned),
            false => terminal.print(&text_of(&learned)),
        }
        terminal.say(&format!("written: {}", target.display()));
        Ok(exit::FINISHED)
    })
}

fn predictions(dataset: &Dataset, times: u32) -> Result<Vec<Prediction>, Failure> {
    let mut predictions = Vec::new();
    for instance in &dataset.instances {
        let Some(gold) = &instance.gold_patch else {
            return Err(Failure::input(anyhow!("{} has no reference solution", instance.id)));
        };
        for (model, patch) in [(GOLD, gold.as_str()), (UNCHANGED, NOTHING)] {
            predictions.extend((1..=times).map(|attempt| Prediction {
                instance_id: instance.id.clone(),
                model: model.into(),
                patch: Some(patch.to_owned()),
                attempt,
            }));
        }
    }
    Ok(predictions)
}

fn fold(state: &RunState, dir: &RunDir) -> Result<Calibration, Failure> {
    let mut learned = Calibration::default();
    for (facts, status) in state.predictions() {
        let Some(done) = status.done() else { continue };
        if let Event::Evaluated(one) = read_at(dir.path(), done.place).map_err(Failure::broken)? {
            learned.add(&facts.key.instance_id, &*facts.key.model == GOLD, &one.evaluation);
        }
    }
    Ok(learned)
}

/// What is known of this machine; nothing where there is no file.
pub(super) fn read(path: &Path) -> Result<Option<Calibration>, Failure> {
    let text = match fs_err::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::input(error)),
    };
    let known = Calibration::parse(&text)
        .map_err(|why| Failure::input(anyhow!("{} is no calibration: {why}", path.display())))?;
    Ok(Some(known))
}

fn text_of(learned: &Calibration) -> String {
    let reliable = learned.instances.values().filter(|one| one.is_reliable()).count();
    let mut text = format!("reliable here: {reliable} of {} instances\n", learned.instances.len());
    for (id, one) in learned.instances.iter().filter(|(_, one)| !one.is_reliable()) {
        text.push_str(&format!(
            "{id}: gold resolved {} of {}, unchanged {} of {}\n",
            one.gold_resolved, one.gold_runs, one.unchanged_resolved, one.unchanged_runs
        ));
        for (test, times) in one.failed_with_gold.iter().take(5) {
            text.push_str(&format!(
                "  {test} failed {times} of {} times with gold\n",
                one.gold_runs
            ));
        }
    }
    text
}

/// Where a machine's calibration is kept, below the home folder.
pub(super) fn file_below(home: &Path) -> PathBuf {
    home.join("calibration-v1.json")
}
