//! What is written down of a run: a closed list of events, and the header that says what the run
//! is.

use crate::grade::{Evidence, Integrity, Policy};
use crate::layers::ImageKey;
use crate::model::{
    Digest, DigestBuilder, EnvSpec, Evaluation, InfraCause, Instance, InstanceId, Prediction,
    PredictionKey, VerdictKind, language_of,
};
use crate::sandbox::{Limits, Network, Upper};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The version of the journal's own format. A journal of another version is not read.
pub const FORMAT: u32 = 1;

/// The version of the rules that turn a log into a verdict. It is raised when a log may give
/// another verdict than before, so that one run never mixes two sets of rules.
pub const GRADER: u32 = 1;

/// Something that happened in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// What the run is. The first event of every journal, and again where a run was continued:
    /// the last one counts.
    Header(Box<Header>),
    /// What was concluded of this prediction counts no longer.
    Dropped {
        /// The prediction.
        key: PredictionKey,
        /// Why, e.g. `the patch changed`.
        why: String,
    },
    /// The image of an instance is there.
    ImageReady {
        /// The instance.
        instance_id: InstanceId,
        /// The image's name.
        name: String,
        /// Its key.
        image: ImageKey,
        /// Its content's digest as the image module states it.
        digest: String,
        /// How many layers were built for it in this run.
        built: usize,
        /// How long that took, waiting for others included.
        took: Duration,
    },
    /// A prediction was given a sandbox.
    Started {
        /// The prediction.
        key: PredictionKey,
        /// 1, or more where trouble of our own made it run again.
        round: u32,
        /// How many run now, this one included.
        in_flight: usize,
    },
    /// A prediction has its verdict.
    Evaluated(Box<Evaluated>),
    /// Trouble of our own; the prediction runs again.
    Retrying {
        /// The prediction.
        key: PredictionKey,
        /// The round that failed.
        round: u32,
        /// What happened.
        cause: InfraCause,
        /// Not before this moment.
        not_before: Timestamp,
    },
    /// The run was asked to end early. It can be continued.
    Interrupted {
        /// How many were running.
        in_flight: usize,
    },
    /// Every prediction has its verdict.
    Finished,
}

/// A verdict and all that belongs to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluated {
    /// The prediction.
    pub key: PredictionKey,
    /// The round that gave the verdict; 0 if nothing ran.
    pub round: u32,
    /// The verdict, and how it came about.
    pub evaluation: Evaluation,
    /// A sign of a broken environment in the logs of a patch that is not resolved. Advice only.
    pub sign: Option<InfraSign>,
    /// The same from the test log alone, where that log could not be judged.
    pub log_sign: Option<InfraSign>,
    /// What speaks for trouble of the environment where a patch is not resolved. Advice only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
    /// Whether its results can be trusted; nothing is said where no test ran, or nobody asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integrity: Option<Integrity>,
    /// The share of its time, in thousandths, in which a task of the machine that could run had to
    /// wait for a CPU.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub waited: u32,
    /// The files left in the prediction's directory.
    pub files: BTreeMap<String, Digest>,
    /// The run that it was taken over from, if nothing ran for it in this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<KnownFrom>,
}

/// Where a verdict was taken over from: an earlier evaluation of the same patch in the same image,
/// with the same tests and limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownFrom {
    /// The run.
    pub run_id: String,
    /// The model whose patch it was there.
    pub model: Arc<str>,
    /// The attempt it was there.
    pub attempt: u32,
    /// When it was evaluated.
    pub at: Timestamp,
    /// The directory it has its files from.
    pub place: PathBuf,
}

/// A sign in the logs that the environment, and not the patch, may be at fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InfraSign {
    /// A short stable word, e.g. `network_unreachable`.
    pub reason: String,
    /// Whether a patch could have caused it as well.
    pub ambiguous: bool,
}

/// What a run is: all that its verdicts depend on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The version of this format.
    pub format: u32,
    /// The run's name.
    pub run_id: String,
    /// The program and the rules that judge.
    pub versions: Versions,
    /// Where it runs.
    pub host: Host,
    /// Where the tasks come from.
    pub dataset: DatasetFacts,
    /// What every evaluation gets.
    pub settings: Settings,
    /// Which part of a run this is, if it was cut into shards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<ShardFacts>,
    /// The tasks, sorted by id.
    pub instances: Vec<InstanceFacts>,
    /// The predictions, in the order given; also those whose instance was not selected.
    pub predictions: Vec<PredictionFacts>,
}

/// Versions that verdicts depend on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// This program.
    pub evalrun: String,
    /// [`GRADER`].
    pub grader: u32,
}

/// The machine a run is on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Kernel release.
    pub kernel: String,
    /// Machine architecture, e.g. `x86_64`.
    pub arch: String,
    /// The operating system's name for itself.
    pub os: String,
    /// CPUs this program may use.
    pub cpus: usize,
    /// Memory in bytes that this program may use.
    pub memory: u64,
    /// The sandbox back-end.
    pub backend: String,
    /// What the back-end cannot enforce here.
    pub caveats: Vec<String>,
}

