//! The native back-end: namespaces, overlays and cgroups of this machine's kernel, no daemon.
//!
//! # Theory of operation
//!
//! Three kinds of process take part.
//!
//! - The **keeper** is this process: it never forks. It decides what a sandbox consists of
//!   ([`setup`]), makes its cgroups ([`cgroup`]) and directories, carries output, keeps time, counts,
//!   kills, and clears away ([`keeper`], [`handle`], [`watch`]).
//! - The **zygote** is a program of its own, or ours started once more; it runs from a sealed copy in
//!   memory, small and single-threaded ([`zygote`]). Asked by the keeper ([`launcher`]) it assembles a root as a tree
//!   of mounts attached nowhere ([`root`], [`overlay`]; [`ways`] on older kernels), enters a network namespace, new or of the keeper's pool ([`netns`]), and
//!   clones a child into new user, mount, pid, ipc and uts namespaces.
//! - That child is **pid 1** of a sandbox. It does what was decided ([`init`]): joins its cgroups,
//!   becomes root inside, attaches the root and leaves the old one, gives up capabilities, loads the
//!   filter of system calls ([`seccomp`]). Then it serves ([`serve`]): starts commands, any number at
//!   once, tells how they ended, reaps.
//!
//! They talk in packets with descriptors beside them ([`proto`]). When the keeper dies its sockets
//! close and everything else ends; when the zygote dies the kernel ends its children.
//!
//! Root inside is uid 100000 outside. Layers and uppers are seen through an id-mapped mount, so
//! files on disk keep the owners they have inside. An ordinary user has no such range: then root
//! inside is that user and nobody else exists; calls for others succeed all the same, and pid 1 writes down
//! who was meant ([`pretend`]). Overlays then mark deletions in `user.*` attributes.
//!
//! Everything in a sandbox dies with its pid 1, by the kernel's rules of pid namespaces; its mounts
//! go with its mount namespace, its memory file systems with those. What is left to clear away is
//! its directory, its cgroups and its place in the pool of network namespaces.

mod backend;
mod binds;
mod birth;
mod cgroup;
mod copy;
mod den;
mod files;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzzed;
mod handle;
mod init;
pub(in crate::sandbox) mod inside;
mod keeper;
mod launcher;
mod leftovers;
mod netns;
mod network;
mod overlay;
mod pretend;
mod probe;
mod processes;
mod proto;
mod quota;
mod reaper;
mod root;
mod sandbox;
mod seccomp;
mod serve;
mod setup;
mod spread;
mod streams;
mod stubs;
mod sys;
mod users;
mod warm;
mod watch;
mod watch_disk;
mod ways;
mod zygote;

pub use backend::{NativeBackend, NativeOptions};
pub use leftovers::leaks;
pub use probe::{Probe, probe};
pub use ways::Way;

pub(super) use files::{FILE_HEADER, TOO_LARGE, TREE_HEADER};
pub(super) use launcher::find_helpers;
pub(super) use proto::FileWork;

use super::SandboxError;
use proto::Fault;
use std::process::ExitCode;

/// If this process was started as a helper of a back-end, does that work and returns its
/// exit code. Must be called first in `main`, before any thread is started.
#[must_use]
pub fn sandbox_init() -> Option<ExitCode> {
    zygote::run_if_asked().or_else(inside::run_if_asked)
}

/// What failed in a helper, as an error of ours.
fn failed(fault: &Fault) -> SandboxError {
    SandboxError::System {
        step: fault.step.clone(),
        source: std::io::Error::from_raw_os_error(fault.errno),
    }
}
