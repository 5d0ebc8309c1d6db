//! The one integration-test binary: a file a subject, a `mod` line for each.

#![expect(clippy::unwrap_used, reason = "what the tests share may panic as they do")]

mod architecture;
mod cli;
mod dataset;
mod grading;
mod kill_resume;
mod mini;
mod run;
