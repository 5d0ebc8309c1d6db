//! What can be typed: every command and flag, and nothing of what they do.

mod images;
mod judging;
mod reporting;
mod scheduling;
mod typed;
mod without_sandboxes;

pub(super) use images::{
    BuildArgs, DockerfileArgs, ExportArgs, ImagesCommand, ImportArgs, PruneArgs, PullArgs,
    RemoveArgs,
};
pub(super) use judging::{CalibrateArgs, JudgingArgs};
pub(super) use reporting::{CompareArgs, Format, LeaderboardArgs, PolicyArgs, ReportArgs};
pub(super) use scheduling::{
    HistoryCommand, MergeArgs, PlanArgs, SchedulingArgs, ShowHistoryArgs, TopArgs, TraceArgs,
};
pub(super) use typed::with_default_command;
pub(super) use without_sandboxes::{
    BenchGradeArgs, ConvertArgs, ExplainArgs, GradeArgs, ParseArgs,
};

use super::bench::args::BenchSandboxArgs;
use clap::{ArgAction, Args, Parser, Subcommand, ValueHint};
use clap_complete::Shell;
use serde::Serialize;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  evalrun run --dataset datasets/mini --predictions gold
  evalrun --parallel 500 --dataset verified --predictions preds.jsonl
  evalrun run -d verified -p preds.jsonl -i 'sympy__*' --limit 20 --repos ~/clones
  evalrun images build -d rows.jsonl --repos ~/clones
  evalrun doctor

`run` may be left out. Exit codes: 0 finished, 1 run broken, 2 bad input, 3 finished but some
instances have no verdict (infra), 4 below --fail-under, 5 a regression (--fail-on-regression), 6 more
infra than --max-infra or --fail-on-infra, 7 a part is missing, 75 stopped by a signal, 130 interrupted; after
the last two the same command continues.";

const RUN_EXAMPLES: &str = "\
Examples:
  evalrun run --dataset datasets/mini --predictions gold
  evalrun run -d verified -p a.jsonl -p b.jsonl --parallel 500 --run-id nightly
  evalrun run -d rows.jsonl -p gold -i 'pallets__flask-*' --repos ~/clones --timeout 900
  evalrun run -d lite -p preds.json --fail-under 0.25 --json

A run with the --run-id of an earlier one continues it: what is finished is not run again.";

