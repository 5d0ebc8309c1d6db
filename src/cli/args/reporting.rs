//! What is made of runs that are there.

use clap::{Args, ValueEnum, ValueHint};
use serde::Serialize;
use std::path::PathBuf;

const REPORT_EXAMPLES: &str = "\
Examples:
  evalrun report nightly
  evalrun report nightly --format html --to nightly.html
  evalrun report reports/nightly --format junit --to junit.xml
  evalrun report nightly --format github --fail-under 40% --fail-on-regression reports/main
  evalrun report nightly --format swebench --to evaluation/verified/20260301_my-agent

A run is its folder, or its name below the report folder; it may still be running, or be old. With
--format github the summary goes to $GITHUB_STEP_SUMMARY, where that is set, and annotations to
standard output. Exit codes: 4 below --fail-under, 5 a regression, 6 more infra than allowed, 7 a policy
was named and the run is not complete.";

/// When a run is no success for CI.
#[derive(Debug, Default, Args, Serialize)]
#[command(next_help_heading = "Policies for CI")]
pub(in crate::cli) struct PolicyArgs {
    /// Exit with 4 if fewer are resolved: a share (0.35) or a percentage (35%)
    #[arg(long, value_name = "SHARE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) fail_under: Option<String>,
    /// Exit with 5 if something that this run resolved is not resolved any more: a run's folder, or a
    /// report in SWE-bench's form; what flakiness explains is told, and does not count
    #[arg(long, value_name = "BASELINE", value_hint = ValueHint::AnyPath)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) fail_on_regression: Option<PathBuf>,
    /// Exit with 6 if a larger share than this ends with trouble of our own: 0.02 or 2%
    #[arg(long, value_name = "SHARE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) fail_on_infra: Option<String>,
    /// Exit with 6 if more predictions than this end with trouble of our own
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) max_infra: Option<usize>,
}

/// In which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Format {
    /// For people, in a terminal
    Table,
    /// For programs: all figures, and a row for every attempt
    Json,
    /// A row for every instance and attempt
    Csv,
    /// For pull requests and issues
    Markdown,
    /// One page with everything in it, for a browser
    Html,
    /// For CI servers
    Junit,
    /// The layout of a submission to SWE-bench's leaderboard
    Swebench,
    /// A step's summary and annotations for GitHub Actions
    Github,
}

/// Flags of `report`.
#[derive(Debug, Args, Serialize)]
#[command(after_help = REPORT_EXAMPLES)]
pub(in crate::cli) struct ReportArgs {
    /// The run: its folder, or its name
    #[arg(value_name = "RUN", value_hint = ValueHint::DirPath)]
    #[serde(skip)]
    pub(in crate::cli) run: PathBuf,
    /// The form
    #[arg(short, long, value_enum, default_value = "table")]
    #[serde(skip)]
    pub(in crate::cli) format: Format,
    /// The file to write, `-` for standard output; for swebench a folder
    #[arg(long, value_name = "FILE", value_hint = ValueHint::AnyPath)]
    #[serde(skip)]
    pub(in crate::cli) to: Option<PathBuf>,
    /// For swebench: the model that is submitted, if there are several
    #[arg(long, value_name = "NAME")]
    #[serde(skip)]
    pub(in crate::cli) model: Option<String>,
    #[command(flatten)]
    #[serde(flatten)]
    pub(in crate::cli) policy: PolicyArgs,
    /// File of `evalrun calibrate` to quote [default: that of the home folder, if there is one]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) calibration: Option<PathBuf>,
    /// Folder of the reports
    #[arg(long, alias = "report_dir", value_name = "DIR", value_hint = ValueHint::DirPath)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) report_dir: Option<PathBuf>,
}

const LEADERBOARD_EXAMPLES: &str = "\
Examples:
  evalrun leaderboard reports/* --html --to leaderboard.html
  evalrun leaderboard nightly main --markdown
  evalrun leaderboard reports/* --csv --costs costs.json

Without a form a table in Markdown is printed. --costs names a JSON object of dollars by model.";

/// Flags of `leaderboard`.
#[derive(Debug, Args, Serialize)]
#[command(after_help = LEADERBOARD_EXAMPLES)]
pub(in crate::cli) struct LeaderboardArgs {
    /// The runs: their folders, or their names; folders without a journal are passed over
    #[arg(value_name = "RUN", required = true, value_hint = ValueHint::DirPath)]
    #[serde(skip)]
    pub(in crate::cli) runs: Vec<PathBuf>,
    /// One static page
    #[arg(long, group = "form")]
    #[serde(skip)]
    pub(in crate::cli) html: bool,
    /// A row a model and task list
    #[arg(long, group = "form")]
    #[serde(skip)]
    pub(in crate::cli) csv: bool,
    /// A table a task list
    #[arg(long, group = "form")]
    #[serde(skip)]
    pub(in crate::cli) markdown: bool,
    /// The file to write [default: standard output]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[serde(skip)]
    pub(in crate::cli) to: Option<PathBuf>,
    /// What each model cost: a JSON object of dollars by model
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[serde(skip)]
    pub(in crate::cli) costs: Option<PathBuf>,
    /// Folder of the reports
    #[arg(long, alias = "report_dir", value_name = "DIR", value_hint = ValueHint::DirPath)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) report_dir: Option<PathBuf>,
}

const COMPARE_EXAMPLES: &str = "\
Examples:
  evalrun compare reports/main reports/nightly
  evalrun compare gpt.main.json nightly --markdown
  evalrun compare both-models
  evalrun compare a b c --json

The first is what the others are compared with: the same model of both, or, where each has only one, those.
Of a single run its models are compared with its first. Counted are first attempts at instances that both
have; what ended with trouble of our own is left out.";

/// Flags of `compare`.
#[derive(Debug, Args, Serialize)]
#[command(after_help = COMPARE_EXAMPLES)]
pub(in crate::cli) struct CompareArgs {
    /// Runs (folders or names), or reports in SWE-bench's form
    #[arg(value_name = "RUN", required = true, value_hint = ValueHint::AnyPath)]
    #[serde(skip)]
    pub(in crate::cli) runs: Vec<PathBuf>,
    /// Print Markdown
    #[arg(long)]
    #[serde(skip)]
    pub(in crate::cli) markdown: bool,
    /// File of `evalrun calibrate` that tells what is flaky [default: that of the home folder]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) calibration: Option<PathBuf>,
    /// Folder of the reports
    #[arg(long, alias = "report_dir", value_name = "DIR", value_hint = ValueHint::DirPath)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) report_dir: Option<PathBuf>,
}
