//! The Docker back-end: a container a sandbox, an image of the daemon's a layer key. The only
//! folder that names bollard.
//!
//! Images are tagged `evalrun:<key>`. Containers carry the label `evalrun.owner` with the process
//! that made them, so that a later run can tell which ones nobody needs any more. A container is
//! killed, never asked to stop. Docker's interface cannot end an exec: every command is started by
//! a shell of the image that first notes its process group, and a second exec ends that group.

mod exec;
mod files;
mod images;
mod reaper;

use super::{
    Backend, ByteStream, Command, Content, Network, Process, Root, Sandbox, SandboxError,
    SandboxOptions,
};
use crate::layers::{ImageConfig, ImageKey, LayerKey};
use crate::model::{Digest, Usage};
use async_trait::async_trait;
use bollard::Docker;
use bollard::models::{
    ContainerConfig, ContainerCreateBody, HostConfig, HostConfigLogConfig, RestartPolicy,
};
use bollard::query_parameters::{
    CommitContainerOptionsBuilder, CreateContainerOptionsBuilder, CreateImageOptionsBuilder,
    ListContainersOptionsBuilder, RemoveImageOptions, TagImageOptionsBuilder,
};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio_util::io::{ReaderStream, StreamReader};

/// The name that all images made here share; the tag is the key.
const REPOSITORY: &str = "evalrun";
/// Label of a container: `<pid>-<start time>` of the process that owns it.
const OWNER: &str = "evalrun.owner";
/// Requests to the daemon that are under way at once. More only make each of them slower.
const REQUESTS: usize = 24;
/// An answer that takes longer than this will not come.
const DEADLINE: Duration = Duration::from_secs(120);

/// How to reach and use a daemon.
#[derive(Clone, Debug, Default)]
pub struct DockerOptions {
    /// Its address; `None`: `DOCKER_HOST`, else the usual sockets.
    pub host: Option<String>,
    /// The runtime of the containers (`runsc`, `kata`, …); `None`: the daemon's default.
    pub runtime: Option<String>,
}

/// Sandboxes that are containers of a Docker daemon.
pub struct DockerBackend {
    daemon: Arc<Daemon>,
    runtime: Option<String>,
    reaper: reaper::Reaper,
}

/// A connection, and how many may use it at once.
struct Daemon {
    docker: Docker,
    requests: Semaphore,
    commands: AtomicU64,
}

impl DockerBackend {
    /// Connects to the daemon and asks for its version.
    ///
    /// # Errors
    /// No daemon answers.
    pub async fn connect(options: DockerOptions) -> Result<Arc<Self>, SandboxError> {
        let docker = match &options.host {
            Some(host) => Docker::connect_with_host(host),
            None => Docker::connect_with_defaults(),
        };
        let docker = docker.map_err(unreachable)?.with_timeout(DEADLINE);
        let docker = docker.negotiate_version().await.map_err(unreachable)?;
        let daemon = Arc::new(Daemon {
            docker,
            requests: Semaphore::new(REQUESTS),
            commands: AtomicU64::new(0),
        });
        let reaper = reaper::Reaper::start(daemon.clone());
        Ok(Arc::new(Self { daemon, runtime: options.runtime, reaper }))
    }

    fn container(&self, image: &ImageKey, options: &SandboxOptions) -> ContainerCreateBody {
        let mut labels: HashMap<String, String> =
            options.labels.iter().map(|(k, v)| (format!("evalrun.{k}"), v.clone())).collect();
        labels.insert(OWNER.to_owned(), owner());
        ContainerCreateBody {
            image: Some(image_name(image)),
            entrypoint: Some(vec!["/bin/sh".to_owned(), "-c".to_owned()]),
            // Waits for ever without a program that small images may not have.
            cmd: Some(vec!["trap : TERM; while :; do sleep 86400 & wait; done".to_owned()]),
            user: Some("0".to_owned()),
            labels: Some(labels),
            host_config: Some(self.host_config(options)),
            ..ContainerCreateBody::default()
        }
    }

