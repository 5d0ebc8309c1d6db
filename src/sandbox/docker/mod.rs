//! The Docker back-end: a container a sandbox, an image of the daemon's a layer key. The only
//! folder that names bollard.
//!
//! # Theory of operation
//!
//! Docker's interface can start a command in a container and cannot end it, tells exit codes and no
//! signals, and takes a good part of a second for each. So it is asked only for containers. The
//! first process in each is our own ([`inside`](super::native::inside)), brought along in a volume
//! ([`helper`]) so that it runs in any image; it serves as pid 1 of a native sandbox does, and talks to us over
//! the container's standard streams ([`wire`]), which the daemon carries. Commands, files, signals
//! and what the container's cgroup counts go that way, some thousand a second.
//!
//! The daemon may be slow, lose connections or be started again. What it is asked for has deadlines
//! of our own and is asked again ([`daemon`]); a broken stream is joined again, and goes on where it
//! broke. What does not come back is [`SandboxError::Lost`](super::SandboxError::Lost): never a verdict.
//!
//! Images are tagged `evalrun:<key>`. Containers and volumes carry the process that made them in a
//! label and in their name ([`owner`]), so that a later run can tell what nobody needs any more. A
//! container is killed, never asked to stop, and removed behind everybody's back ([`reaper`]).

mod backend;
mod connect;
mod container;
mod daemon;
mod exec;
mod files;
mod helper;
mod images;
mod leftovers;
mod owner;
mod place;
mod reaper;
mod sandbox;
mod streams;
mod warm;
mod wire;

pub use backend::{DockerBackend, DockerOptions};
pub use daemon::Deadlines;
pub use place::DockerPlace;

use crate::layers::ImageKey;

/// The name that all images made here share; the tag is the key.
const REPOSITORY: &str = "evalrun";

fn image_name(image: &ImageKey) -> String {
    format!("{REPOSITORY}:{image}")
}
