//! Commands that need no sandbox: grading, explaining, parsing, converting, measuring.

use super::DatasetArgs;
use clap::{Args, ValueHint};
use serde::Serialize;
use std::path::PathBuf;

const GRADE_EXAMPLES: &str = "\
Examples:
  evalrun grade reports/nightly -d verified
  evalrun grade logs/run_evaluation/my-run -d verified --integrity official
  evalrun grade logs/run_evaluation/my-run/gpt-5 -d rows.jsonl --in-place
  evalrun grade reports/nightly -d verified --validated reports/gold/gold.gold.json --json

Read are runs of evalrun, and any folder in swebench's layout, of any model, with
<run>/MODEL/INSTANCE/test_output.txt or, of old versions, <instance>.<model>.eval.log.";

const CONVERT_EXAMPLES: &str = "\
Examples:
  evalrun datasets convert swe-rebench.parquet --to rows.jsonl
  evalrun datasets convert tasks/ --to rows.jsonl

Read are rows of SWE-bench 4.x and 5.x, SWE-bench-Live, SWE-rebench, SWE-smith, SWE-bench Pro (with its
run_scripts beside the file), SWE-PolyBench and Multi-SWE-bench, told by their fields, and task directories
of Harbor and Terminal-Bench. `run` and the other commands read the same without converting.";

const PARSE_EXAMPLES: &str = "\
Examples:
  evalrun parse --parser parse_log_pytest test_output.txt
  evalrun parse --parser 'regex:^(?P<status>PASS|FAIL) (?P<name>.+)$' - < log
  evalrun parse --jsonl logs.jsonl
  evalrun parse --list

A log is read as swebench reads it: bytes that are no UTF-8 become U+FFFD, CRLF and a lone CR end a
line. With --jsonl a line may have `hex`, the log's bytes in hexadecimal, in place of `log`, and
`instance_id` and `version`; an answer has `failure` beside `status_map` where the parser gave up.";

/// Flags of `grade`.
#[derive(Debug, Default, Args, Serialize)]
#[command(after_help = GRADE_EXAMPLES)]
pub(in crate::cli) struct GradeArgs {
    /// The run: its folder, or any above MODEL/INSTANCE/test_output.txt
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    #[serde(skip)]
    pub(in crate::cli) path: PathBuf,
    #[command(flatten)]
    #[serde(flatten)]
    pub(in crate::cli) dataset: DatasetArgs,
    /// Whose verdict: official (swebench's, by the text alone), report or strict
    #[arg(long, value_name = "POLICY")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) integrity: Option<String>,
    /// The model, where the folders do not say it
    #[arg(long, value_name = "NAME")]
    #[serde(skip)]
    pub(in crate::cli) model: Option<String>,
    /// The run's name in the reports [default: the folder's]
    #[arg(long, alias = "run_id", value_name = "NAME")]
    #[serde(skip)]
    pub(in crate::cli) run_id: Option<String>,
    /// A report whose resolved_ids are the instances that gold resolves here
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[serde(skip)]
    pub(in crate::cli) validated: Option<PathBuf>,
    /// Where the reports go [default: RUN-graded in the report folder]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    #[serde(skip)]
    pub(in crate::cli) to: Option<PathBuf>,
    /// Write each report.json beside its log
    #[arg(long)]
    #[serde(skip)]
    pub(in crate::cli) in_place: bool,
    /// Write no report
    #[arg(long, conflicts_with_all = ["to", "in_place"])]
    #[serde(skip)]
    pub(in crate::cli) no_write: bool,
    /// Folder of the reports
    #[arg(long, alias = "report_dir", value_name = "DIR", value_hint = ValueHint::DirPath)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) report_dir: Option<PathBuf>,
}

/// Flags of `bench grade`.
#[derive(Debug, Default, Args)]
pub(in crate::cli) struct BenchGradeArgs {
    /// Folder of logs, with a verdicts.jsonl that names each `log` and its `log_parser`
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(in crate::cli) logs: PathBuf,
    /// Read every file of the folder with this parser instead
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) parser: Option<String>,
    /// A Python with the swebench package, whose parsers are measured beside ours
    #[arg(long, value_name = "PROGRAM", value_hint = ValueHint::FilePath)]
    pub(in crate::cli) python: Option<PathBuf>,
}

/// Flags of `explain`.
#[derive(Debug, Default, Args)]
pub(in crate::cli) struct ExplainArgs {
    /// The run's folder
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(in crate::cli) run: PathBuf,
    /// The instance
    #[arg(value_name = "INSTANCE")]
    pub(in crate::cli) instance: String,
    /// Of this model alone
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) model: Option<String>,
}

/// Flags of `datasets convert`.
#[derive(Debug, Default, Args, Serialize)]
#[command(after_help = CONVERT_EXAMPLES)]
pub(in crate::cli) struct ConvertArgs {
    /// The task list; the same as --dataset
    #[serde(skip)]
    pub(in crate::cli) name: Option<String>,
    #[command(flatten)]
    #[serde(flatten)]
    pub(in crate::cli) dataset: DatasetArgs,
    /// The file to write, one row a line; `-` for standard output
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, default_value = "-")]
    #[serde(skip)]
    pub(in crate::cli) to: PathBuf,
}

/// Flags of `parse`.
#[derive(Debug, Default, Args)]
#[command(after_help = PARSE_EXAMPLES)]
pub(in crate::cli) struct ParseArgs {
    /// The log parser: a name, a name with the file it reads (junit-xml:/testbed/report.xml), or
    /// regex:PATTERN
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) parser: Option<String>,
    /// The log; `-` for standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(in crate::cli) file: Option<PathBuf>,
    /// Read a JSON object a line ({id, parser, log}) and write one a line ({id, status_map})
    #[arg(long)]
    pub(in crate::cli) jsonl: bool,
    /// Name the parsers, one a line
    #[arg(long)]
    pub(in crate::cli) list: bool,
    /// The instance the log is of; some parsers ask for it
    #[arg(long, value_name = "ID", default_value = "")]
    pub(in crate::cli) instance: String,
    /// The version of the instance's project, likewise
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(in crate::cli) project_version: String,
}

impl ConvertArgs {
    /// The task list where it was named without its flag.
    pub(in crate::cli) fn named(&self) -> DatasetArgs {
        DatasetArgs { dataset: self.name.clone(), ..DatasetArgs::default() }
    }
}
