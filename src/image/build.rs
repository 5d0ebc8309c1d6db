//! Builds one layer: a sandbox of the layer below runs its steps and is frozen.

use super::plan::{self, LayerPlan};
use super::repo::{self, Mirror, RepoError, WorkTree};
use super::scratch::Scratch;
use super::steps::{Step, TESTBED};
use super::{ImageError, ImageEvent, Inner, bootstrap, once};
use crate::layers::{ImageConfig, ImageKey};
use crate::model::{EnvSpec, KilledBy, Outcome, RepoSource, RootSource, Status};
use crate::sandbox::{
    Command, Content, Mount, Network, Output, Root, Sandbox, SandboxError, SandboxOptions, Upper,
};
use fs_err as fs;
use std::collections::BTreeMap;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

/// Where the steps of a build find what other builds have downloaded. Never in a layer.
const PIP_CACHE: &str = "/var/cache/evalrun/pip";
const APT_CACHE: &str = "/var/cache/apt/archives";
/// The host's uv, while a layer is built.
const UV: &str = "/run/evalrun/uv";
/// What a root without a word of its own starts programs with.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How much of a failed layer's log an error quotes.
const TAIL_LINES: usize = 30;
const TAIL_BYTES: u64 = 8 << 10;

impl Inner {
    /// Has a layer built unless it is there, by one process at a time and as many at once as there
    /// are builders; true if it was built.
    pub(super) async fn build_unless_there<F>(
        &self,
        key: ImageKey,
        layer: &str,
        build: impl FnOnce() -> F,
    ) -> Result<bool, ImageError>
    where
        F: Future<Output = Result<(), ImageError>>,
    {
        if self.has(key).await? && !self.options.force {
            return Ok(false);
        }
        let locks = self.options.home.join("locks-v1");
        let failed = || ImageError::file("lock a layer");
        fs::create_dir_all(&locks).map_err(failed())?;
        let _lock = once::lock(&locks.join(key.to_string())).await.map_err(failed())?;
        if self.has(key).await? {
            if !self.options.force {
                return Ok(false);
            }
            self.backend.remove(&key).await.map_err(ImageError::sandbox(layer))?;
        }
        let _turn = self.builders.acquire().await.expect("the semaphore is never closed");
        let started = Instant::now();
        let layer = layer.to_owned();
        match build().await {
            Ok(()) => {
                self.tell(ImageEvent::Built { layer, took: started.elapsed() });
                Ok(true)
            }
            Err(error) => {
                self.tell(ImageEvent::Failed { layer });
                Err(error)
            }
        }
    }
}

/// A layer to be built.
pub(super) struct Job<'a> {
    pub(super) inner: &'a Inner,
    pub(super) spec: &'a EnvSpec,
    pub(super) layer: &'a LayerPlan,
    /// The layers below, lowest first; none for a root.
    pub(super) below: &'a [LayerPlan],
}

