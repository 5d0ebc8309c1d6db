//! The native back-end: namespaces, overlays and cgroups of this machine's kernel, no daemon.

use std::process::ExitCode;

/// If this process was started as a helper of the native back-end, does that work and returns its
/// exit code. Must be called first in `main`, before any thread is started.
#[must_use]
pub fn sandbox_init() -> Option<ExitCode> {
    None
}
