//! The flags of `evalrun bench sandbox`.

use clap::{Args, ValueHint};
use serde::Serialize;
use std::path::PathBuf;

pub(in crate::cli) const EXAMPLES: &str = "\
Examples:
  evalrun bench sandbox --quick
  evalrun bench sandbox --seconds 120 --part steady --against posix_spawn,bwrap
  evalrun bench sandbox --json > bench.json

Each contender runs the same program in the same root, in turns. With nothing left behind the exit
code is 0.";

/// Flags of `bench sandbox`.
#[derive(Clone, Debug, Default, Args, Serialize)]
pub(in crate::cli) struct BenchSandboxArgs {
    /// A tenth of everything
    #[arg(long)]
    #[serde(skip)]
    pub(in crate::cli) quick: bool,
    /// Only these parts
    #[arg(long = "part", value_enum, value_delimiter = ',', value_name = "PART")]
    #[serde(skip)]
    pub(in crate::cli) parts: Vec<BenchPart>,
    /// Only these rivals: posix_spawn, posix_spawn_files, bwrap, crun, runc, docker
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    #[serde(skip)]
    pub(in crate::cli) against: Vec<String>,
    /// Only these of the native sandbox: native, native_disk, native_warm, native_live, …
    #[arg(long = "form", value_delimiter = ',', value_name = "NAME")]
    #[serde(skip)]
    pub(in crate::cli) forms: Vec<String>,
    /// A root file system with /bin/true and /bin/sh [default: a few programs of this machine]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    #[serde(skip)]
    pub(in crate::cli) root: Option<PathBuf>,
    /// Rounds of one after another
    #[arg(long, value_name = "N")]
    #[serde(rename = "bench_rounds", skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) rounds: Option<usize>,
    /// Length of the steady stretch
    #[arg(long, value_name = "SECONDS")]
    #[serde(rename = "bench_seconds", skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) seconds: Option<u32>,
    /// How many live at once
    #[arg(long, value_name = "N")]
    #[serde(rename = "bench_alive", skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) alive: Option<usize>,
    /// Children of a snapshot
    #[arg(long, value_name = "N")]
    #[serde(rename = "bench_children", skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) children: Option<usize>,
}

/// A part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli) enum BenchPart {
    /// One after another: p50 and p99
    Serial,
    /// Rates with 1 to 64 at once
    Rates,
    /// The rate over a long stretch, its first third and its last
    Steady,
    /// Many alive: memory, and whether the last are as fast as the first
    Alive,
    /// A snapshot, and children of it
    FanOut,
}
