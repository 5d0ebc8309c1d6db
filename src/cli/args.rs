//! What can be typed: every command and flag, and nothing of what they do.

mod judging;
mod without_sandboxes;

pub(super) use judging::{CalibrateArgs, JudgingArgs};
pub(super) use without_sandboxes::{
    BenchGradeArgs, ConvertArgs, ExplainArgs, GradeArgs, ParseArgs,
};

use super::bench::args::BenchSandboxArgs;
use clap::{ArgAction, Args, Parser, Subcommand, ValueHint};
use clap_complete::Shell;
use serde::Serialize;
use std::ffi::OsString;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  evalrun run --dataset datasets/mini --predictions gold
  evalrun --parallel 500 --dataset verified --predictions preds.jsonl
  evalrun run -d verified -p preds.jsonl -i 'sympy__*' --limit 20 --repos ~/clones
  evalrun images build -d rows.jsonl --repos ~/clones
  evalrun doctor

`run` may be left out. Exit codes: 0 finished, 1 run broken, 2 bad input, 3 finished but some
instances have no verdict (infra), 4 below --fail-under, 6 more infra than --max-infra,
75 stopped by a signal, 130 interrupted; after the last two the same command continues.";

const RUN_EXAMPLES: &str = "\
Examples:
  evalrun run --dataset datasets/mini --predictions gold
  evalrun run -d verified -p a.jsonl -p b.jsonl --parallel 500 --run-id nightly
  evalrun run -d rows.jsonl -p gold -i 'pallets__flask-*' --repos ~/clones --timeout 900
  evalrun run -d lite -p preds.json --fail-under 0.25 --json

A run with the --run-id of an earlier one continues it: what is finished is not run again.";

const PULL_EXAMPLES: &str = "\
Examples:
  evalrun images pull python:3.12 ghcr.io/owner/image@sha256:…
  evalrun images pull verified --predictions preds.jsonl --parallel 8
  evalrun images pull -d rows.jsonl -i 'sympy__*' --mirror http://cache.lan:5000

Credentials are those of `docker login`. A pull that was interrupted goes on: layers that are
complete are not downloaded again.";

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
    /// Say why a prediction has its verdict
    Explain(ExplainArgs),
    /// Read the results of tests out of a log
    Parse(ParseArgs),
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
    /// How often trouble of our own is tried again
    #[arg(long, value_name = "N", help_heading = "Run")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) retries: Option<u32>,
    /// Exit with 4 if fewer are resolved: a share (0.35) or a percentage (35%)
    #[arg(long, value_name = "SHARE", help_heading = "Run")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fail_under: Option<String>,
    /// Exit with 6 if more instances than this end with trouble of our own
    #[arg(long, value_name = "N", help_heading = "Run")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_infra: Option<usize>,
}

#[derive(Debug, Subcommand)]
pub(super) enum ImagesCommand {
    /// Pull images, or those of a task list, from their registries
    Pull(Box<PullArgs>),
    /// Build the images of a task list
    Build(Box<BuildArgs>),
    /// Take an image from an archive, or from a Docker daemon
    Import(ImportArgs),
    /// Give an image to others: as an archive, to a Docker daemon or to a registry
    Export(ExportArgs),
    /// List the images of the store
    #[command(alias = "ls")]
    List,
    /// Show an image: its layers, size, environment and who needs it
    Show {
        /// Its name or key
        name: String,
    },
    /// Show which image stands on which
    Tree,
    /// Say what the store takes on disk, and what sharing saves
    Du,
    /// Remove what no image needs, and images without names
    Prune(PruneArgs),
    /// Remove images
    Rm(RemoveArgs),
    /// Look whether every layer holds what was written down of it; exit with 1 if not
    Verify {
        /// Compare kinds, modes, owners, times and sizes only; read no content
        #[arg(long)]
        quick: bool,
    },
}

/// Flags of `images prune`.
#[derive(Debug, Default, Args)]
pub(super) struct PruneArgs {
    /// Images with names go too
    #[arg(short, long)]
    pub(super) all: bool,
    /// Only images that were not used for so long: 90s, 30m, 12h, 14d
    #[arg(long, value_name = "TIME")]
    pub(super) unused_for: Option<String>,
    /// Say what would go, and remove nothing
    #[arg(long)]
    pub(super) dry_run: bool,
}