impl Job<'_> {
    /// Builds the layer unless it is there; true if it was built.
    pub(super) async fn run(self) -> Result<bool, ImageError> {
        let key = ImageKey::from(self.layer.key);
        let inner = self.inner;
        inner.build_unless_there(key, &self.layer.name, || self.build()).await
    }

    async fn build(&self) -> Result<(), ImageError> {
        let options = &self.inner.options;
        let failed = || ImageError::file("write the log of a layer");
        fs::create_dir_all(&options.logs).map_err(failed())?;
        let log = options.logs.join(format!("{}.log", file_name(&self.layer.name)));
        let _ = fs::remove_file(&log);
        let file = fs::OpenOptions::new().create(true).append(true).open(&log).map_err(failed())?;
        let layer = self.layer.name.clone();
        self.inner.tell(ImageEvent::Started { layer, log });
        match self.below.last() {
            None => self.import_root(&file).await,
            Some(parent) => self.run_steps(parent.key.into(), &file).await,
        }
    }

    async fn import_root(&self, log: &fs::File) -> Result<(), ImageError> {
        let scratch = self.scratch()?;
        let root = match &self.spec.base {
            RootSource::Host => Root::Host,
            RootSource::Directory(path) => Root::Directory(path.clone()),
            RootSource::Archive(path) => Root::Archive(path.clone()),
            RootSource::Debian(suite) => {
                let packages = plan::debian_packages(self.spec);
                match bootstrap::make(suite, &packages, scratch.path(), log).await? {
                    bootstrap::Made::Directory(path) => Root::Directory(path),
                    bootstrap::Made::Tar(path) => {
                        let file = tokio::fs::File::open(&path).await;
                        Root::Tar(Box::new(file.map_err(ImageError::file("read a root"))?))
                    }
                }
            }
            RootSource::Named(name) => {
                // It was there when the plan was made.
                return Err(ImageError::Root {
                    root: plan::root_name(&self.spec.base),
                    why: format!("image {name} has left the store"),
                });
            }
        };
        let imported = self.inner.backend.import(self.layer.key, root, &root_config()).await;
        imported.map(drop).map_err(|error| {
            let why = error.to_string();
            let error = ImageError::sandbox(&self.layer.name)(error);
            if error.is_over_budget() {
                return error;
            }
            ImageError::Root { root: self.layer.name.clone(), why }
        })
    }

    async fn run_steps(&self, parent: ImageKey, log: &fs::File) -> Result<(), ImageError> {
        let trouble = || ImageError::sandbox(&self.layer.name);
        let backend = &self.inner.backend;
        let options = self.sandbox_options().map_err(ImageError::file("make a cache"))?;
        let sandbox = backend.create(&parent, &options).await.map_err(trouble())?;
        let result = self.steps(sandbox.as_ref(), log).await;
        // The build's verdict stands whatever the end of its sandbox says; the back-end sweeps.
        let _ = sandbox.terminate().await;
        result
    }

    async fn steps(&self, sandbox: &dyn Sandbox, log: &fs::File) -> Result<(), ImageError> {
        let count = self.layer.steps.len();
        for (n, step) in self.layer.steps.iter().enumerate() {
            let title = step.title();
            self.inner
                .tell(ImageEvent::Step { layer: self.layer.name.clone(), step: title.clone() });
            let mut out = log;
            writeln!(out, "== step {} of {count}: {title}", n + 1)
                .map_err(ImageError::file("write the log of a layer"))?;
            self.step(sandbox, step, log).await?;
        }
        let config = self.config()?;
        let snapshot = sandbox.snapshot(Some(self.layer.key), &config, true).await;
        snapshot.map(drop).map_err(ImageError::sandbox(&self.layer.name))
    }

    async fn step(
        &self,
        sandbox: &dyn Sandbox,
        step: &Step,
        log: &fs::File,
    ) -> Result<(), ImageError> {
        let trouble = || ImageError::sandbox(&self.layer.name);
        match step {
            Step::Write { path, mode, text } => {
                let content = Content::File { bytes: text.clone().into(), mode: *mode };
                sandbox.copy_in(path, content).await.map_err(trouble())
            }
            Step::Run { title, script } => {
                let outcome = self.bash(sandbox, script, log).await.map_err(trouble())?;
                self.must_succeed(title, &outcome, log)
            }
            Step::Requirements { repo, commit, paths, into } => {
                let mirror = self.mirror(repo, commit).await?;
                let text = repo::requirements_text(&mirror, commit, paths)?;
                let content = Content::File { bytes: text.into(), mode: 0o644 };
                sandbox.copy_in(into, content).await.map_err(trouble())
            }
            Step::Checkout { repo, source, commit, .. } => {
                let tree = self.work_tree(repo, source, commit.as_deref()).await?;
                let place = format!("mkdir -p {TESTBED}");
                self.bash(sandbox, &place, log).await.map_err(trouble())?;
                copy_tar(sandbox, TESTBED, move |out| tree.write_tar(out)).await.map_err(trouble())
            }
        }
    }

    async fn bash(
        &self,
        sandbox: &dyn Sandbox,
        script: &str,
        log: &fs::File,
    ) -> Result<Outcome, SandboxError> {
        let own = log.file().try_clone().map_err(SandboxError::step("share the log"))?;
        let script = format!("set -eo pipefail\n{script}");
        let command = Command {
            workdir: Some("/".to_owned()),
            stdout: Output::File(own),
            stderr: Output::Stdout,
            timeout: Some(self.inner.options.timeout),
            // Of the command, not of the sandbox: a back-end may freeze a sandbox's variables.
            env: self.environment(),
            ..Command::new(["bash", "-c", script.as_str()])
        };
        sandbox.exec(&command).await?.wait().await
    }

    /// The variables of building, which are no part of any image.
    fn environment(&self) -> BTreeMap<String, String> {
        let mut env = self.inner.options.env.clone();
        for (name, value) in [
            // The image's own pip.conf is for the tests: a build asks the index.
            ("PIP_CONFIG_FILE", "/dev/null"),
            ("PIP_CACHE_DIR", PIP_CACHE),
            ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
            ("PIP_NO_INPUT", "1"),
            ("PIP_ROOT_USER_ACTION", "ignore"),
            ("PIP_PROGRESS_BAR", "off"),
            ("DEBIAN_FRONTEND", "noninteractive"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("HOME", "/root"),
        ] {
            env.insert(name.to_owned(), value.to_owned());
        }
        if self.inner.options.network == Network::None {
            // What cannot be reached now will not be reached by trying again.
            env.insert("PIP_RETRIES".to_owned(), "0".to_owned());
        }
        env
    }

    fn must_succeed(
        &self,
        step: &str,
        outcome: &Outcome,
        log: &fs::File,
    ) -> Result<(), ImageError> {
        let place = Place { layer: &self.layer.name, step };
        must_succeed(&place, outcome, self.inner.options.timeout, log)
    }

    async fn mirror(&self, repo: &str, commit: &str) -> Result<Mirror, ImageError> {
        Ok(self.inner.mirrors.with(repo, &[commit]).await?)
    }

    async fn work_tree(
        &self,
        repo: &str,
        source: &RepoSource,
        commit: Option<&str>,
    ) -> Result<WorkTree, ImageError> {
        let scratch = self.scratch()?;
        match source {
            RepoSource::Directory(path) => {
                let path = path.clone();
                let made = tokio::task::spawn_blocking(move || {
                    repo::work_tree_of_directory(&path, scratch)
                });
                let made = made.await.map_err(io::Error::other);
                Ok(made.map_err(ImageError::file("copy a source directory"))??)
            }
            RepoSource::Git | RepoSource::Sdist(_) => {
                let commit = commit.ok_or_else(|| RepoError::NoBase { repo: repo.to_owned() })?;
                let mirror = self.mirror(repo, commit).await?;
                Ok(repo::work_tree(&mirror, commit, scratch).await?)
            }
        }
    }

    /// What the image says, with this layer on top.
    fn config(&self) -> Result<ImageConfig, ImageError> {
        let root = self.below.first().map(|root| ImageKey::from(root.key));
        let known = root.map(|root| self.inner.known_config(&root)).transpose()?.flatten();
        let mut config = known.unwrap_or_else(root_config);
        // A service image's own start-up has no place in an evaluation.
        config.entrypoint.clear();
        config.cmd.clear();
        for layer in self.below.iter().chain([self.layer]) {
            let own = &layer.config;
            config.env.extend(own.env.iter().map(|(name, value)| (name.clone(), value.clone())));
            if !own.workdir.is_empty() {
                config.workdir.clone_from(&own.workdir);
            }
        }
        Ok(config)
    }

    fn sandbox_options(&self) -> io::Result<SandboxOptions> {
        let options = &self.inner.options;
        // By root: wheels that pip has built itself fit the C library they were built with.
        let root = file_name(&plan::root_name(&self.spec.base));
        let caches = options.home.join("cache-v1");
        let pip = caches.join("pip").join(&root);
        fs::create_dir_all(&pip)?;
        let mut mounts = vec![Mount { source: pip, target: PIP_CACHE.to_owned(), writable: true }];
        if !matches!(self.spec.base, RootSource::Host) {
            let apt = caches.join("apt").join(root);
            fs::create_dir_all(apt.join("partial"))?;
            mounts.push(Mount { source: apt, target: APT_CACHE.to_owned(), writable: true });
        }
        if let Some(uv) = &options.uv {
            mounts.push(Mount { source: uv.clone(), target: UV.to_owned(), writable: false });
        }
        Ok(SandboxOptions {
            limits: options.limits.clone(),
            network: options.network,
            env: BTreeMap::new(),
            mounts,
            upper: Upper::Disk,
            lifetime: None,
            labels: BTreeMap::from([("layer".to_owned(), self.layer.name.clone())]),
        })
    }

    fn scratch(&self) -> Result<Scratch, ImageError> {
        Scratch::new(&self.inner.options.home).map_err(ImageError::file("make a scratch directory"))
    }
}