/// Runs SWE-bench-style tasks in millisecond sandboxes, grades them and reports.
#[derive(Debug, Parser)]
#[command(name = "evalrun", version, about, after_help = EXAMPLES, propagate_version = true)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Flags of every command.
#[derive(Debug, Args, Serialize)]
pub(super) struct Common {
    /// Folder for images, repositories and downloads [default: the user's cache folder]
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) home: Option<PathBuf>,
    /// Settings file, or the name of one in configs/; may be repeated, later ones win
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[serde(skip)]
    pub(super) config: Vec<PathBuf>,
    /// Use nothing of the network but what the tasks' own settings allow
    #[arg(long, global = true)]
    #[serde(skip_serializing_if = "is_false")]
    pub(super) offline: bool,
    /// Print JSON for programs
    #[arg(long, global = true)]
    #[serde(skip)]
    pub(super) json: bool,
    /// No progress, no table
    #[arg(short, long, global = true)]
    #[serde(skip)]
    pub(super) quiet: bool,
    /// File for a log of all that happens, whatever is said on the terminal
    #[arg(long, global = true, value_name = "FILE", env = "EVALRUN_LOG_FILE", value_hint = ValueHint::FilePath)]
    #[serde(skip)]
    pub(super) log_file: Option<PathBuf>,
    /// Say more; -vv still more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    #[serde(skip)]
    pub(super) verbose: u8,
    /// Print the settings, with where each comes from, and stop
    #[arg(long, global = true)]
    #[serde(skip)]
    pub(super) print_config: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run predictions and write the reports (the default command)
    Run(Box<RunArgs>),
    /// Pull, build, show and remove images
    #[command(subcommand)]
    Images(ImagesCommand),
    /// List, show and validate task lists
    #[command(subcommand)]
    Datasets(DatasetsCommand),
    /// Judge a run anew from its logs, without sandboxes
    Grade(Box<GradeArgs>),
    /// Find out which instances and tests cannot be relied on here, by running what is known
    Calibrate(Box<CalibrateArgs>),
    /// Show a run, from its journal: as a table, CSV, Markdown, one page of HTML, JUnit, …
    Report(Box<ReportArgs>),
    /// Say what was gained and lost between runs, and whether that may be chance
    Compare(Box<CompareArgs>),
    /// Rank models over runs and task lists
    Leaderboard(Box<LeaderboardArgs>),
    /// Say why a prediction has its verdict
    Explain(ExplainArgs),
    /// Read the results of tests out of a log
    Parse(ParseArgs),
    /// Say how long a run will take, and what of CPUs, memory and disk
    Plan(Box<PlanArgs>),
    /// Put the shards of a run together
    Merge(MergeArgs),
    /// Watch a run, from any shell
    Top(TopArgs),
    /// Write the time line of a run, for Perfetto
    Trace(TraceArgs),
    /// What past runs taught: show, forget, export, take in old runs
    #[command(subcommand)]
    History(HistoryCommand),
    /// Measure how fast this machine is
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Say what this machine can do, what is missing and how to mend it
    Doctor(DoctorArgs),
    /// Remove what runs that died left behind
    Sweep,
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Which tasks.
#[derive(Debug, Default, Args, Serialize)]
#[command(next_help_heading = "Tasks")]
pub(super) struct DatasetArgs {
    /// Task list: a file of rows, a folder, a name (verified, lite, …) or a hub id (owner/name)
    #[arg(short, long, alias = "dataset_name", alias = "dataset-name", value_name = "NAME|PATH")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dataset: Option<String>,
    /// Split of the task list
    #[arg(short, long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) split: Option<String>,
    /// Revision on the hub: branch, tag or commit
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) revision: Option<String>,
    /// Folder of recipes, looked at before configs/envs; may be repeated
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) envs: Vec<PathBuf>,
    /// Registry of names
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) registry: Option<PathBuf>,
    /// Only these instances: ids or globs; may be repeated
    #[arg(
        short,
        long = "instance",
        alias = "instance_ids",
        alias = "instance-ids",
        alias = "instances",
        value_name = "ID|GLOB",
        num_args = 1..
    )]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) instances: Vec<String>,
    /// Only instances whose id this regular expression finds
    #[arg(long, value_name = "REGEX")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) filter: Option<String>,
    /// At most so many instances
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) limit: Option<usize>,
    /// Order the instances by this seed before --limit
    #[arg(long, value_name = "SEED")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) shuffle: Option<u64>,
}

/// How registries are reached.
#[derive(Debug, Default, Args, Serialize)]
#[command(next_help_heading = "Images")]
pub(super) struct RegistryArgs {
    /// Platform of images that are pulled, e.g. linux/arm64 [default: this machine's]
    #[arg(long, value_name = "OS/ARCH")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) platform: Option<String>,
    /// Registry to be asked before another: [REGISTRY=]URL, of docker.io without a name; may be repeated
    #[arg(long = "mirror", value_name = "[REGISTRY=]URL")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) mirrors: Vec<String>,
    /// Registry to speak to without TLS, besides those on this machine; may be repeated
    #[arg(long, value_name = "HOST[:PORT]")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) plain_http: Vec<String>,
    /// Layers to download at once
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) downloads: Option<usize>,
}

