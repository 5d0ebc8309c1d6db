//! What is tried beside the official run: the runner on tests whose results are known, and the
//! patch without its changes to the runner's own files.

use super::script::Tests;
use super::{EvalOptions, EvaluateError, Scribe, script};
use crate::grade::{judge_canary, plan_canary};
use crate::model::{Canary, Instance, TestsReport};
use crate::sandbox::{Content, Sandbox};
use fs_err as fs;
use rand::seq::IndexedRandom as _;

/// What the canary's runner printed.
const LOG: &str = "canary_output.txt";

/// Common words: a canary looks like any other test.
const WORDS: [&str; 32] = [
    "empty", "nested", "values", "order", "default", "single", "many", "inner", "outer", "simple",
    "mixed", "short", "long", "first", "last", "other", "plain", "large", "small", "input",
    "output", "given", "known", "partial", "repeated", "sorted", "unique", "common", "extra",
    "missing", "valid", "leading",
];

/// A witness is a list of names.
const WITNESS_LIMIT: u64 = 1 << 20;

/// Calls the runner once more, in the state in which the official run left the sandbox.
pub(super) async fn run(
    sandbox: &dyn Sandbox,
    instance: &Instance,
    (ran, report): (&Tests, &TestsReport),
    options: &EvalOptions,
    scribe: &Scribe<'_>,
) -> Result<Canary, EvaluateError> {
    let silent = |why: String| Canary { silent: Some(why), ..Canary::default() };
    let texts = ran.files.iter().map(|(path, (text, _))| (path.clone(), text.clone())).collect();
    let plan = match plan_canary(instance, report, &texts, &fresh_word()) {
        Ok(plan) => plan,
        Err(why) => return Ok(silent(why)),
    };
    for (path, text) in &plan.files {
        let mode = ran.files.get(path).map_or(0o644, |(_, mode)| *mode);
        let content = Content::File { bytes: text.clone().into_bytes().into(), mode };
        sandbox.copy_in(&format!("{}/{path}", instance.work_dir), content).await?;
    }
    let log = scribe.dir.join(LOG);
    let outcome = script::tests_again(sandbox, instance, options.timeout, &log).await?;
    if super::was_stopped(&outcome) {
        return Ok(silent("its run had to be ended".to_owned()));
    }
    let witness = match &plan.witness {
        Some(path) => match sandbox.copy_out(path, WITNESS_LIMIT).await {
            Ok(Content::File { bytes, .. }) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            _ => None,
        },
        None => None,
    };
    Ok(judge_canary(instance, &plan, &fs::read(&log)?, witness.as_deref()))
}

/// Three words, by which nobody can tell the canary from a test.
fn fresh_word() -> String {
    let words: Vec<&str> = WORDS.sample(&mut rand::rng(), 3).copied().collect();
    words.join("_")
}
