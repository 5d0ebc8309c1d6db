//! The back-end: the trait's verbs over a daemon.

use super::container::{self, Terms};
use super::daemon::{Daemon, Deadlines, failed, is_not_found, status};
use super::helper::{self, Helper};
use super::owner::{self, Names};
use super::place::{DockerPlace, Tunnel};
use super::reaper::Reaper;
use super::sandbox::{DockerSandbox, Held};
use super::warm::{Kind, Warm};
use super::wire::{End, Wire};
use super::{files, image_name};
use crate::layers::{ImageConfig, ImageKey, LayerKey};
use crate::model::{Disk, DiskLimit};
use crate::sandbox::carried;
use crate::sandbox::{
    Backend, ByteStream, Content, NamedImage, Root, Sandbox, SandboxError, SandboxOptions,
};
use async_trait::async_trait;
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{CreateContainerOptionsBuilder, RemoveImageOptionsBuilder};
use futures_util::{StreamExt as _, TryStreamExt as _};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Instant;
use tokio_util::io::StreamReader;

/// How to reach and use a daemon.
#[derive(Clone, Debug, Default)]
pub struct DockerOptions {
    /// Where it is.
    pub place: DockerPlace,
    /// The runtime of the containers (`runsc`, `kata`, …); `None`: the daemon's default.
    pub runtime: Option<String>,
    /// The program that runs as pid 1 in containers, `evalrun-zygote` or `evalrun`. `None`:
    /// `EVALRUN_HELPER`, else what is beside this program.
    pub helper: Option<PathBuf>,
    /// How long things may take.
    pub deadlines: Deadlines,
    /// An image of the daemon's that stands for this machine's own files.
    pub host_image: Option<String>,
}

/// Sandboxes that are containers of a Docker daemon.
pub struct DockerBackend {
    pub(super) daemon: Arc<Daemon>,
    pub(super) reaper: Arc<Reaper>,
    pub(super) helper: Helper,
    pub(super) names: Names,
    pub(super) terms: Terms,
    pub(super) quota: AtomicBool,
    pub(super) host_image: Option<String>,
    pub(super) warm: Warm,
    pub(super) configs: Mutex<HashMap<ImageKey, Arc<ImageConfig>>>,
    pub(super) caveats: Vec<String>,
    pub(super) this: OnceLock<std::sync::Weak<Self>>,
    pub(super) _tunnel: Option<Tunnel>,
}

impl DockerBackend {
    pub(super) fn configs(&self) -> MutexGuard<'_, HashMap<ImageKey, Arc<ImageConfig>>> {
        self.configs.lock().expect("nothing panics while it holds this lock")
    }

    /// Makes a container that runs, and belongs to nobody yet.
    async fn bear(&self, image: &ImageKey, options: &SandboxOptions) -> Result<Held, SandboxError> {
        let helper = self.helper.get(&self.daemon, image).await?;
        let quota = self.quota.load(Ordering::Relaxed);
        match self.bear_limited(image, options, &helper, quota).await {
            // The driver can, but not on this file system.
            Err(error) if quota && error.to_string().contains("storage-opt") => {
                self.quota.store(false, Ordering::Relaxed);
                self.bear_limited(image, options, &helper, false).await
            }
            other => other,
        }
    }

    async fn bear_limited(
        &self,
        image: &ImageKey,
        options: &SandboxOptions,
        helper: &helper::Made,
        quota: bool,
    ) -> Result<Held, SandboxError> {
        let name = self.names.fresh();
        let wire = Wire::new(self.daemon.clone(), name.clone());
        let limited_by = match options.limits.disk {
            None => DiskLimit::Nothing,
            Some(_) if quota => DiskLimit::Quota,
            Some(_) => DiskLimit::Watch,
        };
        // From here on it is seen to that the container goes, whether or not the daemon answers.
        let held = Held {
            wire: wire.clone(),
            reaper: self.reaper.clone(),
            created: Instant::now(),
            disk: Disk { limited_by, ..Disk::default() },
        };
        let shown = SandboxOptions {
            mounts: if self.terms.is_here { options.mounts.clone() } else { Vec::new() },
            ..options.clone()
        };
        let terms = Terms { quota, ..self.terms.clone() };
        let body = container::body(image, &shown, helper, &terms);
        if let Err(error) = self.make(image, &name, body, &wire).await {
            wire.close(End::Lost(error.to_string()));
            return Err(error);
        }
        if !self.terms.is_here {
            bring(&wire, options).await?;
        }
        Ok(held)
    }

    async fn make(
        &self,
        image: &ImageKey,
        name: &str,
        body: ContainerCreateBody,
        wire: &Arc<Wire>,
    ) -> Result<(), SandboxError> {
        let created = self.daemon.ask(|docker| {
            let options = CreateContainerOptionsBuilder::new().name(name).build();
            let body = body.clone();
            async move { docker.create_container(Some(options), body).await }
        });
        match created.await {
            Ok(_) => {}
            // Our own request of before, whose answer was lost: nobody else has such names.
            Err(error) if status(&error) == Some(409) => {}
            Err(error) if is_not_found(&error) => return Err(SandboxError::NoSuchImage(*image)),
            Err(error) => return Err(failed("create a container", error)),
        }
        let attached = wire.attach().await?;
        let started = self.daemon.ask(|docker| {
            let name = name.to_owned();
            async move { docker.start_container(&name, None).await }
        });
        match started.await {
            Ok(()) => {}
            // It was started by our own request of before.
            Err(error) if status(&error) == Some(304) => {}
            Err(error) => return Err(failed("start a container", error)),
        }
        tokio::spawn(wire.clone().carry(attached));
        Ok(())
    }
}

