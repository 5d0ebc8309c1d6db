//! Which layers the image of an instance is made of, and their keys. Pure: nothing is read or run.

use super::pip::{ENVIRONMENT, WHEELHOUSE};
use super::steps::{self, Step};
use crate::layers::{ImageConfig, ImageKey, LayerKey};
use crate::model::{Digest, DigestBuilder, EnvSpec, Instance, PythonSpec, RepoSource, RootSource};
use std::collections::BTreeMap;

/// Part of every key: a layer built by an evalrun that builds differently is another layer. The
/// texts of the steps are part of the key by themselves.
const FORMAT: &str = "evalrun layer 3";

/// The origin of a plan that builds nothing.
pub(super) const IMPORTED: &str = "imported";

/// Packages of every Debian root: certificates, and what applies patches and reads history.
const DEBIAN_PACKAGES: [&str; 3] = ["ca-certificates", "git", "patch"];
/// What a Python environment needs of a Debian root.
const DEBIAN_PYTHON: [&str; 3] = ["python3", "python3-dev", "python3-venv"];

/// The layers of one image, lowest first.
#[derive(Clone, Debug)]
pub struct ImagePlan {
    /// The name that the image answers to.
    pub image_name: String,
    /// Where the recipe comes from, for people.
    pub origin: String,
    /// At least one.
    pub layers: Vec<LayerPlan>,
}

impl ImagePlan {
    /// The key of the image: that of its topmost layer.
    #[must_use]
    pub fn key(&self) -> ImageKey {
        self.layers.last().expect("a plan has at least its root").key.into()
    }

    /// How many layers are not in the store.
    #[must_use]
    pub fn missing(&self) -> usize {
        self.layers.iter().filter(|layer| !layer.present).count()
    }
}

/// What a layer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerKind {
    /// A root file system that was brought in, or an image that was not built here.
    Root,
    /// What all environments of a repository need of the system.
    Base,
    /// The environment of one version.
    Env,
    /// The work tree of one instance, installed.
    Instance,
}

/// One layer: what is done in a sandbox made of the layer below.
#[derive(Clone, Debug)]
pub struct LayerPlan {
    /// What it is for.
    pub kind: LayerKind,
    /// Its name for people, logs and messages.
    pub name: String,
    /// Its key.
    pub key: LayerKey,
    /// Done in this order; empty for a root.
    pub steps: Vec<Step>,
    /// What the image with this layer on top says beyond the image below.
    pub config: ImageConfig,
    /// Whether it is in the store.
    pub present: bool,
}

/// What a plan has to know of the outside world.
#[derive(Clone, Debug)]
pub(super) struct Inputs {
    /// The key of the root file system.
    pub(super) root: LayerKey,
    /// Digest of the files of a `dir:` source.
    pub(super) directory: Option<Digest>,
}

/// The packages that a Debian root of this recipe is made with, sorted.
pub(super) fn debian_packages(spec: &EnvSpec) -> Vec<String> {
    let python: &[&str] = if spec.python.is_some() { &DEBIAN_PYTHON } else { &[] };
    let mut packages: Vec<String> =
        DEBIAN_PACKAGES.iter().chain(python).map(|&p| p.into()).collect();
    packages.extend(spec.base_packages.iter().cloned());
    packages.sort();
    packages.dedup();
    packages
}

/// The plan of an instance that has a recipe.
pub(super) fn plan(instance: &Instance, spec: &EnvSpec, inputs: &Inputs) -> ImagePlan {
    let mut plan = ImagePlan {
        image_name: instance.image_name.clone(),
        origin: spec.origin.clone(),
        layers: vec![LayerPlan {
            kind: LayerKind::Root,
            name: root_name(&spec.base),
            key: inputs.root,
            steps: Vec::new(),
            config: ImageConfig::default(),
            present: false,
        }],
    };
    let mut first = system_steps(spec);
    if let Some(python) = &spec.python {
        first.extend(steps::activation());
        first.push(steps::times(false));
        // The same for all repositories on one root: nothing of a repository is in it.
        let name = format!("base-{}", root_name(&spec.base));
        push(&mut plan, LayerKind::Base, name, first, ImageConfig::default());
        let repo = instance.repo.replace('/', "__");
        let config = ImageConfig { env: spec.env.clone(), ..ImageConfig::default() };
        let name = format!("env-{repo}-{}", instance.version);
        push(&mut plan, LayerKind::Env, name, env_steps(instance, spec, python), config);
        first = Vec::new();
    }
    first.extend(instance_steps(instance, spec, inputs));
    let config = ImageConfig {
        env: if spec.python.is_some() { BTreeMap::new() } else { spec.env.clone() },
        workdir: steps::TESTBED.to_owned(),
        ..ImageConfig::default()
    };
    push(&mut plan, LayerKind::Instance, instance.id.to_string(), first, config);
    plan
}

/// The plan of an image that somebody brought in under the name that the instance asks for.
pub(super) fn foreign(image_name: &str, key: ImageKey) -> ImagePlan {
    ImagePlan {
        image_name: image_name.to_owned(),
        origin: IMPORTED.to_owned(),
        layers: vec![LayerPlan {
            kind: LayerKind::Root,
            name: image_name.to_owned(),
            key: LayerKey(key.0),
            steps: Vec::new(),
            config: ImageConfig::default(),
            present: true,
        }],
    }
}

