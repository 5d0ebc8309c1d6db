//! The share of resolved tasks, by three ways to count what it is a share of.

use crate::model::VerdictKind;
use serde::Serialize;
use std::collections::BTreeSet;

/// So many of so many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Share {
    /// Resolved.
    pub resolved: usize,
    /// Counted.
    pub total: usize,
}

/// The three shares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Denominators {
    /// Of all predictions.
    pub all: Share,
    /// Of those that have a verdict: trouble of our own is left out.
    pub without_infra: Share,
    /// Of those whose instance is known to be resolved here by its reference solution; absent
    /// where nothing is known of that.
    pub validated: Option<Share>,
}

impl Denominators {
    /// Counts predictions, given by instance and verdict.
    pub fn of<'a>(
        predictions: impl Iterator<Item = (&'a str, VerdictKind)>,
        validated: Option<&BTreeSet<String>>,
    ) -> Self {
        let mut shares = Self { validated: validated.map(|_| Share::default()), ..Self::default() };
        for (id, kind) in predictions {
            let resolved = kind == VerdictKind::Resolved;
            shares.all.add(resolved);
            if kind != VerdictKind::Infra {
                shares.without_infra.add(resolved);
            }
            if let (Some(share), Some(ids)) = (&mut shares.validated, validated)
                && ids.contains(id)
            {
                share.add(resolved);
            }
        }
        shares
    }

    /// A line for each.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut lines = vec![
            ("of all predictions", self.all),
            ("without trouble of our own", self.without_infra),
        ];
        lines.extend(self.validated.map(|share| ("of instances that gold resolves here", share)));
        lines
            .into_iter()
            .map(|(what, share)| format!("resolved {what}: {}\n", share.to_text()))
            .collect()
    }
}

impl Share {
    fn add(&mut self, resolved: bool) {
        self.total += 1;
        self.resolved += usize::from(resolved);
    }

    fn to_text(self) -> String {
        #[expect(clippy::cast_precision_loss, reason = "counts of predictions are small")]
        let percent = self.resolved as f64 / self.total.max(1) as f64 * 100.0;
        format!("{} of {} ({percent:.1} %)", self.resolved, self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_counts_what_it_says() {
        let ids = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
        let predictions = [
            ("a", VerdictKind::Resolved),
            ("b", VerdictKind::Infra),
            ("c", VerdictKind::Unresolved),
            ("d", VerdictKind::Resolved),
        ];
        let shares = Denominators::of(predictions.into_iter(), Some(&ids));
        let share = |resolved, total| Share { resolved, total };
        assert_eq!((shares.all, shares.without_infra), (share(2, 4), share(2, 3)));
        assert_eq!(shares.validated, Some(share(1, 2)));
        assert!(shares.to_text().contains("resolved of all predictions: 2 of 4 (50.0 %)\n"));
    }
}
