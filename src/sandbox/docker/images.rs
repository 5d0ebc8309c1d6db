//! Images of the daemon's: taken in, found by their own names, and to and from archives.

use super::backend::DockerBackend;
use super::daemon::{failed, is_not_found};
use super::{REPOSITORY, container, image_name};
use crate::layers::{ImageConfig, ImageKey, LayerKey};
use crate::model::Digest;
use crate::sandbox::{ByteStream, NamedImage, SandboxError};
use bollard::query_parameters::{
    CreateImageOptionsBuilder, ImportImageOptions, TagImageOptionsBuilder,
};
use futures_util::StreamExt as _;
use std::path::Path;
use std::sync::Arc;
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
        let docker = self.daemon.streaming();
        let mut pieces = docker.export_image(name).boxed();
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
        self.load(path).await.map(drop)
    }

    /// The same; gives the name of what was in it.
    async fn load(&self, path: &Path) -> Result<Option<String>, SandboxError> {
        let file = fs_err::tokio::File::open(path).await;
        let file = file.map_err(SandboxError::step("load an archive"))?;
        let docker = self.daemon.streaming();
        let options = ImportImageOptions::default();
        let mut answers = docker
            .import_image_stream(options, ReaderStream::with_capacity(file, 256 << 10), None)
            .boxed();
        let mut loaded = None;
        while let Some(answer) = answers.next().await {
            let text = answer.map_err(|error| failed("load an archive", error))?.stream;
            for sign in ["Loaded image: ", "Loaded image ID: "] {
                let name = text.as_deref().and_then(|text| text.split_once(sign));
                loaded = name.map(|(_, name)| name.trim().to_owned()).or(loaded);
            }
        }
        Ok(loaded)
    }

    /// Takes an archive in under a key.
    pub(super) async fn import_archive(
        &self,
        path: &Path,
        image: &ImageKey,
    ) -> Result<(), SandboxError> {
        match self.load(path).await? {
            Some(name) => self.tag(&name, image).await,
            None => {
                Err(SandboxError::Protocol(format!("no image was found in `{}`", path.display())))
            }
        }
    }

    /// Takes a root file system in under a key.
    pub(super) async fn import_tar(
        &self,
        tar: ByteStream,
        image: &ImageKey,
        config: &ImageConfig,
    ) -> Result<(), SandboxError> {
        let options = CreateImageOptionsBuilder::new()
            .from_src("-")
            .repo(REPOSITORY)
            .tag(&image.to_string())
            .changes(container::changes(config))
            .build();
        let body = bollard::body_try_stream(ReaderStream::new(tar));
        let docker = self.daemon.streaming();
        let mut answers = docker.create_image(Some(options), Some(body), None);
        while let Some(answer) = answers.next().await {
            answer.map_err(|error| failed("import a root file system", error))?;
        }
        Ok(())
    }

    pub(super) async fn tag(&self, name: &str, image: &ImageKey) -> Result<(), SandboxError> {
        let tagged = self.daemon.ask(|docker| {
            let tag = TagImageOptionsBuilder::new().repo(REPOSITORY).tag(&image.to_string());
            let (name, tag) = (name.to_owned(), tag.build());
            async move { docker.tag_image(&name, Some(tag)).await }
        });
        tagged.await.map_err(|error| failed("tag an image", error))
    }

    /// An image of the daemon's, whoever made it: its key is its own digest, and it is kept by a tag
    /// of ours.
    pub(super) async fn find_named(&self, name: &str) -> Result<Option<NamedImage>, SandboxError> {
        let Some(about) = self.inspect(name).await? else { return Ok(None) };
        let id = about.id.unwrap_or_default();
        let digest: Option<Digest> = id.trim_start_matches("sha256:").parse().ok();
        let Some(digest) = digest else {
            return Err(SandboxError::Protocol(format!("image `{name}` has the id `{id}`")));
        };
        let key = ImageKey::from(LayerKey(digest));
        self.tag(name, &key).await?;
        Ok(Some(NamedImage { key, config: container::of_image(about.config) }))
    }

    /// How commands start in an image.
    pub(super) async fn config(&self, image: &ImageKey) -> Result<Arc<ImageConfig>, SandboxError> {
        if let Some(known) = self.configs().get(image) {
            return Ok(known.clone());
        }
        let about = self.inspect(&image_name(image)).await?;
        let about = about.ok_or(SandboxError::NoSuchImage(*image))?;
        let config = Arc::new(container::of_image(about.config));
        self.configs().insert(*image, config.clone());
        Ok(config)
    }

    pub(super) async fn inspect(
        &self,
        name: &str,
    ) -> Result<Option<bollard::models::ImageInspect>, SandboxError> {
        let asked = self.daemon.ask(|docker| {
            let name = name.to_owned();
            async move { docker.inspect_image(&name).await }
        });
        match asked.await {
            Ok(about) => Ok(Some(about)),
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => Err(failed("inspect an image", error)),
        }
    }
}