    fn host_config(&self, options: &SandboxOptions) -> HostConfig {
        let limits = &options.limits;
        let mut binds: Vec<String> = options.mounts.iter().map(files::bind).collect();
        if options.network == Network::Host {
            binds.extend(
                certificates().map(|file| format!("{0}:{CERTIFICATES}:ro", file.display())),
            );
        }
        HostConfig {
            memory: limits.memory.map(|bytes| bytes.cast_signed()),
            // The same number as for memory: no swap.
            memory_swap: limits.memory.map(|bytes| bytes.cast_signed()),
            nano_cpus: limits.cpu_millis.map(|millis| i64::from(millis) * 1_000_000),
            pids_limit: limits.pids.map(i64::from),
            network_mode: Some(match options.network {
                Network::None => "none".to_owned(),
                Network::Host => "host".to_owned(),
            }),
            binds: Some(binds),
            init: Some(true),
            security_opt: Some(vec!["no-new-privileges".to_owned()]),
            runtime: self.runtime.clone(),
            restart_policy: Some(RestartPolicy::default()),
            // What commands print comes to us; nobody reads a log of the container itself.
            log_config: Some(HostConfigLogConfig {
                typ: Some("none".to_owned()),
                ..HostConfigLogConfig::default()
            }),
            ..HostConfig::default()
        }
    }
}

const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The host's bundle of certificates, which may hold those of a company's proxy.
fn certificates() -> Option<PathBuf> {
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    named.into_iter().chain([PathBuf::from(CERTIFICATES)]).find(|path| path.is_file())
}

/// The variables of every command of a sandbox.
fn variables(options: &SandboxOptions) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    if options.network == Network::Host {
        // What a command needs to reach the network as this machine does.
        for name in
            ["http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"]
        {
            env.extend(std::env::var(name).ok().map(|value| (name.to_owned(), value)));
        }
        if certificates().is_some() {
            for name in ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "CURL_CA_BUNDLE"] {
                env.insert(name.to_owned(), CERTIFICATES.to_owned());
            }
        }
    }
    env.extend(options.env.clone());
    env
}

impl Daemon {
    /// Waits for a turn to ask the daemon something.
    async fn turn(&self) -> tokio::sync::SemaphorePermit<'_> {
        self.requests.acquire().await.expect("the semaphore is never closed")
    }
}

#[async_trait]
impl Backend for DockerBackend {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn caveats(&self) -> Vec<String> {
        vec![
            "docker: the disk limit is not enforced; what a sandbox writes is not counted"
                .to_owned(),
        ]
    }

    async fn contains(&self, image: &ImageKey) -> Result<bool, SandboxError> {
        let _turn = self.daemon.turn().await;
        match self.daemon.docker.inspect_image(&image_name(image)).await {
            Ok(_) => Ok(true),
            Err(error) if is_not_found(&error) => Ok(false),
            Err(error) => Err(failed("inspect an image", error)),
        }
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
        let tar = match root {
            Root::Tar(stream) => stream,
            Root::Directory(path) => files::tar_of_directory(path),
            Root::Archive(path) => {
                self.load(&path, &image).await?;
                return Ok(image);
            }
            Root::Host => {
                return Err(SandboxError::Unsupported {
                    what: "the `host` source",
                    why: "a container cannot be made of this machine's own files; use \
                          `debian:<suite>`, or the native back-end"
                        .to_owned(),
                });
            }
        };
        let options = CreateImageOptionsBuilder::new()
            .from_src("-")
            .repo(REPOSITORY)
            .tag(&image.to_string())
            .changes(changes(config))
            .build();
        let body = bollard::body_try_stream(ReaderStream::new(tar));
        let mut answers = self.daemon.docker.create_image(Some(options), Some(body), None);
        while let Some(answer) = answers.next().await {
            answer.map_err(|error| failed("import a root file system", error))?;
        }
        Ok(image)
    }

    async fn create(
        &self,
        image: &ImageKey,
        options: &SandboxOptions,
    ) -> Result<Arc<dyn Sandbox>, SandboxError> {
        let name = format!("evalrun-{}-{:08x}", owner(), rand::random::<u32>());
        let named = CreateContainerOptionsBuilder::new().name(&name).build();
        let _turn = self.daemon.turn().await;
        let docker = &self.daemon.docker;
        let id = match docker.create_container(Some(named), self.container(image, options)).await {
            Ok(created) => created.id,
            Err(error) if is_not_found(&error) => return Err(SandboxError::NoSuchImage(*image)),
            Err(error) => return Err(failed("create a container", error)),
        };
        let sandbox = DockerSandbox {
            daemon: self.daemon.clone(),
            lease: self.reaper.lease(id),
            limits: options.limits.clone(),
            env: variables(options),
            created: Instant::now(),
        };
        // From here on the lease sees to it that the container goes.
        docker
            .start_container(sandbox.lease.id(), None)
            .await
            .map_err(|error| failed("start a container", error))?;
        Ok(Arc::new(sandbox))
    }