/// Brings what would be shown from this machine to a daemon that does not see its files. What may be
/// written to is a cache, and stays away.
async fn bring(wire: &Arc<Wire>, options: &SandboxOptions) -> Result<(), SandboxError> {
    use std::os::unix::fs::PermissionsExt as _;
    for mount in options.mounts.iter().filter(|mount| !mount.writable) {
        let read = || SandboxError::step("read what is shown inside");
        let about = fs_err::metadata(&mount.source).map_err(read())?;
        let content = if about.is_dir() {
            Content::Tar(files::tar_of_directory(mount.source.clone()))
        } else {
            let bytes = fs_err::read(&mount.source).map_err(read())?.into();
            Content::File { bytes, mode: about.permissions().mode() & 0o7777 }
        };
        carried::copy_in(wire, &mount.target, content).await?;
    }
    Ok(())
}

#[async_trait]
impl Backend for DockerBackend {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn caveats(&self) -> Vec<String> {
        self.caveats.clone()
    }

    async fn contains(&self, image: &ImageKey) -> Result<bool, SandboxError> {
        Ok(self.inspect(&image_name(image)).await?.is_some())
    }

    async fn named(&self, name: &str) -> Result<Option<NamedImage>, SandboxError> {
        self.find_named(name).await
    }

    async fn import(
        &self,
        key: LayerKey,
        root: Root,
        config: &ImageConfig,
    ) -> Result<ImageKey, SandboxError> {
        let image = ImageKey::from(key);
        if self.contains(&image).await? {
            return Ok(image);
        }
        match root {
            Root::Tar(stream) => self.import_tar(stream, &image, config).await?,
            Root::Directory(path) => {
                self.import_tar(files::tar_of_directory(path), &image, config).await?;
            }
            Root::Archive(path) => self.import_archive(&path, &image).await?,
            Root::Host => self.import_stand_in(&image).await?,
        }
        Ok(image)
    }

    async fn create(
        &self,
        image: &ImageKey,
        options: &SandboxOptions,
    ) -> Result<Arc<dyn Sandbox>, SandboxError> {
        let config = self.config(image).await?;
        let ahead = match self.warm.take(&Kind::new(*image, options)) {
            Some(made) => made.await.ok().flatten(),
            None => None,
        };
        let held = match ahead {
            Some(held) if held.wire.ended().is_none() => held,
            _ => self.bear(image, options).await?,
        };
        held.watch_disk(&options.limits);
        if let Some(lifetime) = options.lifetime {
            held.end_after(lifetime);
        }
        let env = container::variables(&config, options, self.terms.is_here);
        let (limits, config) = (options.limits.clone(), (*config).clone());
        Ok(Arc::new(DockerSandbox { held, limits, config, env }))
    }

