//! The commands of `images` and their flags.

use super::{DatasetArgs, ImageArgs, RegistryArgs};
use clap::{Args, Subcommand, ValueHint};
use serde::Serialize;
use std::path::PathBuf;

const PULL_EXAMPLES: &str = "\
Examples:
  evalrun images pull python:3.12 ghcr.io/owner/image@sha256:…
  evalrun images pull verified --predictions preds.jsonl --parallel 8
  evalrun images pull -d rows.jsonl -i 'sympy__*' --mirror http://cache.lan:5000

Credentials are those of `docker login`. A pull that was interrupted goes on: layers that are
complete are not downloaded again.";

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ImagesCommand {
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
pub(in crate::cli) struct PruneArgs {
    /// Images with names go too
    #[arg(short, long)]
    pub(in crate::cli) all: bool,
    /// Only images that were not used for so long: 90s, 30m, 12h, 14d
    #[arg(long, value_name = "TIME")]
    pub(in crate::cli) unused_for: Option<String>,
    /// Say what would go, and remove nothing
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
}

/// Flags of `images rm`.
#[derive(Debug, Default, Args)]
pub(in crate::cli) struct RemoveArgs {
    /// Names or keys
    #[arg(required = true, value_name = "NAME")]
    pub(in crate::cli) names: Vec<String>,
    /// Say what would go, and remove nothing
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
}

/// Flags of `images pull`.
#[derive(Debug, Default, Args, Serialize)]
#[command(after_help = PULL_EXAMPLES)]
pub(in crate::cli) struct PullArgs {
    /// Images by name, or task lists by name or path
    #[arg(value_name = "IMAGE|TASKS")]
    #[serde(skip)]
    pub(in crate::cli) names: Vec<String>,
    #[command(flatten)]
    #[serde(flatten)]
    pub(in crate::cli) dataset: DatasetArgs,
    /// Pull only what a run of these predictions needs; may be repeated
    #[arg(short, long, alias = "predictions_path", value_name = "FILE|gold", num_args = 1..)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::cli) predictions: Vec<String>,
    /// Images to pull at once [default: as many as there are cores]
    #[arg(short = 'j', long, alias = "workers", alias = "max_workers", value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) parallel: Option<usize>,
    #[command(flatten)]
    #[serde(flatten)]
    pub(in crate::cli) registries: RegistryArgs,
    /// Say which images would be pulled, and pull nothing
    #[arg(long)]
    #[serde(skip)]
    pub(in crate::cli) dry_run: bool,
}

/// Flags of `images import`.
#[derive(Debug, Default, Args, Serialize)]
pub(in crate::cli) struct ImportArgs {
    /// A root-fs tar, `docker save` or OCI archive, OCI layout folder, or docker-daemon:NAME
    #[arg(value_hint = ValueHint::AnyPath)]
    #[serde(skip)]
    pub(in crate::cli) source: String,
    /// Its name in the store [default: the one in the archive]
    #[arg(long)]
    #[serde(skip)]
    pub(in crate::cli) name: Option<String>,
}

/// Flags of `images export`.
#[derive(Debug, Default, Args, Serialize)]
pub(in crate::cli) struct ExportArgs {
    /// Its name or key
    #[serde(skip)]
    pub(in crate::cli) name: String,
    /// FILE.tar (for `docker load` and OCI tools), rootfs:FILE, `docker-daemon:[NAME]` or
    /// `registry:[HOST/NAME:TAG]`, by its own name where none is given; - for standard output
    #[arg(long, value_name = "PLACE")]
    #[serde(skip)]
    pub(in crate::cli) to: String,
    #[command(flatten)]
    #[serde(flatten)]
    pub(in crate::cli) registries: RegistryArgs,
}

/// Flags of `images build`.
#[derive(Debug, Default, Args, Serialize)]
pub(in crate::cli) struct BuildArgs {
    #[command(flatten)]
    #[serde(flatten)]
    pub(in crate::cli) dataset: DatasetArgs,
    #[command(flatten)]
    #[serde(flatten)]
    pub(in crate::cli) images: ImageArgs,
    #[command(flatten)]
    #[serde(skip)]
    pub(in crate::cli) dockerfile: DockerfileArgs,
    /// Say what would be built, and build nothing
    #[arg(long)]
    #[serde(skip)]
    pub(in crate::cli) dry_run: bool,
}

/// Flags of `images build CONTEXT`.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Build a Dockerfile")]
pub(in crate::cli) struct DockerfileArgs {
    /// Folder that COPY and ADD take files from; its Dockerfile is built instead of a task list
    #[arg(value_name = "CONTEXT", value_hint = ValueHint::DirPath, conflicts_with = "dataset")]
    pub(in crate::cli) context: Option<PathBuf>,
    /// The Dockerfile [default: CONTEXT/Dockerfile]
    #[arg(short = 'f', long, value_name = "FILE", conflicts_with = "dataset")]
    pub(in crate::cli) file: Option<PathBuf>,
    /// Name of the image; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) tag: Vec<String>,
    /// Value of an ARG: NAME=VALUE, or NAME to take it from the environment
    #[arg(long, value_name = "NAME=VALUE")]
    pub(in crate::cli) build_arg: Vec<String>,
    /// Stage that is wanted [default: the last one]
    #[arg(long, value_name = "STAGE")]
    pub(in crate::cli) target: Option<String>,
    /// A file for RUN --mount=type=secret: id=NAME,src=FILE
    #[arg(long, value_name = "id=NAME,src=FILE")]
    pub(in crate::cli) secret: Vec<String>,
}