    async fn export(&self, image: &ImageKey) -> Result<ByteStream, SandboxError> {
        let body = ContainerCreateBody {
            image: Some(image_name(image)),
            cmd: Some(vec!["/".to_owned()]),
            labels: Some(HashMap::from([(OWNER.to_owned(), owner())])),
            ..ContainerCreateBody::default()
        };
        let docker = self.daemon.docker.clone();
        let created =
            docker.create_container(None, body).await.map_err(|error| {
                match is_not_found(&error) {
                    true => SandboxError::NoSuchImage(*image),
                    false => failed("create a container", error),
                }
            })?;
        let lease = self.reaper.lease(created.id);
        let stream = docker.export_container(lease.id()).map_err(std::io::Error::other);
        // The lease lives as long as the stream.
        let stream = stream.map(move |chunk| (chunk, &lease).0.inspect(|_| ()));
        Ok(Box::new(StreamReader::new(stream.boxed())))
    }

    async fn remove(&self, image: &ImageKey) -> Result<(), SandboxError> {
        let _turn = self.daemon.turn().await;
        let name = image_name(image);
        match self.daemon.docker.remove_image(&name, None::<RemoveImageOptions>, None).await {
            Ok(_) => Ok(()),
            Err(error) if is_not_found(&error) => Ok(()),
            Err(error) => Err(failed("remove an image", error)),
        }
    }

    async fn sweep(&self) -> Result<usize, SandboxError> {
        let labelled = HashMap::from([("label", vec![OWNER])]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&labelled).build();
        let containers = self
            .daemon
            .docker
            .list_containers(Some(options))
            .await
            .map_err(|error| failed("list containers", error))?;
        let mut swept = 0;
        for container in containers {
            let owner = container.labels.as_ref().and_then(|labels| labels.get(OWNER));
            let (Some(id), Some(owner)) = (container.id, owner) else { continue };
            if !is_alive(owner) {
                reaper::remove(&self.daemon, &id).await?;
                swept += 1;
            }
        }
        Ok(swept)
    }

    async fn close(&self) {
        self.reaper.drain().await;
    }
}

impl DockerBackend {
    /// Loads an archive and names what was in it.
    async fn load(&self, path: &std::path::Path, image: &ImageKey) -> Result<(), SandboxError> {
        let file = fs_err::tokio::File::open(path).await.map_err(SandboxError::step("load"))?;
        let options = bollard::query_parameters::ImportImageOptions::default();
        let docker = &self.daemon.docker;
        let mut answers =
            docker.import_image_stream(options, ReaderStream::new(file), None).boxed();
        let mut loaded = None;
        while let Some(answer) = answers.next().await {
            let text = answer.map_err(|error| failed("load an archive", error))?.stream;
            for sign in ["Loaded image: ", "Loaded image ID: "] {
                let name = text.as_deref().and_then(|text| text.split_once(sign));
                loaded = name.map(|(_, name)| name.trim().to_owned()).or(loaded);
            }
        }
        let name = loaded.ok_or_else(|| {
            SandboxError::Protocol(format!("no image was found in `{}`", path.display()))
        })?;
        let tag = TagImageOptionsBuilder::new().repo(REPOSITORY).tag(&image.to_string()).build();
        docker.tag_image(&name, Some(tag)).await.map_err(|error| failed("tag an image", error))
    }
}

struct DockerSandbox {
    daemon: Arc<Daemon>,
    lease: reaper::Lease,
    limits: super::Limits,
    /// Given to each command and not to the container: a commit would freeze them.
    env: BTreeMap<String, String>,
    created: Instant,
}

#[async_trait]
impl Sandbox for DockerSandbox {
    async fn exec(&self, command: &Command) -> Result<Process, SandboxError> {
        let place = exec::Place {
            daemon: &self.daemon,
            container: self.lease.id(),
            limits: &self.limits,
            env: &self.env,
        };
        exec::start(place, command).await
    }

    async fn copy_in(&self, path: &str, content: Content) -> Result<(), SandboxError> {
        let _turn = self.daemon.turn().await;
        files::copy_in(&self.daemon.docker, self.lease.id(), path, content).await
    }

