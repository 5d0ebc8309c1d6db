//! The numbers behind comparisons: intervals of shares, the paired test, pass@k.
//!
//! All intervals are for 95 %. The tests hold values of `tests/oracle/statistics.py`.

use serde::Serialize;

/// The quantile of the normal distribution that leaves 2.5 % above it.
const Z: f64 = 1.959_963_984_540_054;

/// From one value to another.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// How the instances of two runs fell together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Paired {
    /// Resolved in both.
    pub both: usize,
    /// Resolved in the later one alone.
    pub gained: usize,
    /// Resolved in the earlier one alone.
    pub lost: usize,
    /// Resolved in neither.
    pub neither: usize,
}

/// A mean, and where it may lie.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Mean {
    /// The mean.
    pub value: f64,
    /// Its interval.
    pub interval: Interval,
}

/// The share that so many of so many are; 0 of none.
#[must_use]
pub fn share(successes: usize, total: usize) -> f64 {
    if total == 0 { 0.0 } else { number(successes) / number(total) }
}

/// Wilson's score interval of a share; of none it is everything.
#[must_use]
pub fn wilson(successes: usize, total: usize) -> Interval {
    if total == 0 {
        return Interval { low: 0.0, high: 1.0 };
    }
    let (n, p) = (number(total), share(successes, total));
    let centre = p + Z * Z / (2.0 * n);
    let margin = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    // At the ends rounding must not leave a hair between the share and its own interval.
    Interval {
        low: if successes == 0 { 0.0 } else { (centre - margin) / scale },
        high: if successes == total { 1.0 } else { (centre + margin) / scale },
    }
}

/// McNemar's exact test: how likely it is that so many instances or more fall on one side, if each
/// of those that changed falls on either side with the same chance. Two-sided.
#[must_use]
pub fn mcnemar(gained: usize, lost: usize) -> f64 {
    let n = gained + lost;
    if gained == lost {
        return 1.0;
    }
    // In logarithms: the first terms of a large table are below the smallest number.
    let mut term = -number(n) * std::f64::consts::LN_2;
    let mut tail = 0.0;
    for i in 0..=gained.min(lost) {
        tail += term.exp();
        term += (number(n - i) / number(i + 1)).ln();
    }
    (2.0 * tail).min(1.0)
}

impl Paired {
    /// How many instances there are.
    #[must_use]
    pub fn total(&self) -> usize {
        self.both + self.gained + self.lost + self.neither
    }

    /// The later share less the earlier one.
    #[must_use]
    pub fn difference(&self) -> f64 {
        let total = self.total();
        share(self.both + self.gained, total) - share(self.both + self.lost, total)
    }

    /// The interval of the difference for paired shares (Newcombe 1998, method 10).
    #[must_use]
    pub fn interval(&self) -> Interval {
        let total = self.total();
        if total == 0 {
            return Interval { low: -1.0, high: 1.0 };
        }
        let (after, before) = (self.both + self.gained, self.both + self.lost);
        let (p1, p2) = (share(after, total), share(before, total));
        let (i1, i2) = (wilson(after, total), wilson(before, total));
        let phi = self.correlation();
        let bound = |one: f64, other: f64| {
            (one * one - 2.0 * phi * one * other + other * other).max(0.0).sqrt()
        };
        Interval {
            low: p1 - p2 - bound(p1 - i1.low, i2.high - p2),
            high: p1 - p2 + bound(i1.high - p1, p2 - i2.low),
        }
    }

    /// How far the two go together, with the method's own correction.
    fn correlation(&self) -> f64 {
        let product = number(self.both + self.gained)
            * number(self.lost + self.neither)
            * number(self.both + self.lost)
            * number(self.gained + self.neither);
        if product == 0.0 {
            return 0.0;
        }
        let cross =
            number(self.both) * number(self.neither) - number(self.gained) * number(self.lost);
        let corrected =
            if cross > 0.0 { (cross - number(self.total()) / 2.0).max(0.0) } else { cross };
        corrected / product.sqrt()
    }
}

/// The chance that one at least of `k` attempts is resolved, estimated without bias from `resolved`
/// of `attempts` (Chen et al. 2021, *Evaluating large language models trained on code*).
#[must_use]
pub fn pass_at_k(attempts: usize, resolved: usize, k: usize) -> f64 {
    let failed = attempts - resolved.min(attempts);
    if failed < k {
        return 1.0;
    }
    let all_fail: f64 = (failed + 1..=attempts).map(|i| 1.0 - number(k) / number(i)).product();
    1.0 - all_fail
}

