//! Images from Dockerfiles: every instruction that changes files is a sandbox that ran something and
//! was frozen, as every other layer.
//!
//! What it understands is the Dockerfile reference,
//! <https://docs.docker.com/reference/dockerfile/>, as BuildKit reads it; stages that the target does
//! not need are not built. A layer's key covers the key below it, what the instruction does and the
//! content of what it copies, so that a build that was done is not done again, and what two
//! Dockerfiles share is built once. Times of files are in no key. Secrets, caches and proxies are in
//! no layer and in no key.

mod copy;
mod ignored;
mod inside;
mod layer;
mod mounts;
mod outline;
mod parse;
mod place;
mod run;
mod source;
mod state;
mod tree;
mod words;

use super::room::Size;
use super::scratch::Scratch;
use super::{ImageError, ImagePolicy, Images, Inner, ReadyImage, build, pulled};
use crate::layers::{ImageConfig, ImageHold, ImageKey, LayerKey, Platform, TagOrigin};
use crate::model::{DigestBuilder, Instance};
use crate::sandbox::Root;
use fs_err as fs;
use ignored::Ignored;
pub use outline::DockerfileOutline;
use outline::Text;
use parse::{Instruction, Stage};
use state::State;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Part of every key: an evalrun that builds differently builds other layers.
const FORMAT: &str = "evalrun Dockerfile layer 1";

/// A build to be done.
#[derive(Clone, Debug)]
pub struct DockerfileBuild {
    /// The Dockerfile.
    pub file: PathBuf,
    /// The directory that `COPY` and `ADD` take files from.
    pub context: PathBuf,
    /// What it is called in messages and logs.
    pub name: String,
    /// Values of `ARG`s.
    pub args: BTreeMap<String, String>,
    /// The stage that is wanted; `None`: the last one.
    pub target: Option<String>,
    /// Files of secrets, by their id.
    pub secrets: BTreeMap<String, PathBuf>,
}

impl Images {
    /// Builds the image of a Dockerfile, or finds that it was built.
    ///
    /// # Errors
    /// [`ImageError`]: the file makes no sense (with its line), an image it starts from is not here,
    /// or an instruction failed.
    pub async fn build_dockerfile(
        &self,
        wanted: &DockerfileBuild,
    ) -> Result<ReadyImage, ImageError> {
        let built = self.0.in_turn(Size::Unknown, || self.build_now(wanted)).await?;
        built.ok_or_else(|| pulled::gone(&wanted.name))
    }

    /// The build of an instance that has a Dockerfile of its own, unless its image was pulled or
    /// imported.
    pub(super) fn dockerfile_of(&self, instance: &Instance) -> Option<DockerfileBuild> {
        let file = instance.dockerfile.clone()?;
        let found = self.0.store.resolve(&instance.image_name);
        if found.is_some_and(|(_, origin)| {
            matches!(origin, TagOrigin::Pulled | TagOrigin::Imported)
                && self.0.options.policy != ImagePolicy::Build
        }) {
            return None;
        }
        let context = file.parent().map(Path::to_owned).unwrap_or_default();
        let name = instance.image_name.clone();
        let (args, secrets) = (BTreeMap::new(), BTreeMap::new());
        Some(DockerfileBuild { file, context, name, args, target: None, secrets })
    }

    /// Builds the image of a Dockerfile and gives it its name.
    pub(super) async fn build_named(
        &self,
        wanted: &DockerfileBuild,
    ) -> Result<ReadyImage, ImageError> {
        let image = self.build_dockerfile(wanted).await?;
        let store = &self.0.store;
        if store.resolve(&wanted.name) != Some((image.key, TagOrigin::Dockerfile)) {
            store.tag(&wanted.name, &image.key, TagOrigin::Dockerfile)?;
        }
        Ok(image)
    }