    async fn copy_out(&self, path: &str, limit: u64) -> Result<Content, SandboxError> {
        let _turn = self.daemon.turn().await;
        files::copy_out(&self.daemon.docker, self.lease.id(), path, limit).await
    }

    async fn snapshot(
        &self,
        key: Option<LayerKey>,
        config: &ImageConfig,
        last: bool,
    ) -> Result<ImageKey, SandboxError> {
        let key = key.unwrap_or_else(|| LayerKey(Digest::of(rand::random::<[u8; 32]>())));
        let image = ImageKey::from(key);
        let options = CommitContainerOptionsBuilder::new()
            .container(self.lease.id())
            .repo(REPOSITORY)
            .tag(&image.to_string())
            .pause(!last)
            .build();
        let _turn = self.daemon.turn().await;
        self.daemon
            .docker
            .commit_container(options, container_config(config))
            .await
            .map_err(|error| failed("commit a container", error))?;
        Ok(image)
    }

    async fn terminate(&self) -> Result<Usage, SandboxError> {
        self.lease.end().await?;
        Ok(Usage { wall: self.created.elapsed(), ..Usage::default() })
    }
}

fn container_config(config: &ImageConfig) -> ContainerConfig {
    ContainerConfig {
        env: Some(config.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        working_dir: Some(config.workdir.clone()),
        user: Some(config.user.clone()),
        cmd: Some(config.cmd.clone()),
        entrypoint: Some(config.entrypoint.clone()),
        labels: Some(config.labels.clone().into_iter().collect()),
        ..ContainerConfig::default()
    }
}

/// A configuration as lines of a Dockerfile, which is how an import takes it.
fn changes(config: &ImageConfig) -> Vec<String> {
    let json = |words: &Vec<String>| serde_json::Value::from(words.clone()).to_string();
    // A `$` would be taken for a variable.
    let quoted = |text: &str| serde_json::Value::from(text).to_string().replace('$', "\\$");
    let mut lines: Vec<String> =
        config.env.iter().map(|(name, value)| format!("ENV {name}={}", quoted(value))).collect();
    lines.extend(config.labels.iter().map(|(k, v)| format!("LABEL {}={}", quoted(k), quoted(v))));
    for (word, value) in [("WORKDIR", &config.workdir), ("USER", &config.user)] {
        lines.extend((!value.is_empty()).then(|| format!("{word} {value}")));
    }
    for (word, value) in [("ENTRYPOINT", &config.entrypoint), ("CMD", &config.cmd)] {
        lines.extend((!value.is_empty()).then(|| format!("{word} {}", json(value))));
    }
    lines
}

fn image_name(image: &ImageKey) -> String {
    format!("{REPOSITORY}:{image}")
}

/// This process, told from later ones of the same number.
fn owner() -> String {
    let pid = std::process::id();
    format!("{pid}-{}", start_time(pid).unwrap_or(0))
}

/// Whether the process that an owner label names still runs.
fn is_alive(owner: &str) -> bool {
    let Some((pid, started)) = owner.split_once('-') else { return false };
    let (Ok(pid), Ok(started)) = (pid.parse(), started.parse()) else { return false };
    start_time(pid) == Some(started)
}

/// Field 22 of `/proc/<pid>/stat`, counted behind the last `)`: a name may hold anything.
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs_err::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

fn is_not_found(error: &bollard::errors::Error) -> bool {
    matches!(error, bollard::errors::Error::DockerResponseServerError { status_code: 404, .. })
}

fn failed(step: &str, error: bollard::errors::Error) -> SandboxError {
    SandboxError::System { step: format!("docker: {step}"), source: std::io::Error::other(error) }
}

fn unreachable(error: bollard::errors::Error) -> SandboxError {
    SandboxError::Unsupported {
        what: "the docker back-end",
        why: format!("no daemon answers ({error}); start one, or set DOCKER_HOST"),
    }
}

/// The bytes of a message, whichever stream it came on.
fn bytes_of(output: bollard::container::LogOutput) -> (Bytes, bool) {
    use bollard::container::LogOutput;
    match output {
        LogOutput::StdErr { message } => (message, true),
        LogOutput::StdOut { message }
        | LogOutput::StdIn { message }
        | LogOutput::Console { message } => (message, false),
    }
}