fn push(
    plan: &mut ImagePlan,
    kind: LayerKind,
    name: String,
    steps: Vec<Step>,
    config: ImageConfig,
) {
    let parent = plan.key();
    let key = DigestBuilder::new(FORMAT)
        .field("parent", parent.to_string())
        .list("step", steps.iter().map(json))
        .field("config", json(&config))
        .finish();
    let name = if kind == LayerKind::Instance { name } else { format!("{name}-{}", key.short()) };
    plan.layers.push(LayerPlan { kind, name, key: LayerKey(key), steps, config, present: false });
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("steps and configs have text keys only")
}

/// The key of a root that is made from these bytes.
pub(super) fn root_key(root: &RootSource, content: Digest) -> LayerKey {
    let kind = if matches!(root, RootSource::Archive(_)) { "archive" } else { "directory" };
    let digest = DigestBuilder::new(FORMAT).field(kind, content.to_string()).finish();
    LayerKey(digest)
}

/// The key of what stands for this machine's files where they cannot be had.
pub(super) fn stand_in_key(image: &str) -> LayerKey {
    LayerKey(DigestBuilder::new(FORMAT).field("stands for the host", image).finish())
}

pub(super) fn root_name(root: &RootSource) -> String {
    match root {
        RootSource::Host => "host".to_owned(),
        RootSource::Debian(suite) => format!("debian:{suite}"),
        RootSource::Directory(path) => format!("dir:{}", path.display()),
        RootSource::Archive(path) => format!("archive:{}", path.display()),
        RootSource::Named(name) => format!("image:{name}"),
    }
}

/// What the system below must offer. A Debian root is made with its packages already.
fn system_steps(spec: &EnvSpec) -> Vec<Step> {
    match &spec.base {
        RootSource::Debian(_) => Vec::new(),
        RootSource::Host if spec.tools.is_empty() => Vec::new(),
        RootSource::Host => vec![steps::tools(&spec.tools)],
        RootSource::Directory(_) | RootSource::Archive(_) | RootSource::Named(_) => {
            if spec.base_packages.is_empty() {
                Vec::new()
            } else {
                vec![steps::apt(&spec.base_packages)]
            }
        }
    }
}

fn env_steps(instance: &Instance, spec: &EnvSpec, python: &PythonSpec) -> Vec<Step> {
    let suite = !matches!(spec.base, RootSource::Host);
    let mut all = vec![steps::python(python, suite)];
    if !python.requirements.is_empty()
        && let Some(base) = &instance.base_commit
    {
        let setup = instance.environment_setup_commit.as_ref().unwrap_or(base);
        all.push(Step::Requirements {
            repo: instance.repo.clone(),
            commit: setup.clone(),
            paths: python.requirements.clone(),
            into: steps::REQUIREMENTS.to_owned(),
        });
        all.push(steps::requirements());
    }
    if !python.packages.is_empty() {
        all.push(steps::packages(&python.packages));
    }
    all.push(steps::wheelhouse(&python.build_requires));
    // Last: from here on pip looks nowhere but into the wheelhouse, unless told otherwise, as the
    // steps of a build are.
    all.push(Step::Write {
        path: format!("{ENVIRONMENT}/pip.conf"),
        mode: 0o644,
        text: format!(
            "[global]\nno-index = true\nfind-links = {WHEELHOUSE}\n\
             disable-pip-version-check = true\n"
        ),
    });
    all.push(steps::times(true));
    all
}

fn instance_steps(instance: &Instance, spec: &EnvSpec, inputs: &Inputs) -> Vec<Step> {
    let identity = match &spec.repo {
        RepoSource::Git => format!(
            "git {} {}",
            instance.repo,
            instance.base_commit.as_deref().unwrap_or("without a base commit")
        ),
        RepoSource::Directory(_) => {
            format!("dir {}", inputs.directory.map(|d| d.to_string()).unwrap_or_default())
        }
        RepoSource::Sdist(_) => String::new(),
    };
    let mut all = vec![match &spec.repo {
        RepoSource::Sdist(name) => steps::sdist(name),
        RepoSource::Git | RepoSource::Directory(_) => Step::Checkout {
            identity,
            repo: instance.repo.clone(),
            source: spec.repo.clone(),
            commit: match &spec.repo {
                RepoSource::Git => instance.base_commit.clone(),
                RepoSource::Directory(_) | RepoSource::Sdist(_) => None,
            },
        },
    }];
    let python = spec.python.is_some();
    let lines: Vec<&String> = spec.pre_install.iter().chain(&spec.install).collect();
    if !lines.is_empty() {
        all.push(steps::install(&lines, python));
    }
    let reinstall: Vec<&String> = spec
        .install
        .iter()
        .filter(|line| line.contains("pip") && line.contains("install"))
        .collect();
    if python && !reinstall.is_empty() {
        all.push(steps::reinstall(&reinstall));
    }
    all.push(steps::times(python));
    // After it: the index of the work tree knows the times of its files.
    all.push(steps::seal());
    all
}

#[cfg(test)]
pub(in crate::image) mod tests;
