//! What was measured, as values: how long things took, how many were done in a second.

use serde::Serialize;
use std::time::Duration;

/// A sorted row of times.
#[derive(Clone, Debug, Default)]
pub(super) struct Times(Vec<Duration>);

impl Times {
    /// From times in any order.
    pub(super) fn new(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// The time that `percent` of all do not exceed, in milliseconds; `None` without any.
    pub(super) fn percentile(&self, percent: usize) -> Option<f64> {
        let last = self.0.len().checked_sub(1)?;
        Some(millis(self.0[(last * percent).div_ceil(100)]))
    }
}

/// Milliseconds, to the microsecond.
pub(super) fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// What was found of one contender. What was not measured is not there.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Figures {
    /// What it does.
    pub(super) what: String,
    /// What it keeps from the program.
    pub(super) protects: String,
    /// Half of those done one after another took no longer.
    pub(super) p50_ms: Option<f64>,
    /// Ninety-nine of a hundred took no longer.
    pub(super) p99_ms: Option<f64>,
    /// How many were done one after another.
    pub(super) samples: usize,
    /// Its p50 as a multiple of the bare program's.
    pub(super) p50_ratio: Option<f64>,
    /// Its p99 as a multiple of the bare program's.
    pub(super) p99_ratio: Option<f64>,
    /// How many are done in a second over the steady stretch, cleared away included.
    pub(super) per_second: Option<f64>,
    /// The same in the first third of it.
    pub(super) first_third_per_second: Option<f64>,
    /// The same in the last third of it.
    pub(super) last_third_per_second: Option<f64>,
    /// Its rate as a share of the bare program's.
    pub(super) rate_ratio: Option<f64>,
}

impl Figures {
    /// Takes in what was measured one after another.
    pub(super) fn serial(&mut self, times: &Times) {
        self.p50_ms = times.percentile(50);
        self.p99_ms = times.percentile(99);
        self.samples = times.count();
    }

    /// Takes in the pieces of the steady stretch, in their order.
    pub(super) fn steady(&mut self, pieces: &[Piece]) {
        let rate = |pieces: &[Piece]| {
            let (count, took) = pieces.iter().fold((0, Duration::ZERO), |(count, took), piece| {
                (count + piece.count, took + piece.took)
            });
            (!took.is_zero()).then(|| rounded(f64::from(count) / took.as_secs_f64()))
        };
        let third = pieces.len() / 3;
        self.per_second = rate(pieces);
        if third > 0 {
            self.first_third_per_second = rate(&pieces[..third]);
            self.last_third_per_second = rate(&pieces[pieces.len() - third..]);
        }
    }

    /// Puts it beside the bare program of the same kind.
    pub(super) fn compare(&mut self, bare: &Self) {
        let ratio = |own: Option<f64>, bare: Option<f64>| Some(rounded(own? / bare?));
        self.p50_ratio = ratio(self.p50_ms, bare.p50_ms);
        self.p99_ratio = ratio(self.p99_ms, bare.p99_ms);
        self.rate_ratio = ratio(self.per_second, bare.per_second);
    }
}

/// A stretch of time with several at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    /// How many were done.
    pub(super) count: u32,
    /// From the first one's beginning until the last one was cleared away.
    pub(super) took: Duration,
}

/// To three digits behind the point.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_times_themselves() {
        let times = Times::new((1..=100).rev().map(Duration::from_millis).collect());
        assert_eq!(times.percentile(50), Some(51.0));
        assert_eq!(times.percentile(99), Some(100.0));
        assert_eq!(times.percentile(0), Some(1.0));
        assert_eq!(Times::default().percentile(50), None);
    }

    #[test]
    fn thirds_are_of_the_pieces() {
        let piece = |count| Piece { count, took: Duration::from_secs(2) };
        let mut figures = Figures::default();
        figures.steady(&[piece(100), piece(90), piece(80)]);
        assert_eq!(figures.per_second, Some(45.0));
        assert_eq!(figures.first_third_per_second, Some(50.0));
        assert_eq!(figures.last_third_per_second, Some(40.0));
        let bare = Figures { per_second: Some(90.0), ..Figures::default() };
        figures.compare(&bare);
        assert_eq!(figures.rate_ratio, Some(0.5));
        assert_eq!(figures.p50_ratio, None);
    }
}