/// Flags of `images rm`.
#[derive(Debug, Default, Args)]
pub(super) struct RemoveArgs {
    /// Names or keys
    #[arg(required = true, value_name = "NAME")]
    pub(super) names: Vec<String>,
    /// Say what would go, and remove nothing
    #[arg(long)]
    pub(super) dry_run: bool,
}

/// Flags of `images pull`.
#[derive(Debug, Default, Args, Serialize)]
#[command(after_help = PULL_EXAMPLES)]
pub(super) struct PullArgs {
    /// Images by name, or task lists by name or path
    #[arg(value_name = "IMAGE|TASKS")]
    #[serde(skip)]
    pub(super) names: Vec<String>,
    #[command(flatten)]
    #[serde(flatten)]
    pub(super) dataset: DatasetArgs,
    /// Pull only what a run of these predictions needs; may be repeated
    #[arg(short, long, alias = "predictions_path", value_name = "FILE|gold", num_args = 1..)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) predictions: Vec<String>,
    /// Images to pull at once [default: as many as there are cores]
    #[arg(short = 'j', long, alias = "workers", alias = "max_workers", value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parallel: Option<usize>,
    #[command(flatten)]
    #[serde(flatten)]
    pub(super) registries: RegistryArgs,
    /// Say which images would be pulled, and pull nothing
    #[arg(long)]
    #[serde(skip)]
    pub(super) dry_run: bool,
}

/// Flags of `images import`.
#[derive(Debug, Default, Args, Serialize)]
pub(super) struct ImportArgs {
    /// A root-fs tar, `docker save` or OCI archive, OCI layout folder, or docker-daemon:NAME
    #[arg(value_hint = ValueHint::AnyPath)]
    #[serde(skip)]
    pub(super) source: String,
    /// Its name in the store [default: the one in the archive]
    #[arg(long)]
    #[serde(skip)]
    pub(super) name: Option<String>,
}

/// Flags of `images export`.
#[derive(Debug, Default, Args, Serialize)]
pub(super) struct ExportArgs {
    /// Its name or key
    #[serde(skip)]
    pub(super) name: String,
    /// FILE.tar (for `docker load` and OCI tools), rootfs:FILE, docker-daemon:NAME or
    /// registry:HOST/NAME:TAG; - for standard output
    #[arg(long, value_name = "PLACE")]
    #[serde(skip)]
    pub(super) to: String,
    #[command(flatten)]
    #[serde(flatten)]
    pub(super) registries: RegistryArgs,
}

/// Flags of `images build`.
#[derive(Debug, Default, Args, Serialize)]
pub(super) struct BuildArgs {
    #[command(flatten)]
    #[serde(flatten)]
    pub(super) dataset: DatasetArgs,
    #[command(flatten)]
    #[serde(flatten)]
    pub(super) images: ImageArgs,
    #[command(flatten)]
    #[serde(skip)]
    pub(super) dockerfile: DockerfileArgs,
    /// Say what would be built, and build nothing
    #[arg(long)]
    #[serde(skip)]
    pub(super) dry_run: bool,
}

