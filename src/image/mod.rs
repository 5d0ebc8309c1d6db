//! Which layers an instance needs, and how they are built: base → env → instance, each a sandbox
//! that ran something and was frozen.
//!
//! The [`plan`](Images::plan) says which layers and under which keys; [`ensure`](Images::ensure)
//! builds those that are missing. A layer's key covers the key below it, the texts of its steps and
//! what identifies the content they bring in (commits, digests), never the network, the limits or
//! the paths of this machine. A Debian root is keyed by its suite and packages, not by the day it
//! was made: it stays as it is until it is pruned, or built again by force.
//!
//! Inside a built image: `/testbed` is a git work tree at the base commit, or at one commit on top
//! of it that holds what the install changed in tracked files; `/opt/miniconda3/bin/activate`
//! defines `conda`, the environment is a virtual environment at `/opt/miniconda3/envs/testbed`, and
//! `/opt/wheels` holds what a reinstall of the project needs, which is the only place where pip
//! looks at run time.

mod bootstrap;
mod build;
mod dockerfile;
mod error;
mod estimate;
mod once;
mod own;
mod pip;
mod plan;
mod pulled;
mod repo;
mod room;
mod scratch;
mod steps;

pub use dockerfile::{DockerfileBuild, DockerfileOutline, default_dockerfile};
pub use error::ImageError;
pub use estimate::Estimate;
pub use pip::{ENVIRONMENT, WHEELHOUSE, offline_pip_env, online_pip_env};
pub use plan::{ImagePlan, LayerKind, LayerPlan};
pub use pulled::ImagePolicy;
pub use repo::RepoError;
pub use scratch::sweep;
pub use steps::Step;

use crate::layers::{self, ImageHold, ImageKey, LayerKey, Registry, Store, TagOrigin};
use crate::model::{Digest, EnvSpec, Instance, RepoSource, RootSource};
use crate::sandbox::{Backend, Limits, NamedImage, Network};
use once::OnceMap;
use room::Made;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The images of a run: plans them, builds what is missing. Cheap to clone; clones share their work.
#[derive(Clone)]
pub struct Images(Arc<Inner>);

struct Inner {
    backend: Arc<dyn Backend>,
    store: Store,
    options: ImageOptions,
    mirrors: repo::Mirrors,
    layers: OnceMap<LayerKey, ImageError>,
    builders: tokio::sync::Semaphore,
    room: room::Room,
    /// Digests of directories and archives, which are slow to take.
    digests: Mutex<HashMap<PathBuf, Digest>>,
    hosts: Mutex<HashMap<Vec<String>, LayerKey>>,
    /// Images that the back-end has of its own, by name.
    own: Mutex<HashMap<String, NamedImage>>,
}

/// How images are made.
#[derive(Clone)]
pub struct ImageOptions {
    /// A directory of clones, to be asked before the network (`--repos`).
    pub repos: Option<PathBuf>,
    /// Where repositories are fetched from: `<this>/<owner>/<name>`.
    pub repos_url: String,
    /// `$EVALRUN_HOME`, for mirrors and download caches.
    pub home: PathBuf,
    /// Where the log of every layer that is built goes.
    pub logs: PathBuf,
    /// Limits of the sandboxes that build.
    pub limits: Limits,
    /// The longest time one step may take.
    pub timeout: Duration,
    /// What the sandboxes that build can reach.
    pub network: Network,
    /// Build or pull again what is in the store already.
    pub force: bool,
    /// Where the image of an instance comes from.
    pub policy: ImagePolicy,
    /// The way to registries; without it nothing is pulled.
    pub registry: Option<Registry>,
    /// How many layers are built at once.
    pub parallel: usize,
    /// Environment variables of building only, such as `PIP_INDEX_URL` or
    /// `UV_PYTHON_INSTALL_MIRROR`. In no key, and in no layer.
    pub env: BTreeMap<String, String>,
    /// The host's `uv`, for Pythons that a root does not have. Without it one is installed for
    /// the purpose.
    pub uv: Option<PathBuf>,
    /// The image that stands for this machine's own files on a back-end that cannot have them.
    pub host_image: Option<String>,
    /// Told of every step; must return at once.
    pub watcher: Option<Watcher>,
}

/// Told of what happens while images are built.
pub type Watcher = Arc<dyn Fn(&ImageEvent) + Send + Sync>;