    fn starts_slowly(&self) -> bool {
        true
    }

    async fn make_ready(
        &self,
        image: &ImageKey,
        options: &SandboxOptions,
        count: usize,
    ) -> Result<(), SandboxError> {
        let kind = Kind::new(*image, options);
        if count == 0 {
            self.warm.end(Some(&kind)).await;
            return Ok(());
        }
        let Some(backend) = self.this.get().and_then(std::sync::Weak::upgrade) else {
            return Ok(());
        };
        let (image, options) = (*image, options.clone());
        self.warm.add(kind, count, || {
            tokio::spawn(async move {
                // One that cannot be had ahead is made when it is needed, and then says why not.
                backend.bear(&image, &options).await.ok()
            })
        });
        Ok(())
    }

    async fn export(&self, image: &ImageKey) -> Result<ByteStream, SandboxError> {
        let name = self.names.fresh();
        let body = ContainerCreateBody {
            image: Some(image_name(image)),
            cmd: Some(vec!["/".to_owned()]),
            labels: Some(owner::labels()),
            ..ContainerCreateBody::default()
        };
        let created = self.daemon.ask(|docker| {
            let options = CreateContainerOptionsBuilder::new().name(&name).build();
            let body = body.clone();
            async move { docker.create_container(Some(options), body).await }
        });
        match created.await {
            Ok(_) => {}
            Err(error) if status(&error) == Some(409) => {}
            Err(error) if is_not_found(&error) => return Err(SandboxError::NoSuchImage(*image)),
            Err(error) => return Err(failed("create a container", error)),
        }
        let lease = Lease { name, reaper: self.reaper.clone() };
        let docker = self.daemon.streaming();
        let stream = docker.export_container(&lease.name).map_err(std::io::Error::other).boxed();
        // The lease lives as long as the stream.
        let stream = stream.inspect(move |_| _ = &lease);
        Ok(Box::new(StreamReader::new(stream.boxed())))
    }

    async fn remove(&self, image: &ImageKey) -> Result<(), SandboxError> {
        self.configs().remove(image);
        // Containers that are on their way out still hold it; those that stay keep its files, and
        // only the name goes.
        match self.remove_image(image, false).await {
            Err(error) if status(&error) == Some(409) => {}
            other => return other.map_err(|error| failed("remove an image", error)),
        }
        self.reaper.drain().await;
        let removed = self.remove_image(image, true).await;
        removed.map_err(|error| failed("remove an image", error))
    }

    async fn sweep(&self) -> Result<usize, SandboxError> {
        Ok(self.sweep_containers().await? + self.sweep_volumes().await?)
    }

    async fn close(&self) {
        self.warm.end(None).await;
        self.reaper.drain().await;
        self.remove_own().await;
        self.helper.remove(&self.daemon).await;
    }
}

impl DockerBackend {
    async fn remove_image(
        &self,
        image: &ImageKey,
        force: bool,
    ) -> Result<(), bollard::errors::Error> {
        let name = image_name(image);
        let removed = self.daemon.ask(|docker| {
            let options = RemoveImageOptionsBuilder::new().force(force).build();
            let name = name.clone();
            async move { docker.remove_image(&name, Some(options), None).await }
        });
        match removed.await {
            Err(error) if !is_not_found(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// The image that stands for this machine's own files.
    async fn import_stand_in(&self, image: &ImageKey) -> Result<(), SandboxError> {
        let unsupported =
            |why: String| SandboxError::Unsupported { what: "the `host` source", why };
        let Some(name) = &self.host_image else {
            return Err(unsupported(
                "a container cannot be made of this machine's own files; name an image that \
                 stands for them, or use the native back-end"
                    .to_owned(),
            ));
        };
        match self.find_named(name).await? {
            Some(_) => self.tag(name, image).await,
            None => Err(unsupported(format!(
                "the image `{name}`, which stands for this machine's files, is not in the daemon"
            ))),
        }
    }
}

/// A container that is removed with this.
struct Lease {
    name: String,
    reaper: Arc<Reaper>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.reaper.take(std::mem::take(&mut self.name));
    }
}
