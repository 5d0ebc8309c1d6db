//! What ran when: sandboxes by phase and images in the making over the run, and how durations and
//! memory are spread.

use super::charts::{Chart, columns};
use crate::model::{Phase, VerdictKind};
use crate::report::Record;
use crate::report::markdown::duration;
use crate::report::statistics::quantile;
use jiff::Timestamp;
use std::time::Duration;

/// Steps of a time line.
const STEPS: usize = 240;
/// Phases in the order in which they are stacked; images are made before a sandbox is there.
const PHASES: [Phase; 4] = [Phase::Setup, Phase::Prepare, Phase::Test, Phase::Finish];
/// Their classes.
const CLASSES: [&str; 4] = ["setup", "prepare", "test", "finish"];

/// A chart with the words around it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plot {
    pub(super) chart: Chart,
    pub(super) most: String,
    pub(super) ticks: Vec<String>,
}

/// The time line of a run.
pub(super) struct Timeline {
    pub(super) sandboxes: Plot,
    pub(super) images: Option<Plot>,
    pub(super) note: String,
}

/// Draws it.
pub(super) fn timeline(record: &Record) -> Timeline {
    let state = &record.state;
    let clock = Clock { began: state.began, length: between(state.began, state.last).max(0.001) };
    let mut running = vec![vec![0.0; PHASES.len()]; STEPS];
    let mut totals = [0.0; PHASES.len()];
    for entry in record.entries() {
        let (Some(started), Some(done)) = (entry.detail.started, entry.done) else { continue };
        let mut at = between(clock.began, started);
        for (phase, took) in &done.phases {
            let Some(place) = PHASES.iter().position(|one| one == phase) else { continue };
            let took = took.as_secs_f64();
            clock.spread(at, took, |step, share| running[step][place] += share);
            totals[place] += took;
            at += took;
        }
    }
    let mut made = vec![vec![0.0]; STEPS];
    let mut images = 0.0;
    for image in &record.images {
        let took = image.took.as_secs_f64();
        let end = between(clock.began, image.at);
        clock.spread(end - took, took, |step, share| made[step][0] += share);
        images += took;
    }
    let ticks = clock.ticks();
    let images_plot = (images > 0.0).then(|| Plot {
        chart: columns(&made, &["image"], true, "images in the making over time"),
        most: format!("images in the making: {} at most", peak(&made)),
        ticks: ticks.clone(),
    });
    Timeline {
        sandboxes: Plot {
            chart: columns(&running, &CLASSES, false, "sandboxes by phase over time"),
            most: format!("sandboxes: {} at most at once", state.peak_in_flight),
            ticks,
        },
        images: images_plot,
        note: note(record, totals, images),
    }
}

fn note(record: &Record, totals: [f64; PHASES.len()], images: f64) -> String {
    let state = &record.state;
    let all: f64 = totals.iter().sum();
    let part =
        |at: usize| format!("{:.0} %", totals[at] / f64::max(all, f64::MIN_POSITIVE) * 100.0);
    let mut words = vec![format!("{} in all", time(between(state.began, state.last)))];
    if state.sessions > 1 {
        words.push(format!("{} sessions, pauses included", state.sessions));
    }
    words.push(format!(
        "sandboxes {}: set-up {}, preparing {}, tests {}",
        time(all),
        part(0),
        part(1),
        part(2)
    ));
    if images > 0.0 {
        let built = record.images.iter().map(|image| image.built).sum::<usize>();
        words.push(format!("images {} ({built} layers built)", time(images)));
    }
    words.join(" · ")
}

/// The moments that a time line covers.
struct Clock {
    began: Timestamp,
    length: f64,
}

impl Clock {
    /// Adds a stretch to the steps it covers: to each the share of the step that it fills.
    fn spread(&self, start: f64, took: f64, mut add: impl FnMut(usize, f64)) {
        let step = self.length / steps(STEPS);
        let (first, last) = (start.max(0.0) / step, (start + took).clamp(0.0, self.length) / step);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
        let range = first.floor() as usize..(last.ceil() as usize).min(STEPS);
        for at in range {
            let (low, high) = (first.max(steps(at)), last.min(steps(at + 1)));
            if high > low {
                add(at, high - low);
            }
        }
    }

    fn ticks(&self) -> Vec<String> {
        (0..=6).map(|part| time(self.length * f64::from(part) / 6.0)).collect()
    }
}

#[expect(clippy::cast_precision_loss, reason = "a few hundred")]
fn steps(count: usize) -> f64 {
    count as f64
}

