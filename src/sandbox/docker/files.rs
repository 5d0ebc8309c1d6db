//! Files for a container, and those that our own code inside carries.

use super::exec::{self, Wanted};
use super::wire::Wire;
use crate::sandbox::carried::Carrier;
use crate::sandbox::native::FileWork;
use crate::sandbox::native::inside::Order;
use crate::sandbox::{ByteStream, Output, Process, SandboxError, Stdin};
use async_trait::async_trait;
use std::path::PathBuf;
use std::sync::Arc;
use tokio_util::io::SyncIoBridge;

/// A directory as a tar stream, made while it is read.
pub(super) fn tar_of_directory(path: PathBuf) -> ByteStream {
    let (reader, writer) = tokio::io::duplex(1 << 16);
    tokio::task::spawn_blocking(move || {
        let mut archive = tar::Builder::new(SyncIoBridge::new(writer));
        archive.follow_symlinks(false);
        // The daemon does not know the sparse form.
        archive.sparse(false);
        // A reader that finds the archive cut off reports it.
        if let Err(error) = archive.append_dir_all(".", path).and_then(|()| archive.finish()) {
            tracing::warn!("reading a root file system: {error}");
        }
    });
    Box::new(reader)
}

#[async_trait]
impl Carrier for Arc<Wire> {
    async fn start(&self, work: FileWork, stdin: &Stdin) -> Result<Process, SandboxError> {
        let wanted = Wanted {
            order: Order::Files(work),
            stdin,
            stdout: &Output::Pipe,
            stderr: &Output::Pipe,
            timeout: None,
        };
        exec::start(self, wanted).await
    }
}
