//! The `evalrun` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = evalrun::sandbox::native::sandbox_init() {
        return code;
    }
    evalrun::cli::run()
}
