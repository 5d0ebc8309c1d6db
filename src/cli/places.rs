//! Where things are: the cache, and settings of a command as values of the library.

use super::exit::Failure;
use super::settings::{
    BackendName, DiskLimitName, ImagesName, NetworkName, PolicyName, Settings, Size, UpperName,
};
use crate::dataset::{self, Dataset, LoadOptions, Selection};
use crate::grade;
use crate::image::{ImageOptions, ImagePolicy};
use crate::layers::{Platform, PullWatcher, Registry, RegistryOptions, Store};
use crate::model::DiskLimit;
use crate::sandbox::docker::{DockerBackend, DockerOptions, DockerPlace};
use crate::sandbox::native::{NativeBackend, NativeOptions};
use crate::sandbox::{Backend, Limits, Network, Upper};
use anyhow::anyhow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

impl Settings {
    /// What is known of this machine: the file that was named, else the one of the home folder.
    pub(super) fn calibration_file(&self) -> Result<PathBuf, Failure> {
        match &self.calibration {
            Some(path) => Ok(path.clone()),
            None => Ok(super::calibrate::file_below(&self.home()?)),
        }
    }

    /// The folder of images, repositories and downloads: `--home`, else the user's cache folder.
    pub(super) fn home(&self) -> Result<PathBuf, Failure> {
        let folder = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty());
        let home = match (&self.home, folder("XDG_CACHE_HOME"), folder("HOME")) {
            (Some(home), _, _) => home.clone(),
            (None, Some(cache), _) => PathBuf::from(cache).join("evalrun"),
            (None, None, Some(home)) => PathBuf::from(home).join(".cache/evalrun"),
            (None, None, None) => {
                let failure = Failure::input(anyhow!("there is no home folder for the cache"));
                return Err(failure.hint("set --home or EVALRUN_HOME"));
            }
        };
        std::path::absolute(home).map_err(Failure::input)
    }

    /// The store of layers below it.
    pub(super) fn store(&self) -> Result<Store, Failure> {
        Store::open(&self.home()?).map_err(|error| {
            Failure::broken(error).hint("--home or EVALRUN_HOME names another folder")
        })
    }

    pub(super) fn load_options(&self) -> Result<LoadOptions, Failure> {
        let mut envs = self.envs.clone();
        envs.push(self.recipes.clone());
        Ok(LoadOptions {
            split: self.split.clone(),
            registry: self.registry.clone(),
            envs,
            cache: self.home()?.join("datasets-v1"),
            hf_endpoint: self.hf_endpoint.clone(),
            hf_token: self.hf_token.clone(),
            revision: self.revision.clone(),
            offline: self.offline,
            known_parser: Some(grade::is_parser),
        })
    }

    /// The whole task list, and the selection still to be applied to it.
    pub(super) async fn load_dataset(&self) -> Result<(Dataset, Selection), Failure> {
        let Some(spec) = &self.dataset else {
            let failure = Failure::input(anyhow!("no task list is named"));
            return Err(failure
                .hint("--dataset takes a file, a folder or a name; try --dataset datasets/mini")
                .hint("`evalrun datasets list` shows the names"));
        };
        let selection = Selection {
            instances: self.instances.clone(),
            filter: self.filter.clone(),
            limit: self.limit,
            shuffle: self.shuffle,
        };
        Ok((dataset::load(spec, &self.load_options()?).await?, selection))
    }

    /// Limits of the sandboxes that run tests.
    pub(super) fn limits(&self) -> Limits {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
        let millis = |cpus: f64| (cpus * 1000.0).clamp(1.0, 1e9) as u32;
        Limits {
            memory: self.memory.0,
            pids: Some(self.pids),
            cpu_millis: self.cpus.map(millis),
            disk: self.disk.0,
            output: output(self.output_limit),
        }
    }

    /// The back-end that is named.
    pub(super) async fn backend(&self, store: &Store) -> Result<Arc<dyn Backend>, Failure> {
        match self.backend {
            BackendName::Native => {
                let options = NativeOptions {
                    disk_limit: self.disk_limit.into(),
                    ..NativeOptions::default()
                };
                let backend = NativeBackend::new(store.clone(), options).map_err(|error| {
                    Failure::broken(error).hint("`evalrun doctor` says what is missing")
                })?;
                Ok(backend)
            }
            BackendName::Docker => {
                let options = self.docker_options();
                let backend = DockerBackend::connect(options).await.map_err(|error| {
                    Failure::broken(error).hint("--backend native needs no daemon")
                })?;
                Ok(backend)
            }
        }
    }

    /// How the Docker daemon is reached and used.
    pub(super) fn docker_options(&self) -> DockerOptions {
        let mut place = DockerPlace::of_environment();
        if self.docker_context.is_some() {
            // Said here it goes before what the environment says of a host.
            (place.host, place.context) = (None, self.docker_context.clone());
        }
        place.host = self.docker_host.clone().or(place.host);
        DockerOptions {
            place,
            runtime: self.runtime.clone(),
            host_image: Some(self.host_image.clone()),
            ..DockerOptions::default()
        }
    }

    /// How images are made; the log of each layer goes to `logs`.
    pub(super) fn image_options(
        &self,
        store: &Store,
        logs: &Path,
    ) -> Result<ImageOptions, Failure> {
        let mut options = ImageOptions::new(&self.home()?, logs);
        options.repos = self.repos.clone();
        options.limits = Limits { memory: self.build_memory.0, ..Limits::default() };
        options.timeout = Duration::from_secs(self.build_timeout);
        options.network = if self.offline { Network::None } else { self.build_network.into() };
        options.force = self.force_rebuild;
        options.policy = self.images.into();
        options.registry = match self.offline {
            true => None,
            false => Some(self.registries(store, None)?),
        };
        options.uv = program("uv");
        options.host_image = (self.backend == BackendName::Docker).then(|| self.host_image.clone());
        for name in ImageOptions::VARIABLES {
            if let Ok(value) = std::env::var(name) {
                options.env.insert(name.to_owned(), value);
            }
        }
        Ok(options)
    }

    /// The way to registries, into a store.
    pub(super) fn registries(
        &self,
        store: &Store,
        watcher: Option<PullWatcher>,
    ) -> Result<Registry, Failure> {
        let read = |text: &String| text.parse().map_err(|why: String| anyhow!(why));
        let mirrors: Result<_, _> = self.mirrors.iter().map(read).collect();
        let platform = self.platform.as_ref().map(|text| text.parse::<Platform>());
        let platform = platform.transpose().map_err(|why| Failure::input(anyhow!(why)))?;
        let options = RegistryOptions {
            docker_config: docker_config(),
            plain_http: self.plain_http.clone(),
            mirrors: mirrors.map_err(Failure::input)?,
            platform: platform.unwrap_or_else(Platform::here),
            downloads: self.downloads,
            watcher,
        };
        Registry::new(store.clone(), options).map_err(Failure::broken)
    }

    /// How many things at once.
    pub(super) fn parallel(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        self.parallel.unwrap_or_else(cores).max(1)
    }
}