/// Where the tasks of a run come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetFacts {
    /// Its name.
    pub name: String,
    /// The split.
    pub split: String,
    /// Digest of what was read.
    pub digest: Digest,
}

/// What every evaluation of a run gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Limits of a sandbox.
    pub limits: Limits,
    /// What a sandbox reaches.
    pub network: Network,
    /// Where a sandbox writes.
    pub upper: Upper,
    /// Environment variables of every command.
    pub env: BTreeMap<String, String>,
    /// How long tests may take.
    pub timeout: Duration,
    /// Whose verdict is asked for.
    #[serde(default)]
    pub policy: Policy,
    /// Whether the runner is tried on tests whose results are known.
    #[serde(default)]
    pub canary: bool,
    /// How often failing expected tests run again.
    #[serde(default)]
    pub rerun_failed: u32,
}

/// Which part of a run a shard is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardFacts {
    /// Which one, from 1.
    pub number: usize,
    /// Of how many.
    pub of: usize,
    /// The name of the whole run.
    pub run_id: String,
    /// Digest of how the run was cut: the number of shards, and the instances of each. Shards of two
    /// cuts never fit together.
    pub cut: Digest,
    /// Digest of the durations by which it was cut.
    pub durations: Digest,
}

/// What is kept of an instance: enough to report on it, and to see what changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceFacts {
    /// Its id.
    pub id: InstanceId,
    /// Its repository.
    pub repo: Arc<str>,
    /// Its version.
    pub version: Arc<str>,
    /// How hard people judged it.
    pub difficulty: Option<Arc<str>>,
    /// The language most of its files are in, as far as their names tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<Arc<str>>,
    /// Digest of what its image is made from.
    pub image: Digest,
    /// Digest of its evaluation script and staged files.
    pub script: Digest,
    /// Digest of its expected tests, its log parser and the way they are judged.
    pub tests: Digest,
}

/// What is kept of a prediction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PredictionFacts {
    /// Which one.
    pub key: PredictionKey,
    /// Digest of its patch.
    pub patch: Digest,
    /// Whether there is nothing to apply.
    pub empty: bool,
}

impl InstanceFacts {
    /// The facts of an instance.
    #[must_use]
    pub fn of(instance: &Instance) -> Self {
        // Where a recipe was read is for messages: it makes no other image.
        let env =
            instance.env.as_deref().map(|env| EnvSpec { origin: String::new(), ..env.clone() });
        let env = env.as_ref().map(json).unwrap_or_default();
        let image = DigestBuilder::new("instance image 1")
            .field("name", &instance.image_name)
            .field("repo", &instance.repo)
            .field("base", instance.base_commit.as_deref().unwrap_or(""))
            .field("setup", instance.environment_setup_commit.as_deref().unwrap_or(""))
            .field("env", env)
            .finish();
        let script = DigestBuilder::new("instance script 1")
            .field("script", &instance.eval_script)
            .list("assets", instance.image_assets.iter().map(json));
        let script = match instance.work_dir.as_str() {
            crate::model::TESTBED => script,
            elsewhere => script.field("work_dir", elsewhere),
        };
        let script = script.finish();
        let tests = DigestBuilder::new("instance tests 1")
            .list("fail_to_pass", &instance.fail_to_pass)
            .list("pass_to_pass", &instance.pass_to_pass)
            .field("parser", &instance.log_parser)
            .field("type", json(&instance.eval_type))
            .finish();
        Self {
            id: instance.id.clone(),
            repo: instance.repo.as_str().into(),
            version: instance.version.as_str().into(),
            difficulty: instance.difficulty.as_deref().map(Into::into),
            language: language_of([
                instance.gold_patch.as_deref().unwrap_or(""),
                &instance.test_patch,
            ])
            .map(Into::into),
            image,
            script,
            tests,
        }
    }
}

impl PredictionFacts {
    /// The facts of a prediction.
    #[must_use]
    pub fn of(prediction: &Prediction) -> Self {
        Self {
            key: prediction.key(),
            patch: prediction.patch_digest(),
            empty: prediction.is_empty(),
        }
    }
}

impl Evaluated {
    /// What is known as soon as something has been evaluated, before anybody looked at the logs.
    #[must_use]
    pub fn new(key: PredictionKey, round: u32, evaluation: Evaluation) -> Self {
        Self {
            key,
            round,
            evaluation,
            sign: None,
            log_sign: None,
            evidence: Vec::new(),
            integrity: None,
            waited: 0,
            files: BTreeMap::new(),
            known: None,
        }
    }

    /// Which verdict.
    #[must_use]
    pub fn kind(&self) -> VerdictKind {
        self.evaluation.verdict.kind()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("plain values always have a JSON form")
}