/// Which step of what, for people.
pub(super) struct Place<'a> {
    pub(super) layer: &'a str,
    pub(super) step: &'a str,
}

/// An error unless a step ended well.
pub(super) fn must_succeed(
    place: &Place<'_>,
    outcome: &Outcome,
    timeout: Duration,
    log: &fs::File,
) -> Result<(), ImageError> {
    if outcome.success() {
        return Ok(());
    }
    let mut ended = match outcome.status {
        Status::Code(code) => format!("exited with status {code}"),
        Status::Signal(signal) => format!("was ended by signal {signal}"),
        Status::Killed(KilledBy::TimedOut) => {
            format!("was ended after {} s", timeout.as_secs())
        }
        Status::Killed(KilledBy::OutputLimit) => "was ended: it wrote too much".to_owned(),
        Status::Killed(KilledBy::Cancelled) => "was cancelled".to_owned(),
    };
    let hit = &outcome.limits_hit;
    for (hit, what) in [(hit.memory, "memory"), (hit.pids, "processes"), (hit.disk, "disk")] {
        if hit {
            ended.push_str(&format!(", having met its limit of {what}"));
        }
    }
    Err(ImageError::Step {
        layer: place.layer.to_owned(),
        step: place.step.to_owned(),
        ended,
        log: log.path().to_owned(),
        tail: tail(log.path()),
    })
}