impl ImageOptions {
    /// Names of variables that [`ImageOptions::env`] should be filled with from the environment of
    /// the program, where they are set.
    pub const VARIABLES: [&'static str; 8] = [
        "PIP_INDEX_URL",
        "PIP_EXTRA_INDEX_URL",
        "PIP_TRUSTED_HOST",
        "PIP_DEFAULT_TIMEOUT",
        "UV_PYTHON_INSTALL_MIRROR",
        "UV_PYTHON_DOWNLOADS_JSON_URL",
        "UV_INDEX_URL",
        "UV_DEFAULT_INDEX",
    ];

    /// The usual options: network while building, half an hour a step.
    #[must_use]
    pub fn new(home: &Path, logs: &Path) -> Self {
        Self {
            repos: None,
            repos_url: "https://github.com".to_owned(),
            home: home.to_owned(),
            logs: logs.to_owned(),
            limits: Limits::default(),
            timeout: Duration::from_secs(1800),
            network: Network::Host,
            force: false,
            policy: ImagePolicy::Auto,
            registry: None,
            parallel: std::thread::available_parallelism().map_or(2, usize::from),
            env: BTreeMap::new(),
            uv: None,
            host_image: None,
            watcher: None,
        }
    }
}

/// What happens while images are built.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ImageEvent {
    /// A layer is being built.
    Started {
        /// Its name.
        layer: String,
        /// Where its log is written.
        log: PathBuf,
    },
    /// A step of it begins.
    Step {
        /// The layer's name.
        layer: String,
        /// What the step does.
        step: String,
    },
    /// A layer is in the store.
    Built {
        /// Its name.
        layer: String,
        /// How long it took.
        took: Duration,
    },
    /// A layer could not be built; the error goes to all who asked for it.
    Failed {
        /// Its name.
        layer: String,
    },
}

/// An image that sandboxes can be made from.
#[derive(Clone, Debug)]
pub struct ReadyImage {
    /// Its key.
    pub key: ImageKey,
    /// The name it answers to.
    pub name: String,
    /// How many of its layers were built for this call.
    pub built: usize,
    /// Its key as text, `sha256:…`, for manifests.
    pub digest: String,
    /// Keeps it where it is.
    _hold: Option<Arc<ImageHold>>,
}

impl Images {
    /// Images on this back-end, kept in this store.
    #[must_use]
    pub fn new(backend: Arc<dyn Backend>, store: Store, options: ImageOptions) -> Self {
        let mirrors = repo::Mirrors::new(
            options.home.join("repos-v1"),
            options.repos.clone(),
            options.repos_url.clone(),
        );
        let builders = tokio::sync::Semaphore::new(options.parallel.max(1));
        Self(Arc::new(Inner {
            backend,
            store,
            options,
            mirrors,
            layers: OnceMap::default(),
            builders,
            room: room::Room::new(),
            digests: Mutex::default(),
            hosts: Mutex::default(),
            own: Mutex::default(),
        }))
    }

    /// Says which instances will be asked for: what their images have in common is made so that it
    /// is the same in all. To be called before the first is built; what was not said works too.
    pub fn expect(&self, instances: &[Instance]) {
        for instance in instances {
            let from_git = instance.env.as_ref().is_some_and(|spec| spec.repo == RepoSource::Git);
            if let (true, Some(base)) = (from_git, &instance.base_commit) {
                self.0.mirrors.expect(&instance.repo, base);
            }
        }
    }

    /// Makes sure of the image of an instance: it is here, or pulled, or built, as
    /// [`ImagePolicy`] says. A layer is built once however many ask for it, in this process or
    /// another; a failure is remembered as long as this value lives. The image stays where it is for
    /// as long as what is returned lives, whatever else needs room.
    ///
    /// # Errors
    /// [`ImageError`], which names the layer, the step and the log.
    pub async fn ensure(&self, instance: &Instance) -> Result<ReadyImage, ImageError> {
        if let Some(own) = self.0.own_image(instance).await? {
            return Ok(own);
        }
        if self.0.is_pulled(instance) {
            return self.0.pull(&instance.image_name).await;
        }
        if let Some(build) = self.dockerfile_of(instance) {
            return self.build_named(&build).await;
        }
        self.0.pull_base(instance).await?;
        let plan = self.plan(instance)?;
        let key = plan.key();
        let inner = &self.0;
        let mut made = Made { built: 0, hold: inner.hold(key).await?.map(Arc::new) };
        if plan.origin == plan::IMPORTED {
            inner.hand_over(key).await?;
        } else if let Some(spec) = &instance.env {
            made = inner.make(&plan, spec, made).await?;
            // A back-end that keeps its images elsewhere finds them by their key alone.
            let current = inner.store.resolve(&plan.image_name);
            if current != Some((key, TagOrigin::Built)) && inner.store.contains(&key) {
                inner.store.tag(&plan.image_name, &key, TagOrigin::Built)?;
            }
        }
        let Made { built, hold } = made;
        let digest = format!("sha256:{key}");
        Ok(ReadyImage { key, name: plan.image_name, built, digest, _hold: hold })
    }

