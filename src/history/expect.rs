//! What to expect of evaluations: how long they take, and what they need.

use super::{History, HistoryError, Table};
use crate::model::{Instance, InstanceId};
use std::collections::HashMap;
use std::time::Duration;

/// How many of an instance's last evaluations count.
const LAST: i64 = 5;

/// What to expect of an evaluation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// How long it holds its place in a run, if it never has to wait for a CPU.
    pub took: Duration,
    /// CPU time.
    pub cpu: Duration,
    /// Peak memory in bytes; 0: not known.
    pub peak: u64,
}

/// How an expectation is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// By evaluations of the same instance.
    Instance,
    /// By those of the same version of its repository.
    Version,
    /// By those of its repository.
    Repo,
}

/// What to expect, by instance, by version and by repository.
#[derive(Clone, Debug, Default)]
pub struct Expectations {
    instances: HashMap<InstanceId, Expected>,
    versions: HashMap<(String, String), Mean>,
    repos: HashMap<String, Mean>,
    /// How long it takes until an image is there that has to be made, by repository.
    images: HashMap<String, Duration>,
}

/// A mean of several.
#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    count: u32,
    took: Duration,
    cpu: Duration,
    peak: u64,
}

impl Mean {
    fn add(&mut self, one: &Expected) {
        self.count += 1;
        self.took += one.took;
        self.cpu += one.cpu;
        self.peak = self.peak.max(one.peak);
    }

    fn expected(&self) -> Expected {
        let count = self.count.max(1);
        Expected { took: self.took / count, cpu: self.cpu / count, peak: self.peak }
    }
}

impl Expectations {
    /// What to expect of an instance, and how that is known; `None`: nothing is known.
    #[must_use]
    pub fn of(&self, instance: &Instance) -> Option<(Expected, Source)> {
        if let Some(expected) = self.instances.get(&instance.id) {
            return Some((*expected, Source::Instance));
        }
        let version = (instance.repo.clone(), instance.version.clone());
        if let Some(mean) = self.versions.get(&version) {
            return Some((mean.expected(), Source::Version));
        }
        self.repos.get(&instance.repo).map(|mean| (mean.expected(), Source::Repo))
    }

    /// How long it takes to make an image for this repository, or for any.
    #[must_use]
    pub fn image(&self, repo: &str) -> Option<Duration> {
        let all = || {
            let count = u32::try_from(self.images.len()).ok().filter(|count| *count > 0)?;
            Some(self.images.values().sum::<Duration>() / count)
        };
        self.images.get(repo).copied().or_else(all)
    }

    /// Whether nothing at all is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.instances.is_empty()
    }

    /// Says what to expect of an instance.
    pub fn insert(&mut self, instance: (&InstanceId, &str, &str), expected: Expected) {
        let (id, repo, version) = instance;
        self.versions.entry((repo.to_owned(), version.to_owned())).or_default().add(&expected);
        self.repos.entry(repo.to_owned()).or_default().add(&expected);
        self.instances.insert(id.clone(), expected);
    }

    /// Takes from a table what is not known of these instances otherwise.
    pub fn fill(&mut self, table: &Table, instances: &[Instance]) {
        for instance in instances {
            let Some(line) = table.instances.get(&instance.id) else { continue };
            if !self.instances.contains_key(&instance.id) {
                let names = (&instance.id, instance.repo.as_str(), instance.version.as_str());
                self.insert(names, line.expected());
            }
        }
    }
}

/// How long it would have taken without waiting for a CPU: so many thousandths of the time a task
/// that could run had to wait. What of it was CPU time took longer by that; the rest did not. That is
/// a mean of all tasks of the machine, of which some wait more than others: never less is left than
/// was computed.
fn undisturbed(took: Duration, cpu: Duration, waited: u32) -> Duration {
    let share = f64::from(waited.min(950)) / 1000.0;
    let lost = cpu.mul_f64(share / (1.0 - share));
    took.saturating_sub(lost).max(cpu.min(took))
}

impl History {
    /// What the last evaluations of each instance let expect. Trouble of our own does not count.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn expectations(&self) -> Result<Expectations, HistoryError> {
        let mut expectations = Expectations::default();
        for (id, (repo, version, mean)) in self.means()? {
            expectations.insert((&id, &repo, &version), mean.expected());
        }
        expectations.images = self.image_times()?;
        Ok(expectations)
    }

    fn means(&self) -> Result<HashMap<InstanceId, (String, String, Mean)>, HistoryError> {
        let connection = self.connection();
        let mut means: HashMap<InstanceId, (String, String, Mean)> = HashMap::new();
        let mut read = || {
            let mut rows = connection.prepare_cached(
                "SELECT instance, repo, version, took, cpu, peak, waited FROM (
                   SELECT *, row_number() OVER (PARTITION BY instance ORDER BY at DESC) AS nth
                   FROM evaluations WHERE verdict NOT IN ('infra', 'empty_patch')
                 ) WHERE nth <= ?1",
            )?;
            let mut rows = rows.query([LAST])?;
            while let Some(row) = rows.next()? {
                let Ok(id) = InstanceId::new(&row.get::<_, String>(0)?) else { continue };
                let millis = |at| {
                    let count: i64 = row.get(at)?;
                    Ok::<_, rusqlite::Error>(Duration::from_millis(count.unsigned_abs()))
                };
                let (took, cpu) = (millis(3)?, millis(4)?);
                let took = undisturbed(took, cpu, row.get(6)?);
                let peak = row.get::<_, i64>(5)?.unsigned_abs();
                let (repo, version) = (row.get(1)?, row.get(2)?);
                let entry = means.entry(id).or_insert((repo, version, Mean::default()));
                entry.2.add(&Expected { took, cpu, peak });
            }
            Ok::<_, rusqlite::Error>(())
        };
        read().map_err(|error| self.error(error))?;
        Ok(means)
    }

    fn image_times(&self) -> Result<HashMap<String, Duration>, HistoryError> {
        let connection = self.connection();
        let read = || {
            let mut rows = connection.prepare_cached(
                "SELECT repo, avg(took) FROM images WHERE built > 0 GROUP BY repo",
            )?;
            let times = rows.query_map([], |row| {
                let millis: f64 = row.get(1)?;
                Ok((row.get(0)?, Duration::from_secs_f64(millis.max(0.0) / 1000.0)))
            })?;
            times.collect::<rusqlite::Result<HashMap<_, _>>>()
        };
        read().map_err(|error| self.error(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_lost_to_waiting_is_taken_off() {
        let seconds = Duration::from_secs;
        assert_eq!(undisturbed(seconds(10), seconds(4), 0), seconds(10));
        // Two seconds of work took four.
        assert_eq!(undisturbed(seconds(10), seconds(2), 500), seconds(8));
        // Others waited for longer than it did.
        assert_eq!(undisturbed(seconds(10), seconds(4), 900), seconds(4));
        // Several at once: how they would have shared the CPUs is not known.
        assert_eq!(undisturbed(seconds(10), seconds(30), 500), seconds(10));
    }
}
