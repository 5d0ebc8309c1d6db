//! A part of a task list: by name, by pattern, by number, in another order.

use super::error::{DatasetError, Problem, Problems};
use super::{Dataset, nearest};
use crate::model::{DigestBuilder, InstanceId};
use globset::GlobBuilder;
use regex::Regex;

/// Which instances are wanted. Applied in this order: globs, filter, shuffle, limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Ids, or globs over ids; an instance is wanted if one of them fits. Empty: all are.
    pub instances: Vec<String>,
    /// A regular expression, searched in the id.
    pub filter: Option<String>,
    /// At most so many.
    pub limit: Option<usize>,
    /// Order by this seed: by the SHA-256 digest of seed and id. The order of two instances
    /// depends on nothing else, so it is the same on every machine, in every version and whatever
    /// other instances are selected; a larger `limit` keeps what a smaller one took.
    pub shuffle: Option<u64>,
}

impl Selection {
    /// Keeps the instances that are wanted.
    ///
    /// # Errors
    /// [`DatasetError`] if a pattern is malformed, or fits no instance.
    pub fn apply(&self, dataset: &mut Dataset) -> Result<(), DatasetError> {
        let mut problems = Problems::default();
        let mut wanted = vec![self.instances.is_empty(); dataset.instances.len()];
        for pattern in &self.instances {
            let Some(fits) = matcher(pattern, &mut problems) else { continue };
            let mut any = false;
            for (instance, wanted) in dataset.instances.iter().zip(&mut wanted) {
                if fits(instance.id.as_str()) {
                    *wanted = true;
                    any = true;
                }
            }
            if !any {
                problems.push(no_match(pattern, dataset));
            }
        }
        let filter = self.filter.as_deref().and_then(|text| match Regex::new(text) {
            Ok(regex) => Some(regex),
            Err(error) => {
                let what = format!("`{text}` is no regular expression: {}", last_line(&error.to_string()));
                problems.push(Problem::new("--filter", what).hint("the syntax is that of the Rust crate `regex`; a special character is meant literally after a backslash"));
                None
            }
        });
        if self.limit == Some(0) {
            problems.push(
                Problem::new("--limit", "0 instances are nothing to run")
                    .hint("leave it out to take all"),
            );
        }
        problems.ok()?;

        let before = dataset.instances.len();
        let mut wanted = wanted.into_iter();
        dataset.instances.retain(|instance| {
            let by_name = wanted.next().unwrap_or(false);
            by_name && filter.as_ref().is_none_or(|regex| regex.is_match(instance.id.as_str()))
        });
        if let Some(regex) = filter.filter(|_| dataset.instances.is_empty() && before > 0) {
            let what = format!("`{regex}` fits none of the instances");
            return Err(Problem::new("--filter", what)
                .hint("it is searched in the instance ids")
                .into());
        }
        if let Some(seed) = self.shuffle {
            dataset.instances.sort_by_cached_key(|instance| order(seed, &instance.id));
        }
        if let Some(limit) = self.limit {
            dataset.instances.truncate(limit);
        }
        Ok(())
    }
}

/// Whether an id is what a pattern names: the id itself, or one the glob fits.
fn matcher(pattern: &str, problems: &mut Problems) -> Option<impl Fn(&str) -> bool + use<>> {
    match GlobBuilder::new(pattern).build() {
        Ok(glob) => {
            let glob = glob.compile_matcher();
            let pattern = pattern.to_owned();
            Some(move |id: &str| id == pattern || glob.is_match(id))
        }
        Err(error) => {
            let what = format!("`{pattern}` is no glob: {}", error.kind());
            let hint = "`*` stands for any text, `?` for one character, `[ab]` for one of some, `{a,b}` for one of some texts";
            problems.push(Problem::new("--instance", what).hint(hint));
            None
        }
    }
}

fn no_match(pattern: &str, dataset: &Dataset) -> Problem {
    let problem = Problem::new(
        "--instance",
        format!(
            "`{pattern}` fits none of the {} instances of {}",
            dataset.instances.len(),
            dataset.name
        ),
    );
    let ids = dataset.instances.iter().map(|instance| instance.id.as_str());
    match nearest::nearest(pattern, ids) {
        Some(near) => problem.hint(format!("did you mean `{near}`?")),
        None => problem.hint("`evalrun datasets show` lists the ids"),
    }
}

/// Where a seed puts an instance.
fn order(seed: u64, id: &InstanceId) -> (crate::model::Digest, InstanceId) {
    let builder = DigestBuilder::new("evalrun shuffle 1").field("seed", seed.to_le_bytes());
    (builder.field("id", id.as_str()).finish(), id.clone())
}

fn last_line(text: &str) -> String {
    let line = text.lines().last().unwrap_or(text);
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}