/// Streams a tar into the sandbox; the pipe's two ends work side by side. If the sandbox fails, its
/// error is the one that counts; if it is content, it may have left unread what follows the end mark
/// of the archive.
pub(super) async fn copy_tar(
    sandbox: &dyn Sandbox,
    to: &str,
    write: impl FnOnce(&mut dyn io::Write) -> io::Result<()> + Send + 'static,
) -> Result<(), SandboxError> {
    let failed = || SandboxError::step("copy files into a sandbox");
    let (reader, writer) = io::pipe().map_err(failed())?;
    let writing = tokio::task::spawn_blocking(move || {
        let mut writer = io::BufWriter::new(writer);
        write(&mut writer)?;
        writer.flush()
    });
    let reader = std::fs::File::from(std::os::fd::OwnedFd::from(reader));
    let content = Content::Tar(Box::new(tokio::fs::File::from_std(reader)));
    sandbox.copy_in(to, content).await?;
    match writing.await.map_err(io::Error::other).and_then(|written| written) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(failed()),
    }
}

/// What a root says that says nothing of itself.
fn root_config() -> ImageConfig {
    ImageConfig {
        env: BTreeMap::from([("PATH".to_owned(), PATH.to_owned())]),
        ..ImageConfig::default()
    }
}

/// The last lines of a log, for an error message.
pub(super) fn tail(log: &Path) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = fs::File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(io::SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    // What a build printed goes to a terminal here: no control sequence may come along.
    let clean = text.replace(|c: char| c.is_control() && c != '\n' && c != '\t', "");
    let lines: Vec<&str> = clean.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

/// A name with only those characters that are harmless in file names.
pub(super) fn file_name(name: &str) -> String {
    name.replace(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c), "_")
}

#[cfg(test)]
mod tests;
