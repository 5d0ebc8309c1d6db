//! How a command ended: facts from the kernel and the supervisor, never from text in a log.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The end itself.
    pub status: Status,
    /// Limits that were met on the way.
    pub limits_hit: LimitsHit,
    /// What it used.
    pub usage: Usage,
}

impl Outcome {
    /// Ended by itself with status 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.status == Status::Code(0)
    }
}

/// The end of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It exited with this code.
    Code(i32),
    /// A signal that was not ours ended it.
    Signal(i32),
    /// We ended it.
    Killed(KilledBy),
}

/// Why we ended a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KilledBy {
    /// Its wall time was up.
    TimedOut,
    /// It wrote more than it may.
    OutputLimit,
    /// The run was cancelled, or the sandbox terminated.
    Cancelled,
}

/// Limits of the sandbox that something inside it met. A child may be killed for memory and the
/// command still exit 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitsHit {
    /// A process was killed because the sandbox was out of memory.
    pub memory: bool,
    /// A fork failed because the sandbox had all its processes.
    pub pids: bool,
    /// A write failed because the sandbox's disk was full.
    pub disk: bool,
    /// How long its processes were held back by the CPU limit.
    pub cpu_throttled: Duration,
}

/// Where a sandbox kept what it wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// In memory, not on disk.
    pub in_memory: bool,
    /// What limited how much it could write.
    pub limited_by: DiskLimit,
    /// In memory, and that was too little at some moment: next to no room was left, or a process
    /// was killed for memory of which the files had a part.
    pub ran_short: bool,
}

/// What limits how much a sandbox can write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskLimit {
    /// Nothing does.
    #[default]
    Nothing,
    /// The size of a file system in memory of its own.
    FileSystem,
    /// The file system's quota for a project of its own.
    Quota,
    /// The keeper's looking now and then: a burst may exceed the limit before it is seen.
    Watch,
}

/// What a command, or a sandbox, used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Wall time from start to end.
    pub wall: Duration,
    /// CPU time in user mode, of the command and its waited-for children.
    pub user: Duration,
    /// CPU time in the kernel, likewise.
    pub system: Duration,
    /// Peak memory in bytes: of the sandbox where its cgroup says it, else the largest process.
    pub peak_memory: u64,
    /// Bytes of output the command wrote, those beyond the limit included.
    pub output_bytes: u64,
    /// Bytes of output left out of the log.
    pub output_dropped: u64,
}
