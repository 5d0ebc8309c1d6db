//! What runs when and where, what is known of it before, and how it is watched.

use super::DatasetArgs;
use clap::{Args, Subcommand, ValueHint};
use serde::Serialize;
use std::path::PathBuf;

/// How a run is done: in which order, which part, with what from before, watched by whom.
#[derive(Debug, Default, Args, Serialize)]
#[command(next_help_heading = "Scheduling")]
pub(in crate::cli) struct SchedulingArgs {
    /// Run everything, whatever earlier runs came to
    #[arg(long, conflicts_with = "cache_only")]
    #[serde(skip_serializing_if = "super::is_false")]
    pub(in crate::cli) no_cache: bool,
    /// Run nothing: take verdicts of earlier runs, and exit with 7 if there is not one for each
    #[arg(long)]
    #[serde(skip_serializing_if = "super::is_false")]
    pub(in crate::cli) cache_only: bool,
    /// What runs first: longest (by what is expected) or given (in the order of the predictions)
    #[arg(long, value_name = "ORDER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) order: Option<String>,
    /// Do this part of the run, e.g. 3/8; `evalrun merge` puts all parts together
    #[arg(long, value_name = "I/N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) shard: Option<String>,
    /// Table of durations by which a run is cut into shards, of `evalrun plan --write`
    /// [default: durations.json beside the task list; else each instance counts the same]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) durations: Option<PathBuf>,
    /// Write what happens as lines of JSON while it does; `-` for standard output
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) events: Option<PathBuf>,
    /// Write a time line for Perfetto at the end
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) trace: Option<PathBuf>,
}

const PLAN_EXAMPLES: &str = "\
Examples:
  evalrun plan -d verified -p preds.jsonl
  evalrun plan -d verified -p gold --parallel 8,32,64 --cores 64 --mem 256G
  evalrun plan -d verified -p preds.jsonl --write durations.json --shards 8

The scheduler itself is run with a clock that is made up, on durations of earlier runs on this machine (see
`evalrun history`). Instances of which nothing is known are guessed, and counted.";

/// Flags of `plan`.
#[derive(Debug, Default, Args, Serialize)]
#[command(after_help = PLAN_EXAMPLES)]
pub(in crate::cli) struct PlanArgs {
    #[command(flatten)]
    #[serde(flatten)]
    pub(in crate::cli) dataset: DatasetArgs,
    /// Predictions: files (.jsonl, .json), folders, `gold` or `empty`; may be repeated
    #[arg(
        short,
        long,
        alias = "predictions_path",
        value_name = "FILE|gold|empty",
        num_args = 1..
    )]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::cli) predictions: Vec<String>,
    /// CPUs of the machine [default: this one's]
    #[arg(long, value_name = "N")]
    #[serde(skip)]
    pub(in crate::cli) cores: Option<usize>,
    /// Memory of the machine, e.g. 64G [default: what is free of this one's]
    #[arg(long, alias = "memory", value_name = "SIZE")]
    #[serde(skip)]
    pub(in crate::cli) mem: Option<String>,
    /// How many at once; several numbers are planned each for itself
    /// [default: as many as there are cores]
    #[arg(short = 'j', long, alias = "workers", value_name = "N", value_delimiter = ',')]
    #[serde(skip)]
    pub(in crate::cli) parallel: Vec<usize>,
    /// What runs first: longest or given; both are planned if both are named
    #[arg(long, value_name = "ORDER", value_delimiter = ',')]
    #[serde(skip)]
    pub(in crate::cli) order: Vec<String>,
    /// Table of durations that counts where this machine knows nothing
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) durations: Option<PathBuf>,
    /// Write what is expected of the instances as a table that `--durations` reads
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[serde(skip)]
    pub(in crate::cli) write: Option<PathBuf>,
    /// Say how a run would be cut into so many shards
    #[arg(long, value_name = "N")]
    #[serde(skip)]
    pub(in crate::cli) shards: Option<usize>,
    /// Where images come from: auto, pull or build
    #[arg(long, value_name = "POLICY")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) images: Option<String>,
    /// Folder of clones
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) repos: Option<PathBuf>,
}

/// Flags of `merge`.
#[derive(Debug, Default, Args, Serialize)]
#[command(after_help = "\
Example:
  evalrun merge reports/nightly-shard-*-of-8

All shards of one cut, each finished, each once; else nothing is written. Exit codes: 7 a shard is missing
or not finished, 2 one is there twice or does not belong to the others.")]
pub(in crate::cli) struct MergeArgs {
    /// The folders of the shards
    #[arg(value_name = "DIR", required = true, value_hint = ValueHint::DirPath)]
    #[serde(skip)]
    pub(in crate::cli) shards: Vec<PathBuf>,
    /// Name of the merged run [default: that of the run they were cut from]
    #[arg(long, alias = "run_id", value_name = "NAME")]
    #[serde(skip)]
    pub(in crate::cli) run_id: Option<String>,
    /// Where the merged run goes
    #[arg(long, alias = "report_dir", value_name = "DIR", value_hint = ValueHint::DirPath)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) report_dir: Option<PathBuf>,
}

/// Flags of `top`.
#[derive(Debug, Default, Args)]
#[command(after_help = "Keys: q ends, up and down (or k and j) move through what runs.")]
pub(in crate::cli) struct TopArgs {
    /// The run: its folder, or its name below the report folder
    #[arg(value_name = "RUN", value_hint = ValueHint::DirPath)]
    pub(in crate::cli) run: PathBuf,
    /// Print it once as text and end; so without a terminal, too
    #[arg(long)]
    pub(in crate::cli) once: bool,
}

/// Flags of `trace`.
#[derive(Debug, Default, Args)]
pub(in crate::cli) struct TraceArgs {
    /// The run's folder
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(in crate::cli) run: PathBuf,
    /// The file to write; `-` for standard output
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, default_value = "-")]
    pub(in crate::cli) to: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum HistoryCommand {
    /// What is known of instances: durations, memory, verdicts, tests that are not to be relied on
    Show(ShowHistoryArgs),
    /// Forget what is old, and verdicts whose files are gone
    Prune {
        /// Forget evaluations older than this, e.g. 90d or 12h
        #[arg(long, value_name = "AGE")]
        older_than: Option<String>,
    },
    /// Write every evaluation as a line of JSON
    Export {
        /// The file to write; `-` for standard output
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, default_value = "-")]
        to: PathBuf,
    },
    /// Take in old runs from their journals
    Import {
        /// Folders of runs
        #[arg(value_name = "DIR", required = true, value_hint = ValueHint::DirPath)]
        runs: Vec<PathBuf>,
    },
}

/// Flags of `history show`.
#[derive(Debug, Default, Args)]
pub(in crate::cli) struct ShowHistoryArgs {
    /// Only these instances: ids or globs
    #[arg(value_name = "ID|GLOB")]
    pub(in crate::cli) instances: Vec<String>,
}
