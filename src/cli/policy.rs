//! When a run is no success for CI, and with which code the program ends then.

use super::exit::{self, Failure};
use super::settings::Settings;
use super::terminal::Terminal;
use super::{calibrate, runs};
use crate::journal::RunState;
use crate::model::VerdictKind;
use crate::report::{Comparison, Counts, Record, Report, Side};
use anyhow::{Context as _, anyhow};
use std::path::Path;

/// Regressions that are named at most.
const NAMED: usize = 50;

/// The code that a run ends with, and words on why where a policy is not met.
pub(super) fn exit_code(
    state: &RunState,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<u8, Failure> {
    let report = Report::of(state);
    let mut lost = 0;
    if let Some(baseline) = &settings.fail_on_regression {
        let record = Record::of(state.clone(), &[]);
        for found in against(baseline, &record, settings)? {
            lost += tell(&found, terminal);
        }
    }
    Ok(judge(&report.counts, (report.complete, lost), settings))
}

/// The first policy that is not met decides; what cannot be judged comes before what was judged.
fn judge(counts: &Counts, (complete, lost): (bool, usize), settings: &Settings) -> u8 {
    let infra = counts.of(VerdictKind::Infra);
    #[expect(clippy::cast_precision_loss, reason = "counts of predictions are small")]
    let share_of = |count: usize| count as f64 / counts.total.max(1) as f64;
    // What has no verdict might still be resolved: only what cannot be reached any more is missed.
    let open = counts.total - counts.done();
    let at_best = share_of(counts.of(VerdictKind::Resolved) + infra + open);
    let too_much = settings.max_infra.is_some_and(|most| infra > most)
        || settings.fail_on_infra.is_some_and(|most| share_of(infra) > most.0);
    let asked = settings.fail_under.is_some()
        || settings.fail_on_regression.is_some()
        || settings.fail_on_infra.is_some()
        || settings.max_infra.is_some();
    if too_much {
        exit::TOO_MUCH_INFRA
    } else if lost > 0 {
        exit::REGRESSION
    } else if settings.fail_under.is_some_and(|least| at_best < least.0) {
        exit::BELOW_THRESHOLD
    } else if asked && !complete {
        exit::INCOMPLETE
    } else if infra > 0 {
        exit::INFRA_LEFT
    } else {
        exit::FINISHED
    }
}

fn tell(found: &Comparison, terminal: &Terminal) -> usize {
    let lost: Vec<_> = found.regressions().collect();
    for flip in lost.iter().take(NAMED) {
        terminal.note(&format!(
            "regression: {} was {} and is {}",
            flip.instance_id, flip.before, flip.after
        ));
    }
    if lost.len() > NAMED {
        terminal.note(&format!("… and {} more regressions", lost.len() - NAMED));
    }
    for flip in found.lost.iter().filter(|flip| flip.flaky.is_some()) {
        let why = flip.flaky.as_deref().unwrap_or_default();
        terminal.say(&format!("lost, perhaps flaky: {} ({why})", flip.instance_id));
    }
    lost.len()
}

/// The run against a baseline, model by model.
fn against(
    baseline: &Path,
    record: &Record,
    settings: &Settings,
) -> Result<Vec<Comparison>, Failure> {
    let known = calibrate::read(&settings.calibration_file()?)?;
    let now: Vec<Side> = sides_of(record, &record.state.header.run_id);
    let before = sides(baseline, settings)?;
    let pairs = pairs(&before, &now)?;
    Ok(pairs.into_iter().map(|(a, b)| Comparison::of(a, b, known.as_ref())).collect())
}

/// Each model of the later runs beside the same of the earlier one; where both have a single model its
/// name is of no matter.
pub(super) fn pairs<'s>(
    before: &'s [Side],
    after: &'s [Side],
) -> Result<Vec<(&'s Side, &'s Side)>, Failure> {
    if let ([one], [other]) = (before, after) {
        return Ok(vec![(one, other)]);
    }
    let of = |side: &'s Side| {
        let same = before.iter().find(|other| other.model == side.model)?;
        Some((same, side))
    };
    let pairs: Vec<_> = after.iter().filter_map(of).collect();
    if pairs.is_empty() {
        let names = |sides: &[Side]| {
            sides.iter().map(|side| side.model.as_str()).collect::<Vec<_>>().join(", ")
        };
        return Err(Failure::input(anyhow!(
            "no model is in both: {} and {}",
            names(before),
            names(after)
        )));
    }
    Ok(pairs)
}

