//! What every sandbox begins as: the part of `evalrun` that makes sandboxes and is pid 1 in them,
//! as a program of its own, because every sandbox starts as a copy of it. `evalrun` starts it; where
//! it is not beside `evalrun`, that does the same work at more cost.

use std::process::ExitCode;

fn main() -> ExitCode {
    evalrun::sandbox::native::sandbox_init().unwrap_or(ExitCode::FAILURE)
}
