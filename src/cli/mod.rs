//! The command line: text, flags, colours and files end here; below are values.

mod args;
mod bench;
mod bench_grade;
mod bench_images;
mod budget;
mod calibrate;
mod compare;
mod convert;
mod datasets;
mod dockerfile;
mod doctor;
mod events;
pub mod exit;
mod explain;
mod grade;
mod history;
mod images;
mod leaderboard;
mod merge;
mod parse;
mod places;
mod plan;
mod policy;
mod progress;
mod report;
mod run;
mod runs;
mod settings;
mod shard;
mod sweep;
mod terminal;
mod top;
mod trace;

use anyhow::Context as _;
use args::{Cli, Command};
use clap::{CommandFactory as _, Parser as _};
use exit::Failure;
use settings::{Loaded, Settings};
use std::process::ExitCode;
use terminal::Terminal;

/// What every command gets: the settings, and where to speak.
struct Session {
    settings: Settings,
    terminal: Terminal,
}

/// Parses the command line, does what it says and returns one of the codes of [`exit`].
#[must_use]
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse_from(args::with_default_command(std::env::args_os())) {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { exit::BAD_INPUT } else { exit::FINISHED };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let terminal = Terminal::new(&cli.common);
    match dispatch(cli, &terminal) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            terminal.note(&failure.text());
            failure.exit_code()
        }
    }
}

fn dispatch(cli: Cli, terminal: &Terminal) -> Result<u8, Failure> {
    if let Command::Completions { shell } = cli.command {
        return completions(shell, terminal);
    }
    let loaded = load_settings(&cli)?;
    if cli.common.print_config {
        match terminal.json {
            true => terminal.print_json(&loaded.to_json()),
            false => terminal.print(&loaded.to_toml()),
        }
        return Ok(exit::FINISHED);
    }
    let session = Session { settings: loaded.settings, terminal: terminal.clone() };
    match cli.command {
        Command::Images(command) => images::run(command, &session),
        Command::Datasets(command) => datasets::run(command, &session),
        Command::Bench(args::BenchCommand::Grade(args)) => bench_grade::run(&args, &session),
        Command::Bench(args::BenchCommand::Images(args)) => bench_images::run(&args, &session),
        Command::Calibrate(args) => calibrate::run(&args, &session),
        Command::Grade(args) => grade::run(&args, &session),
        Command::Report(args) => report::run(&args, &session),
        Command::Compare(args) => compare::run(&args, &session),
        Command::Leaderboard(args) => leaderboard::run(&args, &session),
        Command::Explain(args) => explain::run(&args, &session),
        Command::Parse(args) => parse::run(&args, &session),
        Command::Doctor(args) => doctor::run(&args, &session),
        Command::Sweep => sweep::run(&session),
        Command::Plan(args) => plan::run(&args, &session),
        Command::Merge(args) => merge::run(&args, &session),
        Command::Top(args) => top::run(&args, &session),
        Command::Trace(args) => trace::run(&args, &session),
        Command::History(command) => history::run(command, &session),
        Command::Bench(args::BenchCommand::Sandbox(args)) => bench::run(&args, &session),
        Command::Run(_) => run::run(&session),
        Command::Completions { .. } => Ok(exit::FINISHED),
    }
}

fn load_settings(cli: &Cli) -> Result<Loaded, Failure> {
    use args::{DatasetsCommand as Datasets, ImagesCommand as Images};
    let common = &cli.common;
    let environment = |name: &str| std::env::var(name).ok();
    let load =
        |flags: &[&dyn settings::erased::Flags]| settings::load(&common.config, environment, flags);
    match &cli.command {
        Command::Run(args) => load(&[common, args]),
        Command::Grade(args) => load(&[common, args]),
        Command::Plan(args) => load(&[common, args]),
        Command::Merge(args) => load(&[common, args]),
        Command::Report(args) => load(&[common, args]),
        Command::Compare(args) => load(&[common, args]),
        Command::Leaderboard(args) => load(&[common, args]),
        Command::Calibrate(args) => load(&[common, args]),
        Command::Images(Images::Build(args)) => load(&[common, args]),
        Command::Images(Images::Pull(args)) => load(&[common, args]),
        Command::Bench(args::BenchCommand::Images(args)) => load(&[common, args]),
        Command::Images(Images::Export(args)) => load(&[common, args]),
        Command::Datasets(Datasets::Show(args)) => load(&[common, args, &args.named()]),
        Command::Datasets(Datasets::Validate(args)) => load(&[common, args, &args.named()]),
        Command::Datasets(Datasets::Convert(args)) => load(&[common, args, &args.named()]),
        Command::Bench(args::BenchCommand::Sandbox(args)) => load(&[common, args]),
        _ => load(&[common]),
    }
}

fn completions(shell: clap_complete::Shell, terminal: &Terminal) -> Result<u8, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "evalrun", &mut text);
    terminal.print(&String::from_utf8_lossy(&text));
    Ok(exit::FINISHED)
}

/// The runtime of a command that waits for files, processes and the network. Few threads: what
/// takes time happens in sandboxes.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get).min(4);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .context("cannot start the asynchronous runtime")
        .map_err(Failure::broken)
}