/// The models of a run, or of a report in the incumbent's form.
pub(super) fn sides(named: &Path, settings: &Settings) -> Result<Vec<Side>, Failure> {
    let label = || {
        named
            .file_stem()
            .map_or_else(|| named.display().to_string(), |s| s.to_string_lossy().into())
    };
    if named.is_file() {
        let text = fs_err::read_to_string(named).map_err(Failure::input)?;
        let report = serde_json::from_str(&text)
            .with_context(|| format!("{} is not JSON", named.display()))
            .map_err(Failure::input)?;
        // `<model>.<run>.json`.
        let stem: String = label();
        let model = stem.rsplit_once('.').map_or(stem.as_str(), |(model, _)| model).to_owned();
        let side = Side::of_summary(&report, &model, &stem).ok_or_else(|| {
            Failure::input(anyhow!("{} has no list `resolved_ids`", named.display()))
                .hint("name the folder of a run, or a report in SWE-bench's form")
        })?;
        return Ok(vec![side]);
    }
    let dir = runs::run_dir(named, settings)?;
    let record = runs::record(&dir)?;
    Ok(sides_of(&record, &record.state.header.run_id))
}

fn sides_of(record: &Record, label: &str) -> Vec<Side> {
    record.models().into_iter().map(|model| Side::of(record, model, label)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::settings::{Share, defaults};

    fn counts(resolved: usize, unresolved: usize, infra: usize) -> Counts {
        let by_verdict = [
            (VerdictKind::Resolved, resolved),
            (VerdictKind::Unresolved, unresolved),
            (VerdictKind::Infra, infra),
        ];
        let total = resolved + unresolved + infra;
        Counts { total, by_verdict: by_verdict.into_iter().collect() }
    }

    #[test]
    fn exit_codes_tell_what_a_script_must_know() {
        let mut settings = defaults();
        let code = |counts: &Counts, settings: &Settings| judge(counts, (true, 0), settings);
        assert_eq!(code(&counts(0, 9, 0), &settings), exit::FINISHED);
        assert_eq!(code(&counts(9, 0, 1), &settings), exit::INFRA_LEFT);
        settings.fail_under = Some(Share(0.5));
        assert_eq!(code(&counts(5, 5, 0), &settings), exit::FINISHED);
        assert_eq!(code(&counts(4, 6, 0), &settings), exit::BELOW_THRESHOLD);
        // The two without a verdict could still make it.
        assert_eq!(code(&counts(4, 4, 2), &settings), exit::INFRA_LEFT);
        assert_eq!(code(&counts(2, 6, 2), &settings), exit::BELOW_THRESHOLD);
        settings.max_infra = Some(1);
        assert_eq!(code(&counts(2, 6, 2), &settings), exit::TOO_MUCH_INFRA);
    }

    #[test]
    fn the_share_of_trouble_and_regressions_have_codes_of_their_own() {
        let mut settings = defaults();
        settings.fail_on_infra = Some(Share(0.02));
        assert_eq!(judge(&counts(50, 49, 1), (true, 0), &settings), exit::INFRA_LEFT);
        assert_eq!(judge(&counts(50, 47, 3), (true, 0), &settings), exit::TOO_MUCH_INFRA);
        assert_eq!(judge(&counts(50, 50, 0), (true, 2), &settings), exit::REGRESSION);
        // Of a run that goes on only what is sure already counts.
        let open = Counts { total: 100, ..counts(50, 47, 1) };
        assert_eq!(judge(&open, (false, 0), &settings), exit::INCOMPLETE);
        assert_eq!(judge(&open, (false, 0), &defaults()), exit::INFRA_LEFT);
        settings.fail_under = Some(Share(0.6));
        assert_eq!(judge(&open, (false, 0), &settings), exit::BELOW_THRESHOLD);
    }
}