    /// `None`: something that was made has been evicted meanwhile.
    async fn build_now(&self, wanted: &DockerfileBuild) -> Result<Option<ReadyImage>, ImageError> {
        let builder = Builder::new(&self.0, wanted)?;
        match self.build_all(&builder).await {
            Err(_) if builder.evicted.load(Ordering::Relaxed) => Ok(None),
            result => result.map(Some),
        }
    }

    async fn build_all(&self, builder: &Builder<'_>) -> Result<ReadyImage, ImageError> {
        let wanted = builder.wanted;
        let target = builder.target()?;
        for stage in builder.needed(target)? {
            let state = builder.stage(stage).await?;
            builder.built.lock().expect("no holder panics").insert(stage, state);
        }
        let done = builder.of_stage(target);
        let key = builder.seal(done).await?;
        let built = *builder.count.lock().expect("no holder panics");
        let digest = format!("sha256:{key}");
        let hold = self.0.hold(key).await?.map(Arc::new);
        Ok(ReadyImage { key, name: wanted.name.clone(), built, digest, _hold: hold })
    }
}

/// A build that goes on.
struct Builder<'a> {
    inner: &'a Inner,
    text: Text<'a>,
    ignored: Ignored,
    /// Where what is made for this build only lies; gone with it.
    scratch: Scratch,
    log: fs::File,
    /// Stages that are done.
    built: Mutex<HashMap<usize, State>>,
    /// Files of images, each read once.
    trees: tokio::sync::Mutex<HashMap<ImageKey, std::sync::Arc<tree::Tree>>>,
    context: tokio::sync::OnceCell<std::sync::Arc<tree::Tree>>,
    /// Layers that were built and not found.
    count: Mutex<usize>,
    /// Names in the scratch directory that are taken.
    names: AtomicU64,
    /// Keep what the build stands on in its place.
    holds: Mutex<Vec<ImageHold>>,
    /// Something was made and could not be held any more.
    evicted: AtomicBool,
}

impl<'a> std::ops::Deref for Builder<'a> {
    type Target = Text<'a>;

    fn deref(&self) -> &Text<'a> {
        &self.text
    }
}

impl<'a> Builder<'a> {
    fn new(inner: &'a Inner, wanted: &'a DockerfileBuild) -> Result<Self, ImageError> {
        let text = Text::read(wanted)?;
        let ignored = Ignored::of(&wanted.context, &wanted.file);
        let logs = &inner.options.logs;
        let log = || ImageError::file("write the log of a build");
        fs::create_dir_all(logs).map_err(log())?;
        let path = logs.join(format!("dockerfile-{}.log", build::file_name(&wanted.name)));
        let _ = fs::remove_file(&path);
        let log_file =
            fs::OpenOptions::new().create(true).append(true).open(&path).map_err(log())?;
        Ok(Self {
            inner,
            text,
            ignored: ignored.map_err(ImageError::file("read what the build ignores"))?,
            scratch: Scratch::new(&inner.options.home)
                .map_err(ImageError::file("make a scratch directory"))?,
            log: log_file,
            built: Mutex::default(),
            trees: tokio::sync::Mutex::default(),
            context: tokio::sync::OnceCell::new(),
            count: Mutex::new(0),
            names: AtomicU64::new(0),
            holds: Mutex::default(),
            evicted: AtomicBool::new(false),
        })
    }

    fn of_stage(&self, at: usize) -> State {
        self.built.lock().expect("no holder panics")[&at].clone()
    }

    async fn stage(&self, at: usize) -> Result<State, ImageError> {
        let stage = &self.file.stages[at];
        let mut state = self.base(stage, at).await?;
        for text in std::mem::take(&mut state.config.on_build) {
            let instruction = parse::trigger(stage.line, &text, self.file.escape);
            let instruction = instruction.map_err(|wrong| self.wrong(wrong))?;
            self.instruction(at, &instruction, &mut state).await?;
        }
        for instruction in &stage.instructions {
            self.instruction(at, instruction, &mut state).await?;
        }
        Ok(state)
    }