/// The mean of values between 0 and 1, and its interval by the normal distribution; `None` of none.
#[must_use]
pub fn mean(values: &[f64]) -> Option<Mean> {
    let n = number(values.len());
    if values.is_empty() {
        return None;
    }
    let value = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|one| (one - value).powi(2)).sum();
    let margin = if values.len() < 2 { 1.0 } else { Z * (squares / (n - 1.0) / n).sqrt() };
    let interval = Interval { low: (value - margin).max(0.0), high: (value + margin).min(1.0) };
    Some(Mean { value, interval })
}

/// The value below which this share of sorted values lies; `None` of none.
#[must_use]
pub fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
    let at = (share.clamp(0.0, 1.0) * number(last)).round() as usize;
    sorted.get(at).copied()
}

#[expect(clippy::cast_precision_loss, reason = "counts of predictions are small")]
fn number(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, expected: f64) -> bool {
        (found - expected).abs() <= 1e-11 + 1e-9 * expected.abs()
    }

    #[test]
    fn intervals_of_shares_are_those_of_scipy() {
        for (successes, total, low, high) in [
            (0, 10, 0.0, 0.27753279986288926),
            (1, 10, 0.017876213095072896, 0.4041500267952385),
            (5, 10, 0.236593090512564, 0.7634069094874361),
            (10, 10, 0.7224672001371109, 1.0),
            (1147, 2294, 0.4795563675223575, 0.5204436324776425),
            (2290, 2294, 0.9955249885140053, 0.9993217147799759),
            (137, 500, 0.23674062566582055, 0.31470557622280104),
            (1, 1, 0.20654931437723745, 1.0),
        ] {
            let found = wilson(successes, total);
            assert!(near(found.low, low) && near(found.high, high), "{successes}: {found:?}");
        }
        assert_eq!(wilson(0, 0), Interval { low: 0.0, high: 1.0 });
    }

    #[test]
    fn the_paired_test_is_that_of_scipy() {
        for (gained, lost, p) in [
            (0, 0, 1.0),
            (1, 0, 1.0),
            (5, 5, 1.0),
            (10, 2, 0.03857421875),
            (3, 14, 0.012725830078125),
            (120, 80, 0.005685155996750306),
            (700, 600, 0.006_015_793_861_044_94),
            (1200, 1000, 2.1817026407914194e-05),
        ] {
            assert!(near(mcnemar(gained, lost), p), "{gained}, {lost}: {}", mcnemar(gained, lost));
            assert_eq!(mcnemar(gained, lost).to_bits(), mcnemar(lost, gained).to_bits());
        }
    }

    #[test]
    fn intervals_of_differences_are_newcombes() {
        for ((both, gained, lost, neither), low, high) in [
            ((20, 5, 2, 13), -0.059034380431371686, 0.2038393111496526),
            ((0, 5, 0, 5), 0.11736746745022214, 0.7634069094874361),
            ((200, 60, 40, 200), 0.0007745376869655526, 0.07895219427375234),
            ((10, 0, 0, 10), -0.08975665937768049, 0.08975665937768049),
            ((36, 12, 2, 0), 0.05692958400323875, 0.3404276029749408),
            ((3, 9, 9, 1), -0.3490119567204982, 0.3490119567204982),
        ] {
            let paired = Paired { both, gained, lost, neither };
            let found = paired.interval();
            assert!(near(found.low, low) && near(found.high, high), "{paired:?}: {found:?}");
            assert!(found.low <= paired.difference() && paired.difference() <= found.high);
        }
        assert_eq!(Paired::default().interval(), Interval { low: -1.0, high: 1.0 });
    }

    #[test]
    fn pass_at_k_is_the_share_of_subsets_with_a_resolved_one() {
        for (attempts, resolved, k, expected) in [
            (1, 0, 1, 0.0),
            (1, 1, 1, 1.0),
            (5, 2, 1, 0.4),
            (5, 2, 3, 0.9),
            (10, 1, 5, 0.5),
            (12, 4, 7, 0.98989898989899),
            (8, 5, 4, 1.0),
            (6, 6, 3, 1.0),
        ] {
            let found = pass_at_k(attempts, resolved, k);
            assert!(near(found, expected), "{attempts}, {resolved}, {k}: {found}");
        }
    }

    #[test]
    fn means_have_the_interval_of_scipy() {
        for (values, low, high) in [
            (&[0.0, 0.5, 1.0, 1.0][..], 0.15586933774380696, 1.0),
            (&[0.0, 0.0, 0.0, 1.0], 0.0, 0.7399909961350135),
            (&[0.25, 0.5, 0.75, 0.5, 0.5], 0.3450512419238596, 0.6549487580761404),
        ] {
            let found = mean(values).unwrap().interval;
            assert!(near(found.low, low) && near(found.high, high), "{values:?}: {found:?}");
        }
        assert_eq!(mean(&[]), None);
    }
}
