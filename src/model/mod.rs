//! The words of evalrun: values without behaviour of their own, shared by every other module.

mod digest;
mod env_spec;
mod instance;
mod language;
mod outcome;
mod prediction;
mod probes;
mod verdict;

pub use digest::{Digest, DigestBuilder, ParseDigestError};
pub use env_spec::{EnvSpec, PythonSpec, RepoSource, RootSource};
pub use instance::{Asset, AssetSource, EvalType, Instance, InstanceId, InvalidId, TESTBED};
pub use language::language_of;
pub use outcome::{Disk, DiskLimit, KilledBy, LimitsHit, Outcome, Status, Usage};
pub use prediction::{Prediction, PredictionKey};
pub use probes::{Canary, Probes, Reruns, WithoutRunnerFiles};
pub use verdict::{
    Evaluation, InfraCause, LogProblem, Phase, Section, TestLists, TestStatus, TestsReport,
    Verdict, VerdictKind,
};
