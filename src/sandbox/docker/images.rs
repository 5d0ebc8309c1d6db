//! Images of the daemon's, to and from archives.

use super::{DockerBackend, failed};
use crate::sandbox::SandboxError;
use futures_util::StreamExt as _;
use std::path::Path;
use tokio::io::AsyncWriteExt as _;
use tokio_util::io::ReaderStream;

impl DockerBackend {
    /// Writes an image of the daemon's as `docker save` does.
    ///
    /// # Errors
    /// The daemon has no such image, or fails; the file cannot be written.
    pub async fn save(&self, name: &str, path: &Path) -> Result<(), SandboxError> {
        let write = || SandboxError::step("save an image");
        let mut file = fs_err::tokio::File::create(path).await.map_err(write())?;
        let mut pieces = self.daemon.docker.export_image(name).boxed();
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| failed("save an image", error))?;
            file.write_all(&piece).await.map_err(write())?;
        }
        file.flush().await.map_err(write())
    }

    /// Gives the daemon an archive as `docker load` does.
    ///
    /// # Errors
    /// The daemon refuses it, or fails; the file cannot be read.
    pub async fn load_archive(&self, path: &Path) -> Result<(), SandboxError> {
        let file = fs_err::tokio::File::open(path).await;
        let file = file.map_err(SandboxError::step("load an archive"))?;
        let options = bollard::query_parameters::ImportImageOptions::default();
        let docker = &self.daemon.docker;
        let mut answers =
            docker.import_image_stream(options, ReaderStream::new(file), None).boxed();
        while let Some(answer) = answers.next().await {
            answer.map_err(|error| failed("load an archive", error))?;
        }
        Ok(())
    }
}
