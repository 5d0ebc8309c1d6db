//! What we conclude of a prediction.

use super::{Disk, Outcome, Probes, Usage};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The status of one test, as a log parser reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum TestStatus {
    /// It passed.
    Passed,
    /// It failed.
    Failed,
    /// It was not run.
    Skipped,
    /// It could not be run.
    Error,
    /// It failed as expected.
    Xfail,
    /// A word that some runners print and that is no status; judged as failed, and named.
    #[serde(untagged)]
    Other(String),
}

/// Names of tests by how they fared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestLists {
    /// Counted as passed.
    pub success: Vec<String>,
    /// Counted as failed.
    pub failure: Vec<String>,
}

/// The expected tests of an instance by how they fared (`tests_status` of a report).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestsReport {
    /// Tests that had to start to pass.
    #[serde(rename = "FAIL_TO_PASS")]
    pub fail_to_pass: TestLists,
    /// Tests that had to keep passing.
    #[serde(rename = "PASS_TO_PASS")]
    pub pass_to_pass: TestLists,
}

/// Why a log gives no verdict on the tests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogProblem {
    /// The script ended before its tests began.
    TestsNotStarted,
    /// The script ended inside its tests, or a marker is missing.
    TestsNotEnded,
    /// No test result was found, nor a sign that tests ran.
    NoResults,
    /// The tests' exit status tells of a failure that the results do not show.
    ExitStatusContradicts {
        /// The exit status.
        status: i32,
    },
    /// The log holds a line with which a harness says that it could not test.
    BadMarker {
        /// The marker found.
        marker: String,
    },
    /// The parser cannot read this log.
    ParserFailed {
        /// Why.
        why: String,
    },
}

/// Trouble of our own, after which nothing can be said of the patch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InfraCause {
    /// A short stable word for reports, e.g. `image_build_failed`, `sandbox_start_failed`.
    pub reason: String,
    /// The whole story for people, causes included.
    pub detail: String,
}

/// What we conclude of a prediction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum Verdict {
    /// Every expected test is as it should be.
    Resolved {
        /// How they fared.
        tests: TestsReport,
    },
    /// At least one is not.
    Unresolved {
        /// How they fared.
        tests: TestsReport,
    },
    /// There was nothing to apply; nothing ran.
    EmptyPatch,
    /// The patch could not be applied.
    PatchRejected,
    /// The test patch could not be applied on top of it.
    TestPatchRejected,
    /// The tests were ended by a limit.
    TestsStopped {
        /// How they ended.
        outcome: Outcome,
    },
    /// The log cannot be judged.
    LogUnusable {
        /// Why not.
        why: LogProblem,
    },
    /// Trouble of our own. The only verdict that is tried again.
    Infra {
        /// What happened.
        cause: InfraCause,
    },
}

/// Which verdict, without what it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerdictKind {
    /// [`Verdict::Resolved`].
    Resolved,
    /// [`Verdict::Unresolved`].
    Unresolved,
    /// [`Verdict::EmptyPatch`].
    EmptyPatch,
    /// [`Verdict::PatchRejected`].
    PatchRejected,
    /// [`Verdict::TestPatchRejected`].
    TestPatchRejected,
    /// [`Verdict::TestsStopped`].
    TestsStopped,
    /// [`Verdict::LogUnusable`].
    LogUnusable,
    /// [`Verdict::Infra`].
    Infra,
}

impl VerdictKind {
    /// Every kind, in the order of reports.
    pub const ALL: [Self; 8] = [
        Self::Resolved,
        Self::Unresolved,
        Self::EmptyPatch,
        Self::PatchRejected,
        Self::TestPatchRejected,
        Self::TestsStopped,
        Self::LogUnusable,
        Self::Infra,
    ];

    /// Its name in reports: `resolved`, `unresolved`, `empty_patch`, …
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Resolved => "resolved",
            Self::Unresolved => "unresolved",
            Self::EmptyPatch => "empty_patch",
            Self::PatchRejected => "patch_rejected",
            Self::TestPatchRejected => "test_patch_rejected",
            Self::TestsStopped => "tests_stopped",
            Self::LogUnusable => "log_unusable",
            Self::Infra => "infra",
        }
    }
}

impl Verdict {
    /// Which verdict it is.
    #[must_use]
    pub fn kind(&self) -> VerdictKind {
        match self {
            Self::Resolved { .. } => VerdictKind::Resolved,
            Self::Unresolved { .. } => VerdictKind::Unresolved,
            Self::EmptyPatch => VerdictKind::EmptyPatch,
            Self::PatchRejected => VerdictKind::PatchRejected,
            Self::TestPatchRejected => VerdictKind::TestPatchRejected,
            Self::TestsStopped { .. } => VerdictKind::TestsStopped,
            Self::LogUnusable { .. } => VerdictKind::LogUnusable,
            Self::Infra { .. } => VerdictKind::Infra,
        }
    }

    /// Its name in reports: `resolved`, `unresolved`, `empty_patch`, …
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.kind().name()
    }

    /// The expected tests, where they could be judged.
    #[must_use]
    pub fn tests(&self) -> Option<&TestsReport> {
        match self {
            Self::Resolved { tests } | Self::Unresolved { tests } => Some(tests),
            _ => None,
        }
    }
}

/// A part of an evaluation, for time lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Making sure of the image.
    Image,
    /// Creating the sandbox and applying the patch.
    Setup,
    /// The script before its tests.
    Prepare,
    /// The tests.
    Test,
    /// The script after its tests, and clean-up.
    Finish,
}

/// Where the test section of a log is, and how it is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Section {
    /// The script was cut at its markers; the supervisor saw the section begin and end.
    Supervised {
        /// Byte offset in the log at which the tests' own output begins.
        start: u64,
        /// Byte offset at which it ends.
        end: u64,
        /// How the tests ended.
        outcome: Outcome,
    },
    /// The script could not be cut: the verdict rests on the text of the log alone.
    TextOnly {
        /// How the whole script ended.
        outcome: Outcome,
    },
}

/// All that one attempt at one prediction gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evaluation {
    /// What we conclude.
    pub verdict: Verdict,
    /// Where the tests stand in the log, if they were reached.
    pub section: Option<Section>,
    /// How the patch went in: the command that took it, or `already applied`.
    pub applied_by: Option<String>,
    /// Wall time by phase, in order.
    pub phases: Vec<(Phase, Duration)>,
    /// What the whole sandbox used.
    pub usage: Usage,
    /// Where it kept what it wrote; nothing is said if there was none.
    #[serde(default)]
    pub disk: Option<Disk>,
    /// What was tried beside the official run.
    #[serde(default, skip_serializing_if = "Probes::is_empty")]
    pub probes: Probes,
    /// What a reader of the verdict should know (limits not enforced, unknown statuses, …).
    pub notes: Vec<String>,
}