/// Flags of `images build CONTEXT`.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Build a Dockerfile")]
pub(super) struct DockerfileArgs {
    /// Folder that COPY and ADD take files from; its Dockerfile is built instead of a task list
    #[arg(value_name = "CONTEXT", value_hint = ValueHint::DirPath, conflicts_with = "dataset")]
    pub(super) context: Option<PathBuf>,
    /// The Dockerfile [default: CONTEXT/Dockerfile]
    #[arg(short = 'f', long, value_name = "FILE", conflicts_with = "dataset")]
    pub(super) file: Option<PathBuf>,
    /// Name of the image; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(super) tag: Vec<String>,
    /// Value of an ARG: NAME=VALUE, or NAME to take it from the environment
    #[arg(long, value_name = "NAME=VALUE")]
    pub(super) build_arg: Vec<String>,
    /// Stage that is wanted [default: the last one]
    #[arg(long, value_name = "STAGE")]
    pub(super) target: Option<String>,
    /// A file for RUN --mount=type=secret: id=NAME,src=FILE
    #[arg(long, value_name = "id=NAME,src=FILE")]
    pub(super) secret: Vec<String>,
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

/// Flags before the command that take a value of their own.
const COMMON_WITH_VALUE: [&str; 2] = ["--home", "--config"];
const COMMON: [&str; 7] =
    ["--offline", "--json", "--quiet", "-q", "--verbose", "-v", "--print-config"];

/// The arguments as clap should see them: `run` put in where no command is named, and the
/// incumbent's one-dash `-id` as `--run-id`.
pub(super) fn with_default_command(typed: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut args: Vec<OsString> = typed
        .into_iter()
        .map(|arg| if arg == "-id" { OsString::from("--run-id") } else { arg })
        .collect();
    let mut at = 1;
    while let Some(arg) = args.get(at).and_then(|arg| arg.to_str()) {
        if COMMON_WITH_VALUE.contains(&arg) {
            at += 2;
        } else if COMMON.contains(&arg)
            || arg.strip_prefix("-v").is_some_and(|more| more.chars().all(|c| c == 'v'))
            || COMMON_WITH_VALUE
                .iter()
                .any(|flag| arg.strip_prefix(flag).is_some_and(|rest| rest.starts_with('=')))
        {
            at += 1;
        } else {
            break;
        }
    }
    let named = match args.get(at).and_then(|arg| arg.to_str()) {
        // Nothing but flags of every command: with some, a run of what the settings name.
        None => args.len() == 1,
        Some("-h" | "--help" | "-V" | "--version") => true,
        Some(arg) => !arg.starts_with('-'),
    };
    if !named {
        args.insert(1, OsString::from("run"));
    }
    args
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(args: &str) -> Result<Cli, clap::Error> {
        let args = args.split_whitespace().map(OsString::from);
        Cli::try_parse_from(with_default_command(std::iter::once("evalrun".into()).chain(args)))
    }

    fn run(args: &str) -> RunArgs {
        match parse(args).unwrap().command {
            Command::Run(run) => *run,
            other => panic!("`{args}` gave {other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn run_may_be_left_out() {
        for args in [
            "run --parallel 500 --dataset verified --predictions p.jsonl",
            "--parallel 500 --dataset verified --predictions p.jsonl",
            "-v --home /h --json --parallel 500 -d verified -p p.jsonl",
            "-vv --home=/h -j500 -d verified -p p.jsonl",
        ] {
            let run = run(args);
            assert_eq!(run.images.parallel, Some(500), "{args}");
            assert_eq!(run.dataset.dataset.as_deref(), Some("verified"), "{args}");
            assert_eq!(run.predictions, ["p.jsonl"], "{args}");
        }
        assert!(matches!(parse("-v doctor").unwrap().command, Command::Doctor(_)));
        assert!(matches!(parse("--home /h sweep").unwrap().command, Command::Sweep));
    }

    #[test]
    fn the_names_that_users_of_the_incumbent_know_are_understood() {
        let run = run("--dataset_name lite --predictions_path gold --max_workers 3 -id nightly \
             --instance_ids a__a-1 b__b-2 -i c__* --report_dir out -t 60 -s dev");
        assert_eq!(run.run_id.as_deref(), Some("nightly"));
        assert_eq!(run.dataset.instances, ["a__a-1", "b__b-2", "c__*"]);
        assert_eq!(run.images.parallel, Some(3));
        assert_eq!(run.limits.timeout, Some(60));
        assert_eq!(run.dataset.split.as_deref(), Some("dev"));
        assert_eq!(run.report_dir.as_deref(), Some(std::path::Path::new("out")));
    }

    #[test]
    fn help_and_version_belong_to_the_program() {
        for args in ["--help", "-h", "--version", "-V"] {
            let error = parse(args).unwrap_err();
            assert!(!error.use_stderr(), "{args}: {error}");
        }
        assert!(parse("").unwrap_err().to_string().contains("Usage: evalrun"));
        assert!(parse("frobnicate").is_err());
    }
}
