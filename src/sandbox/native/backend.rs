//! The back-end: makes sandboxes, keeps account of them, and clears them away.

use super::cgroup::{Cgroup, Cgroups};
use super::handle::{EndReason, Shared};
use super::launcher::{self, Wanted, Zygotes};
use super::leftovers;
use super::network::HostView;
use super::quota::Quotas;
use super::reaper::{Reaper, Remains};
use super::warm::{Kind, Warm};
use super::watch_disk::Amount;
use super::ways::Way;
use super::{copy, spread, sys, watch};
use crate::layers::{
    ImageConfig, ImageKey, LayerKey, Store, StoreError, StoredImage, export_image, host,
    import_archive, import_directory, import_tar,
};
use crate::model::{DiskLimit, Usage};
use crate::sandbox::{Backend, ByteStream, Root, Sandbox, SandboxError, SandboxOptions};
use async_trait::async_trait;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use tokio::io::Interest;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

/// Tells the back-ends of one process apart.
static BACKENDS: AtomicU64 = AtomicU64::new(0);

/// How the native back-end is set up.
#[derive(Clone, Debug, Default)]
pub struct NativeOptions {
    /// The program that helpers are started from, `evalrun-zygote` or `evalrun`. `None`:
    /// `EVALRUN_HELPER`, else what is beside this program, else this program if it is `evalrun`.
    pub helper: Option<PathBuf>,
    /// Ways of this kernel's not to take, for trying and measuring the older ones.
    pub avoid: Vec<Way>,
    /// What is to limit what sandboxes write to disk. `None`: the best there is.
    pub disk_limit: Option<DiskLimit>,
}

/// Sandboxes by this machine's kernel alone.
pub struct NativeBackend {
    inner: Arc<Inner>,
}

/// What the back-end and its sandboxes share.
pub(super) struct Inner {
    pub(super) store: Store,
    pub(super) runtime: Handle,
    /// What goes on in the background and must end before we do.
    pub(super) tasks: TaskTracker,
    pub(super) zygotes: Zygotes,
    /// `None` only while the back-end ends.
    reaper: Option<Reaper>,
    pub(super) cgroups: Arc<Cgroups>,
    pub(super) host_view: HostView,
    /// Quotas of the store's file system, if they are used.
    pub(super) quotas: Option<Quotas>,
    /// Names our directories and cgroups: our pid, when we started, and a number.
    pub(super) owner: String,
    pub(super) directory: PathBuf,
    pub(super) count: AtomicU64,
    pub(super) live: Mutex<HashMap<String, Weak<Shared>>>,
    pub(super) warm: Warm,
    images: Mutex<HashMap<ImageKey, Arc<StoredImage>>>,
}

impl NativeBackend {
    /// A back-end on this store. Must be called in a tokio runtime; blocks for some milliseconds
    /// while its helper starts.
    ///
    /// # Errors
    /// The helper is not there, or this machine does not permit what sandboxes need.
    pub fn new(store: Store, options: NativeOptions) -> Result<Arc<Self>, SandboxError> {
        let runtime = Handle::try_current().map_err(|error| SandboxError::Unsupported {
            what: "a native back-end outside a tokio runtime",
            why: error.to_string(),
        })?;
        raise_descriptor_limit();
        let helpers = launcher::find_helpers(options.helper.as_deref())?;
        let own_name = leftovers::own_name();
        let own_name = own_name.map_err(SandboxError::step("read our own start time"))?;
        let owner = format!("{own_name}-{}", BACKENDS.fetch_add(1, Ordering::Relaxed));
        let directory = store.home().join("sandboxes-v1");
        fs_err::create_dir_all(&directory).map_err(SandboxError::step("make a directory"))?;
        spread::spread(&directory);
        let quotas = find_quotas(&directory, options.disk_limit)?;
        // Before the zygote: it is to be where we are.
        let cgroups = Arc::new(Cgroups::find(&owner));
        let home = store.home().to_owned();
        let wanted = Wanted { helpers, home, stays: false, avoid: options.avoid };
        let zygotes = Zygotes::start(wanted, &runtime)?;
        let reaper = Some(Reaper::start(&cgroups)?);
        let inner = Arc::new(Inner {
            store,
            runtime: runtime.clone(),
            tasks: TaskTracker::new(),
            zygotes,
            reaper,
            cgroups,
            host_view: HostView::of_this_machine(),
            quotas,
            owner,
            directory,
            count: AtomicU64::new(0),
            live: Mutex::default(),
            warm: Warm::default(),
            images: Mutex::default(),
        });
        runtime.spawn(watch::watch(Arc::downgrade(&inner)));
        Ok(Arc::new(Self { inner }))
    }
}

