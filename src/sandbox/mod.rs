//! Sandboxes: create, exec, stream, copy, snapshot, terminate. The traits say what a sandbox does;
//! `native` and later back-ends say how.

mod carried;
mod command;
pub mod docker;
mod error;
pub mod fake;
pub mod native;

pub use command::{ByteSink, ByteStream, Command, Output, Process, ProcessControl, Stdin};
pub use error::SandboxError;

use crate::layers::{ImageConfig, ImageKey, LayerKey};
use crate::model::{Disk, Usage};
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncRead;

/// A way to make sandboxes.
#[async_trait]
pub trait Backend: Send + Sync {
    /// Its name on the command line: `native`, `docker`, `fake`.
    fn name(&self) -> &'static str;
    /// What it cannot enforce on this machine, in words for reports; empty where all is enforced.
    fn caveats(&self) -> Vec<String>;
    /// Whether sandboxes can be made from this image now.
    async fn contains(&self, image: &ImageKey) -> Result<bool, SandboxError>;
    /// Takes a root file system in, as an image of one layer under this key. Done already: no work.
    async fn import(
        &self,
        key: LayerKey,
        root: Root,
        config: &ImageConfig,
    ) -> Result<ImageKey, SandboxError>;
    /// An image that the back-end has of its own under this name, whoever put it there, to be used
    /// as it is. A back-end may have none.
    async fn named(&self, name: &str) -> Result<Option<NamedImage>, SandboxError> {
        let _ = name;
        Ok(None)
    }
    /// A new sandbox from an image.
    async fn create(
        &self,
        image: &ImageKey,
        options: &SandboxOptions,
    ) -> Result<Arc<dyn Sandbox>, SandboxError>;
    /// Whether making a sandbox takes so long that it is worth beginning before the one that is
    /// needed next is asked for, with [`Backend::make_ready`].
    fn starts_slowly(&self) -> bool {
        false
    }
    /// Makes sandboxes ahead of need until `count` of this kind stand ready: who then creates one of
    /// the same image, limits, network, mounts and upper gets it at once. With 0 those that stand
    /// ready are ended, as they are by [`Backend::close`]. A back-end may make none.
    async fn make_ready(
        &self,
        image: &ImageKey,
        options: &SandboxOptions,
        count: usize,
    ) -> Result<(), SandboxError> {
        let _ = (image, options, count);
        Ok(())
    }
    /// The flattened root file system of an image as a tar stream.
    async fn export(&self, image: &ImageKey) -> Result<ByteStream, SandboxError>;
    /// Takes an image away; layers that others use stay.
    async fn remove(&self, image: &ImageKey) -> Result<(), SandboxError>;
    /// Removes what runs that died left behind; returns how many things.
    async fn sweep(&self) -> Result<usize, SandboxError>;
    /// Waits until every dropped sandbox is gone.
    async fn close(&self);
}

/// One sandbox. Dropping it queues it for termination; [`Backend::close`] waits for that.
#[async_trait]
pub trait Sandbox: Send + Sync {
    /// Starts a command. Any number may run at once.
    async fn exec(&self, command: &Command) -> Result<Process, SandboxError>;
    /// Writes a file, or unpacks a tree, at an absolute path inside. Missing parents are made.
    async fn copy_in(&self, path: &str, content: Content) -> Result<(), SandboxError>;
    /// Reads a file (or a tree, as tar) of at most `limit` bytes from an absolute path inside.
    async fn copy_out(&self, path: &str, limit: u64) -> Result<Content, SandboxError>;
    /// Freezes the file system as an image. With `key` the layer is stored under it, else under
    /// one made up for it. `last`: nothing is done in this sandbox afterwards, so its files may be
    /// moved instead of copied.
    async fn snapshot(
        &self,
        key: Option<LayerKey>,
        config: &ImageConfig,
        last: bool,
    ) -> Result<ImageKey, SandboxError>;
    /// Where it keeps what it writes, what limits that, and whether memory for it ran short so far.
    fn disk(&self) -> Disk {
        Disk::default()
    }
    /// Ends every process inside and removes the sandbox. Safe to call again.
    async fn terminate(&self) -> Result<Usage, SandboxError>;
}

/// An image that a back-end has of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedImage {
    /// Its key, from now on.
    pub key: ImageKey,
    /// How programs start in it.
    pub config: ImageConfig,
}

/// Where an imported root file system comes from.
pub enum Root {
    /// This machine's own programs, bound read-only, with an allow-list of `/etc`.
    Host,
    /// A tar stream of a root file system, not compressed.
    Tar(ByteStream),
    /// A directory that holds one; it is copied.
    Directory(PathBuf),
    /// A root-fs tar, `docker save` or OCI archive (plain, gzip or zstd).
    Archive(PathBuf),
}

/// What is written into or read from a sandbox.
pub enum Content {
    /// A file and its permission bits.
    File {
        /// The bytes.
        bytes: Bytes,
        /// Permission bits, e.g. `0o644`.
        mode: u32,
    },
    /// A directory tree as a tar stream, not compressed.
    Tar(Box<dyn AsyncRead + Send + Unpin>),
}

/// Limits of one sandbox. `None`: no limit of ours.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Memory in bytes, `/tmp` and other in-memory file systems included; swap is off.
    pub memory: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u32>,
    /// CPUs, in thousandths of one.
    pub cpu_millis: Option<u32>,
    /// Bytes it may write to its file system.
    pub disk: Option<u64>,
    /// Bytes of output kept of one command; a command that writes ten times as much is ended.
    pub output: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: Some(4 << 30),
            pids: Some(1024),
            cpu_millis: None,
            disk: Some(10 << 30),
            output: 64 << 20,
        }
    }
}

/// What a sandbox can reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// Only itself, by its loopback device.
    #[default]
    None,
    /// All that this machine reaches, in its own network namespace; its `resolv.conf` and its
    /// certificate bundle are there too.
    Host,
}

/// A directory or file of this machine shown inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where it is on this machine.
    pub source: PathBuf,
    /// Where it is shown: an absolute path inside; made if missing.
    pub target: String,
    /// Whether the sandbox may write to it.
    pub writable: bool,
}

/// Where a sandbox keeps what it writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Upper {
    /// In the store's file system.
    #[default]
    Disk,
    /// In memory and counted as such: at most `Limits::disk`, and half of `Limits::memory`.
    Memory,
    /// In memory where that can be had, for what is expected to write little. Whoever asks for this
    /// looks at [`Sandbox::disk`] afterwards, and does the same again on disk if it ran short.
    Auto,
}

/// How to make a sandbox.
#[derive(Clone, Debug, Default)]
pub struct SandboxOptions {
    /// Its limits.
    pub limits: Limits,
    /// What it can reach.
    pub network: Network,
    /// Environment variables of every command, over those of the image.
    pub env: BTreeMap<String, String>,
    /// Shown inside.
    pub mounts: Vec<Mount>,
    /// Where it writes.
    pub upper: Upper,
    /// Ended by us after this time, whatever it does.
    pub lifetime: Option<Duration>,
    /// What it is for (`run`, `instance`, `attempt`), for `ps`, labels and leak reports.
    pub labels: BTreeMap<String, String>,
}