/// How images are made.
#[derive(Debug, Default, Args, Serialize)]
#[command(next_help_heading = "Images")]
pub(super) struct ImageArgs {
    /// Where images come from: auto (built by recipe where there is one, else pulled), pull or build
    #[arg(long, value_name = "POLICY")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) images: Option<String>,
    #[command(flatten)]
    #[serde(flatten)]
    pub(super) registries: RegistryArgs,
    /// Folder of clones (owner/name, owner__name or owner+name) to take repositories from
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) repos: Option<PathBuf>,
    /// Build images anew
    #[arg(long, alias = "force_rebuild")]
    #[serde(skip_serializing_if = "is_false")]
    pub(super) force_rebuild: bool,
    /// What images may take on disk, e.g. 60G: the least recently used make room, never what is in use
    #[arg(long, value_name = "SIZE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) disk_budget: Option<String>,
    /// Seconds one build step may take
    #[arg(long, value_name = "SECONDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) build_timeout: Option<u64>,
    /// What build steps can reach: none or host
    #[arg(long, value_name = "NETWORK")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) build_network: Option<String>,
    /// How sandboxes are made: native or docker
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) backend: Option<String>,
    /// Where the Docker daemon is: unix://, tcp:// or ssh:// [default: as for docker itself]
    #[arg(long, value_name = "ADDRESS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) docker_host: Option<String>,
    /// Docker's context that says where it is
    #[arg(long, value_name = "NAME", conflicts_with = "docker_host")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) docker_context: Option<String>,
    /// Runtime of containers, e.g. runsc or kata [default: the daemon's]
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) runtime: Option<String>,
    /// The daemon's image that stands for this machine's own files
    #[arg(long, value_name = "IMAGE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) host_image: Option<String>,
    /// How many at once [default: as many as there are cores]
    #[arg(
        short = 'j',
        long,
        alias = "workers",
        alias = "max_workers",
        alias = "max-workers",
        value_name = "N"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parallel: Option<usize>,
}

/// Limits of each sandbox.
#[derive(Debug, Default, Args, Serialize)]
#[command(next_help_heading = "Limits of each sandbox")]
pub(super) struct LimitArgs {
    /// Seconds the tests of one instance may take
    #[arg(short, long, value_name = "SECONDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) timeout: Option<u64>,
    /// Memory, e.g. 4G; none for no limit
    #[arg(long, value_name = "SIZE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) memory: Option<String>,
    /// CPUs, e.g. 2 or 0.5
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cpus: Option<f64>,
    /// Processes and threads
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pids: Option<u32>,
    /// What it may write to its disk, e.g. 10G; none for no limit
    #[arg(long, value_name = "SIZE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) disk: Option<String>,
    /// What holds them to it on disk: quota, watch, or auto for the best there is
    #[arg(long, value_name = "MEANS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) disk_limit: Option<String>,
    /// Where they write: memory, disk, or auto for memory and again on disk if that was too little
    #[arg(long, value_name = "PLACE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) upper: Option<String>,
    /// Output kept of one command; one that writes ten times as much is ended
    #[arg(long, value_name = "SIZE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) output_limit: Option<String>,
    /// What the tests can reach: none or host
    #[arg(long, value_name = "NETWORK")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) network: Option<String>,
}

