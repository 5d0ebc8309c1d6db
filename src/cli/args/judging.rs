//! How a run's results are judged.

use super::{DatasetArgs, ImageArgs, LimitArgs};
use clap::{Args, ValueHint};
use serde::Serialize;
use std::path::PathBuf;

/// How results are judged.
#[derive(Debug, Default, Args, Serialize)]
#[command(next_help_heading = "Judging")]
pub(in crate::cli) struct JudgingArgs {
    /// Whose verdict: official (swebench's, by the text alone), report (the same for honest logs,
    /// with a block of signs of forging) or strict (what is forged is not resolved)
    #[arg(long, value_name = "POLICY")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) integrity: Option<String>,
    /// Call the runner once more on tests whose results are known; strict always does
    #[arg(long)]
    #[serde(skip_serializing_if = "super::is_false")]
    pub(in crate::cli) canary: bool,
    /// Run failing expected tests again up to N times, in fresh sandboxes; the verdict stays, and
    /// what passes then is told as `resolved (flaky)`
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) rerun_failed: Option<u32>,
    /// File of `evalrun calibrate` to quote [default: that of the home folder, if there is one]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) calibration: Option<PathBuf>,
}

const CALIBRATE_EXAMPLES: &str = "\
Examples:
  evalrun calibrate -d datasets/mini --times 3
  evalrun calibrate -d verified -i 'sympy__*' --to host.json

Each instance runs so many times with its reference solution, and so many times unchanged. What was
not the same each time, or not as it should be, is written down by instance and test; later runs
quote it beside their verdicts, and count instances that the reference solution resolves here apart.";

/// Flags of `calibrate`.
#[derive(Debug, Default, Args, Serialize)]
#[command(after_help = CALIBRATE_EXAMPLES)]
pub(in crate::cli) struct CalibrateArgs {
    #[command(flatten)]
    #[serde(flatten)]
    pub(in crate::cli) dataset: DatasetArgs,
    /// How often each side runs
    #[arg(short = 'N', long, value_name = "N", default_value_t = 3)]
    #[serde(skip)]
    pub(in crate::cli) times: u32,
    /// The file to add to [default: calibration-v1.json in the home folder]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[serde(skip)]
    pub(in crate::cli) to: Option<PathBuf>,
    /// Name of the run; the name of an earlier one continues it
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) run_id: Option<String>,
    /// Where the reports go, a folder a run
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) report_dir: Option<PathBuf>,
    #[command(flatten)]
    #[serde(flatten)]
    pub(in crate::cli) images: ImageArgs,
    #[command(flatten)]
    #[serde(flatten)]
    pub(in crate::cli) limits: LimitArgs,
}