fn peak(values: &[Vec<f64>]) -> String {
    let most = values.iter().map(|parts| parts.iter().sum::<f64>()).fold(0.0, f64::max);
    format!("{:.0}", most.ceil())
}

fn between(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64()
}

fn time(seconds: f64) -> String {
    duration(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

/// How the tests' durations are spread, and a few words on it.
pub(super) fn durations(record: &Record) -> (Plot, String) {
    let values = values(record, &|entry| entry.phase(Phase::Test).as_secs_f64());
    spread(&values, 1.0, &time, "tests by duration")
}

/// How the peaks of memory are spread.
pub(super) fn memory(record: &Record) -> (Plot, String) {
    let peak = |entry: &crate::report::Entry<'_>| {
        #[expect(clippy::cast_precision_loss, reason = "bytes of memory")]
        entry.done.map_or(0.0, |done| done.usage.peak_memory as f64 / f64::from(1 << 20))
    };
    let mebibytes = |value: f64| match value {
        value if value < 1024.0 => format!("{value:.0} MiB"),
        value => format!("{:.1} GiB", value / 1024.0),
    };
    spread(&values(record, &peak), 16.0, &mebibytes, "attempts by peak memory")
}

/// Values above zero, each with whether the attempt is resolved.
fn values(record: &Record, value: &dyn Fn(&crate::report::Entry<'_>) -> f64) -> Vec<(f64, bool)> {
    let entries = record.entries();
    let ran = entries
        .iter()
        .filter(|entry| entry.done.is_some_and(|done| done.kind != VerdictKind::Infra));
    ran.map(|entry| (value(entry), entry.resolved())).filter(|(value, _)| *value > 0.0).collect()
}

/// A histogram whose bins grow by the root of two.
fn spread(
    values: &[(f64, bool)],
    least: f64,
    words: &dyn Fn(f64) -> String,
    said: &str,
) -> (Plot, String) {
    if values.is_empty() {
        return (Plot::default(), "nothing is known of it".to_owned());
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
    let bin = |value: f64| ((value / least).max(1.0).log2() * 2.0).clamp(0.0, 60.0) as usize;
    let first = values.iter().map(|(value, _)| bin(*value)).min().unwrap_or(0);
    let last = values.iter().map(|(value, _)| bin(*value)).max().unwrap_or(0);
    let mut bins = vec![vec![0.0; 2]; last - first + 1];
    for (value, resolved) in values {
        bins[bin(*value) - first][usize::from(!resolved)] += 1.0;
    }
    let edge = |at: usize| least * (steps(at) / 2.0).exp2();
    let marks = bins.len().min(6);
    let ticks = (0..=marks).map(|part| words(edge(first + part * bins.len() / marks))).collect();
    let mut sorted: Vec<f64> = values.iter().map(|(value, _)| *value).collect();
    sorted.sort_by(f64::total_cmp);
    let at = |share| words(quantile(&sorted, share).unwrap_or_default());
    let note = format!("median {}, 90 % below {}, most {}", at(0.5), at(0.9), at(1.0));
    let most = format!("{} attempts in the fullest step", peak(&bins));
    let chart = columns(&bins, &["resolved", "unresolved"], false, &format!("{said}: {note}"));
    (Plot { chart, most, ticks }, note)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_is_spread_over_the_steps_it_covers() {
        let clock = Clock { began: Timestamp::UNIX_EPOCH, length: 240.0 };
        let mut found = vec![0.0; STEPS];
        clock.spread(1.5, 2.0, |step, share| found[step] += share);
        clock.spread(-5.0, 5.5, |step, share| found[step] += share);
        clock.spread(239.5, 99.0, |step, share| found[step] += share);
        assert_eq!(found[..4], [0.5, 0.5, 1.0, 0.5]);
        assert!((found[239] - 0.5).abs() < 1e-9 && found[4..239].iter().all(|one| *one == 0.0));
    }

    #[test]
    fn a_spread_has_a_step_for_every_value() {
        let values = [(0.3, true), (1.0, false), (7.9, true), (4000.0, false)];
        let (plot, note) = spread(&values, 1.0, &|value| format!("{value:.1}"), "x");
        assert_eq!(note, "median 7.9, 90 % below 4000.0, most 4000.0");
        assert_eq!(plot.ticks.first().map(String::as_str), Some("1.0"));
        assert!(plot.chart.0.matches("<rect").count() >= 4);
        assert_eq!(spread(&[], 1.0, &|_| String::new(), "x").0, Plot::default());
    }
}