impl NativeBackend {
    /// The ways that are taken on this kernel; older ones take the place of the rest.
    #[must_use]
    pub fn ways(&self) -> Vec<Way> {
        self.inner.zygotes.ways.0.clone()
    }
}

/// Quotas for what is written below `directory`, if that is what limits it.
fn find_quotas(
    directory: &Path,
    wanted: Option<DiskLimit>,
) -> Result<Option<Quotas>, SandboxError> {
    match (Quotas::find(directory), wanted) {
        (Ok(quotas), None | Some(DiskLimit::Quota)) => Ok(Some(quotas)),
        (Err(why), Some(DiskLimit::Quota)) => Err(SandboxError::Unsupported {
            what: "limiting disks by project quota",
            why: why.to_owned(),
        }),
        _ => Ok(None),
    }
}

/// Five hundred sandboxes need some thousand descriptors.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // Where it cannot be raised, what there is must do.
    let _ = setrlimit(Resource::Nofile, wanted);
}

impl Drop for Inner {
    fn drop(&mut self) {
        for shared in self.warm.take_all(None) {
            shared.end(EndReason::Asked);
            self.bury(shared.directory.clone(), shared.take_cgroup());
        }
        // It has the last cgroups.
        self.reaper = None;
        self.cgroups.remove();
    }
}

fn store_error(error: StoreError) -> SandboxError {
    match error {
        StoreError::NoSuchImage(key) => SandboxError::NoSuchImage(key),
        other => SandboxError::Store(Box::new(other)),
    }
}

/// Runs what blocks where it may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SandboxError> + Send + 'static,
) -> Result<T, SandboxError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(SandboxError::Protocol(format!("a task of ours failed: {error}"))),
    }
}

impl Inner {
    pub(super) fn image(&self, key: &ImageKey) -> Result<Arc<StoredImage>, SandboxError> {
        let mut images = self.images.lock().expect("nothing panics while it holds this lock");
        if let Some(image) = images.get(key)
            && image.layers.iter().all(|layer| self.store.layer_dir(layer).exists())
        {
            return Ok(image.clone());
        }
        let image = self.store.image(key).map_err(store_error)?;
        let image = Arc::new(image.ok_or(SandboxError::NoSuchImage(*key))?);
        images.insert(*key, image.clone());
        Ok(image)
    }

    /// Whether we act for the machine's root.
    pub(super) fn is_root(&self) -> bool {
        self.zygotes.userns.is_some()
    }

    /// All sandboxes that live.
    pub(super) fn live(&self) -> Vec<Arc<Shared>> {
        let live = self.live.lock().expect("nothing panics while it holds this lock");
        live.values().filter_map(Weak::upgrade).collect()
    }

    /// What is free in the store's file system.
    pub(super) fn free_on_disk(&self) -> Amount {
        rustix::fs::statvfs(&self.directory).map_or(Amount::default(), |stat| Amount {
            bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
            // Some have as many as there is room for, and say none.
            files: if stat.f_files == 0 { u64::MAX } else { stat.f_ffree },
        })
    }

    /// Waits until no process of a sandbox is left.
    pub(super) async fn wait_for_end(&self, shared: &Shared) -> Result<(), SandboxError> {
        let step = || SandboxError::step("wait for the end of a sandbox");
        let pidfd = shared.pidfd.try_clone().map_err(step())?;
        let pidfd = sys::watched(pidfd, Interest::READABLE).map_err(step())?;
        pidfd.readable().await.map(drop).map_err(step())
    }

    /// Has what is left of a sandbox cleared away, some time soon; `close` waits for that.
    pub(super) fn bury(&self, directory: Option<PathBuf>, cgroup: Option<Cgroup>) {
        if let Some(reaper) = &self.reaper {
            reaper.take(Remains { directory, cgroup, token: self.tasks.token() });
        }
    }

    /// Waits for the end of a sandbox that has been killed and clears away what is left of it.
    pub(super) async fn clear_away(self: Arc<Self>, shared: Arc<Shared>) -> Usage {
        // If it cannot be waited for, the next sweep finds it.
        let _ = self.wait_for_end(&shared).await;
        let facts = shared.read_facts();
        let usage = Usage {
            wall: shared.begun().elapsed(),
            peak_memory: facts.peak_memory.unwrap_or(0),
            ..shared.used()
        };
        if let (Some(netns), Some(zygote)) = (shared.take_netns(), &shared.zygote) {
            zygote.release(netns);
        }
        self.bury(shared.directory.clone(), shared.take_cgroup());
        self.live.lock().expect("nothing panics while it holds this lock").remove(&shared.name);
        usage
    }
}