/// Flags of `run`.
#[derive(Debug, Default, Args, Serialize)]
#[command(after_help = RUN_EXAMPLES)]
pub(super) struct RunArgs {
    #[command(flatten)]
    #[serde(flatten)]
    pub(super) dataset: DatasetArgs,
    /// Predictions: files (.jsonl, .json), folders, `gold` or `empty`; may be repeated
    #[arg(
        short,
        long,
        alias = "predictions_path",
        alias = "predictions-path",
        value_name = "FILE|gold|empty",
        num_args = 1..
    )]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) predictions: Vec<String>,
    /// Name of the run; the name of an earlier run continues it [default: made from task list and time]
    #[arg(long, alias = "run_id", value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) run_id: Option<String>,
    /// Where the reports go, a folder a run
    #[arg(long, alias = "report_dir", value_name = "DIR", value_hint = ValueHint::DirPath)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) report_dir: Option<PathBuf>,
    #[command(flatten)]
    #[serde(flatten)]
    pub(super) images: ImageArgs,
    #[command(flatten)]
    #[serde(flatten)]
    pub(super) limits: LimitArgs,
    /// When a run continues: run again what has changed since, instead of refusing
    #[arg(long, help_heading = "Run")]
    #[serde(skip_serializing_if = "is_false")]
    pub(super) rerun_changed: bool,
    #[command(flatten)]
    #[serde(flatten)]
    pub(super) judging: JudgingArgs,
    #[command(flatten)]
    #[serde(flatten)]
    pub(super) scheduling: SchedulingArgs,
    /// How often trouble of our own is tried again
    #[arg(long, value_name = "N", help_heading = "Run")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) retries: Option<u32>,
    #[command(flatten)]
    #[serde(flatten)]
    pub(super) policy: PolicyArgs,
}

#[derive(Debug, Subcommand)]
pub(super) enum DatasetsCommand {
    /// List the names that are known
    #[command(alias = "ls")]
    List,
    /// Show a task list: its instances, repositories and digest
    Show(Box<ShowArgs>),
    /// Check a task list, and predictions for it, without running anything
    Validate(Box<ValidateArgs>),
    /// Write a task list of any dialect as rows of swebench 5
    Convert(Box<ConvertArgs>),
}

/// Flags of `datasets show`.
#[derive(Debug, Default, Args, Serialize)]
pub(super) struct ShowArgs {
    /// The task list; the same as --dataset
    #[serde(skip)]
    pub(super) name: Option<String>,
    #[command(flatten)]
    #[serde(flatten)]
    pub(super) dataset: DatasetArgs,
}

/// Flags of `datasets validate`.
#[derive(Debug, Default, Args, Serialize)]
pub(super) struct ValidateArgs {
    /// The task list; the same as --dataset
    #[serde(skip)]
    pub(super) name: Option<String>,
    #[command(flatten)]
    #[serde(flatten)]
    pub(super) dataset: DatasetArgs,
    /// Predictions to check as well
    #[arg(short, long, alias = "predictions_path", value_name = "FILE", num_args = 1..)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) predictions: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum BenchCommand {
    /// Megabytes of logs a second, on one core and on all
    Grade(BenchGradeArgs),
    /// Sandboxes made, used and ended a second, beside bare programs, bwrap, crun, runc and docker
    #[command(after_help = super::bench::args::EXAMPLES)]
    Sandbox(Box<BenchSandboxArgs>),
    /// Seconds to pull images, beside `docker pull` of the same; they are taken from the daemon before
    Images(BenchImagesArgs),
}

/// Flags of `bench images`.
#[derive(Debug, Default, Args, Serialize)]
pub(super) struct BenchImagesArgs {
    /// Images that share layers, by name
    #[arg(value_name = "IMAGE", required = true)]
    #[serde(skip)]
    pub(super) images: Vec<String>,
    /// How often; the median counts
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[serde(skip)]
    pub(super) rounds: usize,
    #[command(flatten)]
    #[serde(flatten)]
    pub(super) registries: RegistryArgs,
}

/// Flags of `doctor`.
#[derive(Debug, Default, Args)]
pub(super) struct DoctorArgs {
    /// Look for what dead runs left behind (processes, mounts, cgroups, folders) and for nothing
    /// else; exit with 1 if there is something
    #[arg(long)]
    pub(super) leaks: bool,
}

impl ShowArgs {
    /// The task list where it was named without its flag.
    pub(super) fn named(&self) -> DatasetArgs {
        DatasetArgs { dataset: self.name.clone(), ..DatasetArgs::default() }
    }
}

impl ValidateArgs {
    /// The task list where it was named without its flag.
    pub(super) fn named(&self) -> DatasetArgs {
        DatasetArgs { dataset: self.name.clone(), ..DatasetArgs::default() }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}
