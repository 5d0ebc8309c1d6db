//! The one integration-test binary: a file a subject, a `mod` line for each.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "what the tests share may panic and say why, as they do"
)]

mod architecture;
mod cli;
mod compiled;
mod conformance;
mod dataset;
mod docker;
mod docker_trouble;
mod dockerfiles;
mod engine;
mod grading;
mod history;
mod hostile;
mod images;
mod kill_resume;
mod layers;
mod mini;
mod ordinary;
mod registry;
mod reports;
mod rootless;
mod run;
mod store;
mod task_repo;
mod uppers;
mod without_sandboxes;