    /// The key of the image that [`Images::ensure`] would give for an instance, where that can be told
    /// without pulling or building anything; `None` too where everything is to be made anew. Blocks.
    #[must_use]
    pub fn known_key(&self, instance: &Instance) -> Option<ImageKey> {
        let of_dockerfile = self.dockerfile_of(instance).is_some();
        if self.0.options.force || self.0.is_pulled(instance) || of_dockerfile {
            return None;
        }
        self.plan(instance).ok().map(|plan| plan.key())
    }

    /// Which layers the image of an instance is made of, and which of them are there. An image that
    /// was imported or pulled under the name that the instance asks for goes before its recipe.
    ///
    /// # Errors
    /// [`ImageError`] if neither an image nor a recipe is known, or the root source is not there.
    pub fn plan(&self, instance: &Instance) -> Result<ImagePlan, ImageError> {
        let inner = &self.0;
        let recipe_only = inner.options.policy == ImagePolicy::Build && instance.env.is_some();
        if let Some((key, origin)) = inner.store.resolve(&instance.image_name)
            && origin != TagOrigin::Built
            && !recipe_only
        {
            return Ok(plan::foreign(&instance.image_name, key));
        }
        let Some(spec) = &instance.env else {
            return Err(ImageError::Unknown {
                instance: instance.id.to_string(),
                image: instance.image_name.clone(),
            });
        };
        let mut plan = plan::plan(instance, spec, &inner.inputs(spec)?);
        for layer in &mut plan.layers {
            layer.present = inner.store.contains(&layer.key.into());
        }
        Ok(plan)
    }
}

impl Inner {
    async fn has(&self, key: ImageKey) -> Result<bool, ImageError> {
        self.backend.contains(&key).await.map_err(ImageError::sandbox("image"))
    }

    fn tell(&self, event: ImageEvent) {
        if let Some(watcher) = &self.options.watcher {
            watcher(&event);
        }
    }

    fn inputs(&self, spec: &EnvSpec) -> Result<plan::Inputs, ImageError> {
        let root = match &spec.base {
            RootSource::Host => self.host_key(&spec.tools),
            RootSource::Debian(suite) => bootstrap::key(suite, &plan::debian_packages(spec)),
            RootSource::Directory(path) | RootSource::Archive(path) => {
                let digest = self.digest_of(path).map_err(|error| ImageError::Root {
                    root: plan::root_name(&spec.base),
                    why: error.to_string(),
                })?;
                plan::root_key(&spec.base, digest)
            }
            RootSource::Named(name) => match self.known(name) {
                Some(key) => LayerKey(key.0),
                None => {
                    return Err(ImageError::Root {
                        root: plan::root_name(&spec.base),
                        why: "no image of this name is in the store; import or pull it first"
                            .to_owned(),
                    });
                }
            },
        };
        let directory = match &spec.repo {
            RepoSource::Directory(path) => {
                let what = format!("read the source directory of {}", spec.origin);
                Some(self.digest_of(path).map_err(ImageError::file(what))?)
            }
            RepoSource::Git | RepoSource::Sdist(_) => None,
        };
        Ok(plan::Inputs { root, directory })
    }

    fn host_key(&self, tools: &[String]) -> LayerKey {
        if let Some(image) = &self.options.host_image {
            return plan::stand_in_key(image);
        }
        let mut hosts = self.hosts.lock().expect("no holder panics");
        *hosts.entry(tools.to_vec()).or_insert_with(|| layers::host_key(tools))
    }

    fn digest_of(&self, path: &Path) -> std::io::Result<Digest> {
        if let Some(known) = self.digests.lock().expect("no holder panics").get(path) {
            return Ok(*known);
        }
        let digest = repo::digest_of_path(path)?;
        self.digests.lock().expect("no holder panics").insert(path.to_owned(), digest);
        Ok(digest)
    }
}