/// Where `docker login` keeps credentials.
fn docker_config() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let home = || folder("HOME").map(|home| home.join(".docker"));
    Some(folder("DOCKER_CONFIG").or_else(home)?.join("config.json"))
}

impl From<ImagesName> for ImagePolicy {
    fn from(name: ImagesName) -> Self {
        match name {
            ImagesName::Auto => Self::Auto,
            ImagesName::Pull => Self::Pull,
            ImagesName::Build => Self::Build,
        }
    }
}

/// A program of the user's PATH.
pub(super) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn output(size: Size) -> u64 {
    size.0.unwrap_or(u64::MAX / 16)
}

impl From<PolicyName> for grade::Policy {
    fn from(name: PolicyName) -> Self {
        match name {
            PolicyName::Official => Self::Official,
            PolicyName::Report => Self::Report,
            PolicyName::Strict => Self::Strict,
        }
    }
}

impl From<DiskLimitName> for Option<DiskLimit> {
    fn from(name: DiskLimitName) -> Self {
        match name {
            DiskLimitName::Auto => None,
            DiskLimitName::Quota => Some(DiskLimit::Quota),
            DiskLimitName::Watch => Some(DiskLimit::Watch),
        }
    }
}

impl From<UpperName> for Upper {
    fn from(name: UpperName) -> Self {
        match name {
            UpperName::Auto => Self::Auto,
            UpperName::Memory => Self::Memory,
            UpperName::Disk => Self::Disk,
        }
    }
}

impl From<NetworkName> for Network {
    fn from(name: NetworkName) -> Self {
        match name {
            NetworkName::None => Self::None,
            NetworkName::Host => Self::Host,
        }
    }
}