    /// What a stage starts from.
    async fn base(&self, stage: &Stage, at: usize) -> Result<State, ImageError> {
        let from = self.global_word(stage.line, &stage.from)?;
        if let Some(platform) = &stage.platform {
            let platform = self.global_word(stage.line, platform)?;
            if !is_ours(&platform) {
                let why = format!("images for {platform} cannot be built on {}", platform_name());
                return Err(self.wrong((stage.line, why)));
            }
        }
        if let Some(other) = self.named_stage(&from, at) {
            let state = self.of_stage(other);
            return Ok(State::new(state.image, state.config, self.file.escape));
        }
        let (image, mut config) = match from.as_str() {
            "" => return Err(self.wrong((stage.line, "FROM names no image".to_owned()))),
            "scratch" => {
                let config = ImageConfig { workdir: "/".to_owned(), ..ImageConfig::default() };
                (self.scratch_image().await?, config)
            }
            name => self.named_image(name, stage.line).await?,
        };
        config.env.entry("PATH".to_owned()).or_insert_with(|| build::PATH.to_owned());
        Ok(State::new(image, config, self.file.escape))
    }

    async fn scratch_image(&self) -> Result<ImageKey, ImageError> {
        let key = LayerKey(DigestBuilder::new(FORMAT).field("image", "scratch").finish());
        // The end mark of an archive of nothing.
        let nothing = Root::Tar(Box::new(std::io::Cursor::new(vec![0; 1024])));
        let imported = self.inner.backend.import(key, nothing, &ImageConfig::default()).await;
        let image = imported.map_err(ImageError::sandbox("scratch"))?;
        self.keep(image).await?;
        Ok(image)
    }

    /// An image of this name: the store's, else a registry's.
    async fn named_image(
        &self,
        name: &str,
        line: usize,
    ) -> Result<(ImageKey, ImageConfig), ImageError> {
        let store = &self.inner.store;
        if store.resolve(name).is_none()
            && let Some(own) = self.inner.named(name).await?
        {
            return Ok((own.key, own.config));
        }
        let mut pulled = None;
        if store.resolve(name).is_none() && self.inner.options.registry.is_some() {
            // It is our turn already. What is pulled stays until it is kept.
            pulled = Some(self.inner.pull_now(name).await?);
        }
        let image = match store.resolve(name) {
            Some((key, _)) => store.image(&key)?,
            None => None,
        };
        if let Some(image) = &image {
            self.keep(image.key).await?;
        }
        drop(pulled);
        let image = image.ok_or_else(|| {
            self.wrong((line, format!("image `{name}` is not in the store; import or pull it")))
        })?;
        Ok((image.key, image.config))
    }

    /// Does one instruction.
    async fn instruction(
        &self,
        at: usize,
        instruction: &Instruction,
        state: &mut State,
    ) -> Result<(), ImageError> {
        let applied = state.apply(instruction, &self.arguments);
        if applied.map_err(|wrong| self.wrong(wrong))? {
            return Ok(());
        }
        match instruction.name.as_str() {
            "RUN" => self.run(at, instruction, state).await,
            "COPY" | "ADD" => self.copy(at, instruction, state).await,
            "WORKDIR" => self.workdir(instruction, state).await,
            other => Err(self.wrong((instruction.line, format!("{other} is not expected here")))),
        }
    }

    fn say(&self, line: &str) -> Result<(), ImageError> {
        use std::io::Write as _;
        let mut log = &self.log;
        writeln!(log, "{line}").map_err(ImageError::file("write the log of a build"))
    }

    fn scratch_path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }
}

/// This machine in the words of image platforms.
fn platform_name() -> String {
    let here = Platform::here();
    format!("{}/{}", here.os, here.architecture)
}

fn is_ours(platform: &str) -> bool {
    let platform = platform.to_ascii_lowercase();
    let ours = platform_name();
    platform.is_empty() || platform == ours || platform.starts_with(&format!("{ours}/"))
}

/// The Dockerfile of a context, where none is named.
#[must_use]
pub fn default_dockerfile(context: &Path) -> PathBuf {
    context.join("Dockerfile")
}
