//! How a run's results are judged.

use clap::Args;
use serde::Serialize;

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
}