#[async_trait]
impl Backend for NativeBackend {
    fn name(&self) -> &'static str {
        "native"
    }

    fn caveats(&self) -> Vec<String> {
        let mut caveats = self.inner.cgroups.missing.clone();
        if !self.inner.cgroups.limits_memory() {
            caveats.push(
                "memory is watched, not limited: a burst may exceed its limit before it is seen"
                    .to_owned(),
            );
        }
        if self.inner.quotas.is_none() {
            caveats.push(
                "what goes to disk is watched, not limited: a burst may exceed its limit"
                    .to_owned(),
            );
        }
        if !self.inner.is_root() {
            caveats.push(
                "root is the only user inside: commands of other users run as root, and the owners \
                 that files are given are written down but not in force"
                    .to_owned(),
            );
        }
        caveats
    }

    async fn contains(&self, image: &ImageKey) -> Result<bool, SandboxError> {
        let (store, image) = (self.inner.store.clone(), *image);
        blocking(move || Ok(store.contains(&image))).await
    }

    async fn import(
        &self,
        key: LayerKey,
        root: Root,
        config: &ImageConfig,
    ) -> Result<ImageKey, SandboxError> {
        let (store, config) = (self.inner.store.clone(), config.clone());
        let runtime = self.inner.runtime.clone();
        blocking(move || {
            let image = ImageKey::from(key);
            if store.contains(&image) {
                return Ok(image);
            }
            match root {
                Root::Host => host::import(&store, key, &config),
                Root::Directory(path) => import_directory(&store, key, &config, &path),
                Root::Archive(path) => import_archive(&store, key, &config, &path),
                Root::Tar(stream) => {
                    let _in_runtime = runtime.enter();
                    let reader = tokio_util::io::SyncIoBridge::new(stream);
                    import_tar(&store, key, &config, reader)
                }
            }
            .map_err(store_error)
        })
        .await
    }

    async fn create(
        &self,
        image: &ImageKey,
        options: &SandboxOptions,
    ) -> Result<Arc<dyn Sandbox>, SandboxError> {
        // In a task of its own: a caller who loses patience must not leave a half-made sandbox.
        let made = self.inner.clone().create(*image, options.clone());
        match self.inner.tasks.spawn_on(made, &self.inner.runtime).await {
            Ok(result) => result,
            Err(error) => Err(SandboxError::Protocol(format!("a task of ours failed: {error}"))),
        }
    }

    async fn export(&self, image: &ImageKey) -> Result<ByteStream, SandboxError> {
        // As the store has it, with the owners that are written down.
        let step = || SandboxError::step("make a pipe");
        let (reader, writer) = std::io::pipe().map_err(step())?;
        let reader = tokio::net::unix::pipe::Receiver::from_owned_fd(reader.into());
        let reader = reader.map_err(step())?;
        self.inner.image(image)?;
        let (store, image) = (self.inner.store.clone(), *image);
        let writing = tokio::task::spawn_blocking(move || {
            export_image(&store, &image, writer, true).map_err(std::io::Error::other)
        });
        Ok(Box::new(copy::Joined::new(reader, writing)))
    }

    async fn remove(&self, image: &ImageKey) -> Result<(), SandboxError> {
        self.inner.images.lock().expect("nothing panics while it holds this lock").remove(image);
        let (store, image) = (self.inner.store.clone(), *image);
        blocking(move || store.forget(&image).map_err(store_error)).await
    }

    async fn sweep(&self) -> Result<usize, SandboxError> {
        let store = self.inner.store.clone();
        blocking(move || {
            let swept = store.sweep().map_err(store_error)?;
            Ok(swept + leftovers::sweep(store.home()))
        })
        .await
    }

    async fn make_ready(
        &self,
        image: &ImageKey,
        options: &SandboxOptions,
        count: usize,
    ) -> Result<(), SandboxError> {
        let kind = Kind::new(*image, options);
        if count == 0 {
            let ended = self.inner.warm.take_all(Some(&kind));
            self.inner.end_warm(ended);
            return Ok(());
        }
        // In a task of its own, for the same reason as `create`.
        let made = self.inner.clone().make_ready(kind, options.clone(), count);
        match self.inner.tasks.spawn_on(made, &self.inner.runtime).await {
            Ok(result) => result,
            Err(error) => Err(SandboxError::Protocol(format!("a task of ours failed: {error}"))),
        }
    }

    async fn close(&self) {
        self.inner.end_warm(self.inner.warm.take_all(None));
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
        self.inner.tasks.reopen();
    }
}
