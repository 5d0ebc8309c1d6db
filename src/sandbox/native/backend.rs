//! The back-end: makes sandboxes, keeps account of them, and clears them away.

use super::cgroup::{Cgroup, Cgroups};
use super::handle::{Parts, Shared};
use super::launcher::{self, Zygote};
use super::leftovers;
use super::network::HostView;
use super::proto::{Bind, Create, Join, UpperPlan};
use super::sandbox::{NativeSandbox, environment};
use super::setup::{self, Machine};
use super::zygote::SHIFT;
use super::{binds, copy, sys, watch};
use crate::layers::{
    ImageConfig, ImageKey, LayerKey, Store, StoreError, StoredImage, host, import_archive,
    import_directory, import_tar, remove_tree,
};
use crate::model::Usage;
use crate::sandbox::{
    Backend, ByteStream, Content, Network, Root, Sandbox, SandboxError, SandboxOptions, Upper,
};
use async_trait::async_trait;
use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tokio::io::Interest;
use tokio::runtime::Handle;
use tokio::sync::OnceCell;
use tokio_util::task::TaskTracker;

/// Size of an upper in memory where no limit says one.
const MEMORY_UPPER: u64 = 1 << 30;
/// How long a cgroup may take to be empty after its last process has ended.
const CGROUP_PATIENCE: Duration = Duration::from_secs(2);

/// Tells the back-ends of one process apart.
static BACKENDS: AtomicU64 = AtomicU64::new(0);

/// How the native back-end is set up.
#[derive(Clone, Debug, Default)]
pub struct NativeOptions {
    /// The `evalrun` program that helpers are started from. `None`: `EVALRUN_HELPER`, else this
    /// program if it is `evalrun`, else the one beside it.
    pub helper: Option<PathBuf>,
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
    helper: PathBuf,
    zygote: Zygote,
    /// For sandboxes in the machine's own network when we are not root: a zygote of an ordinary user
    /// that has left that namespace cannot go back.
    host_zygote: OnceCell<Zygote>,
    pub(super) cgroups: Cgroups,
    host_view: HostView,
    /// Names our directories and cgroups: our pid, when we started, and a number.
    owner: String,
    directory: PathBuf,
    count: AtomicU64,
    live: Mutex<HashMap<String, Weak<Shared>>>,
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
        let helper = launcher::find_helper(options.helper.as_deref())?;
        let own_name = leftovers::own_name();
        let own_name = own_name.map_err(SandboxError::step("read our own start time"))?;
        let owner = format!("{own_name}-{}", BACKENDS.fetch_add(1, Ordering::Relaxed));
        let directory = store.home().join("sandboxes-v1");
        fs_err::create_dir_all(&directory).map_err(SandboxError::step("make a directory"))?;
        // Before the zygote: it is to be where we are.
        let cgroups = Cgroups::find(&owner);
        let zygote = Zygote::start(&helper, store.home())?;
        let inner = Arc::new(Inner {
            store,
            runtime: runtime.clone(),
            tasks: TaskTracker::new(),
            helper,
            zygote,
            host_zygote: OnceCell::new(),
            cgroups,
            host_view: HostView::of_this_machine(),
            owner,
            directory,
            count: AtomicU64::new(0),
            live: Mutex::default(),
            images: Mutex::default(),
        });
        runtime.spawn(watch::watch(Arc::downgrade(&inner)));
        Ok(Arc::new(Self { inner }))
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
    fn image(&self, key: &ImageKey) -> Result<Arc<StoredImage>, SandboxError> {
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

    /// The zygote for this network.
    async fn zygote(&self, network: Network) -> Result<&Zygote, SandboxError> {
        if self.is_root() || network == Network::None {
            return Ok(&self.zygote);
        }
        let (helper, home) = (self.helper.clone(), self.store.home().to_owned());
        let start = || blocking(move || Zygote::start(&helper, &home));
        self.host_zygote.get_or_try_init(start).await
    }

    /// Whether we act for the machine's root.
    pub(super) fn is_root(&self) -> bool {
        self.zygote.userns.is_some()
    }

    /// All sandboxes that live.
    pub(super) fn live(&self) -> Vec<Arc<Shared>> {
        let live = self.live.lock().expect("nothing panics while it holds this lock");
        live.values().filter_map(Weak::upgrade).collect()
    }

    async fn create(
        self: Arc<Self>,
        key: ImageKey,
        options: SandboxOptions,
    ) -> Result<Arc<dyn Sandbox>, SandboxError> {
        let image = self.image(&key)?;
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{number}", self.owner);
        let directory = self.directory.join(&name);
        let made = self.create_in(&image, &options, &name, &directory).await;
        let shared = match made {
            Ok(shared) => Arc::new(shared),
            Err(error) => {
                self.tasks.spawn_blocking_on(move || drop(remove_tree(&directory)), &self.runtime);
                return Err(error);
            }
        };
        self.live
            .lock()
            .expect("nothing panics while it holds this lock")
            .insert(name, Arc::downgrade(&shared));
        tokio::spawn(shared.clone().listen(options.lifetime));
        let network = match options.network {
            Network::None => std::collections::BTreeMap::new(),
            Network::Host => self.host_view.env.clone(),
        };
        Ok(Arc::new(NativeSandbox {
            shared,
            env: environment(&image.config, network, &options),
            image: key,
            config: image.config.clone(),
            inner: self,
            finished: Arc::default(),
        }))
    }

    async fn create_in(
        &self,
        image: &StoredImage,
        options: &SandboxOptions,
        name: &str,
        directory: &Path,
    ) -> Result<Shared, SandboxError> {
        let limits = &options.limits;
        make_directories(directory, options.upper)?;
        let cgroup = match self.cgroups.join() {
            Join::None => None,
            _ => Some(CgroupGuard(Some(self.cgroups.make(name, limits)?))),
        };
        let (create, mut descriptors) = self.plan(image, options, directory)?;
        let mut all = Vec::new();
        let step = |errno: rustix::io::Errno| SandboxError::step("make a socket")(errno.into());
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .map_err(step)?;
        rustix::io::ioctl_fionbio(&ours, true).map_err(step)?;
        all.push(theirs);
        if let Some(cgroup) = &cgroup {
            all.extend(cgroup.get().joins()?);
        }
        all.append(&mut descriptors);
        let free_at_start = self.free_bytes();
        let born = self.zygote(options.network).await?.create(create, all).await?;
        Ok(Shared::new(Parts {
            name: name.to_owned(),
            limits: limits.clone(),
            pid: born.pid,
            pidfd: born.pidfd,
            netns: born.netns,
            directory: directory.to_owned(),
            memory_upper: born.upper,
            cgroup: cgroup.map(CgroupGuard::keep),
            shift: self.is_root().then_some(SHIFT),
            free_at_start,
            control: sys::watched(ours, Interest::READABLE | Interest::WRITABLE)
                .map_err(SandboxError::step("watch a socket"))?,
        }))
    }

    /// What the zygote is asked for.
    fn plan(
        &self,
        image: &StoredImage,
        options: &SandboxOptions,
        directory: &Path,
    ) -> Result<(Create, Vec<OwnedFd>), SandboxError> {
        let machine =
            Machine { many_ids: self.is_root(), join: self.cgroups.join(), own_netns: false };
        let lowers = image.layers.iter().rev();
        let lowers = lowers.map(|layer| self.below_home(&self.store.layer_dir(layer)));
        let mut wanted: Vec<binds::Wanted> =
            image.binds.iter().map(|path| binds::Wanted::same_place(path)).collect();
        if options.network == Network::Host {
            wanted.extend(self.host_view.files.iter().cloned());
        }
        wanted.extend(options.mounts.iter().map(binds::Wanted::from));
        let (binds, descriptors): (Vec<Bind>, Vec<OwnedFd>) =
            binds::prepare(&wanted, self.zygote.userns.as_ref())?;
        let upper = match options.upper {
            Upper::Disk => UpperPlan::Disk(self.below_home(directory)?),
            Upper::Memory => UpperPlan::Memory(options.limits.disk.unwrap_or(MEMORY_UPPER)),
        };
        let create = Create {
            lowers: lowers.collect::<Result<_, _>>()?,
            upper,
            binds,
            host_network: options.network == Network::Host,
            join: self.cgroups.join(),
            setup: setup::plan(&options.limits, &machine, "sandbox"),
        };
        Ok((create, descriptors))
    }

    /// A path as the zygote's view of the home directory has it.
    fn below_home(&self, path: &Path) -> Result<String, SandboxError> {
        let below = path.strip_prefix(self.store.home()).ok().and_then(Path::to_str);
        below.map(str::to_owned).ok_or_else(|| SandboxError::Unsupported {
            what: "a layer outside the home directory",
            why: path.display().to_string(),
        })
    }

    /// Free bytes in the store's file system.
    pub(super) fn free_bytes(&self) -> u64 {
        rustix::fs::statvfs(&self.directory).map_or(0, |stat| stat.f_bavail * stat.f_frsize)
    }

    /// Waits until no process of a sandbox is left.
    pub(super) async fn wait_for_end(&self, shared: &Shared) -> Result<(), SandboxError> {
        let step = || SandboxError::step("wait for the end of a sandbox");
        let pidfd = shared.pidfd.try_clone().map_err(step())?;
        let pidfd = sys::watched(pidfd, Interest::READABLE).map_err(step())?;
        pidfd.readable().await.map(drop).map_err(step())
    }

    /// Waits for the end of a sandbox that has been killed and clears away what is left of it.
    pub(super) async fn clear_away(self: Arc<Self>, shared: Arc<Shared>) -> Usage {
        // If it cannot be waited for, the next sweep finds it.
        let _ = self.wait_for_end(&shared).await;
        let facts = shared.read_facts();
        let usage = Usage {
            wall: shared.born.elapsed(),
            peak_memory: facts.peak_memory.unwrap_or(0),
            ..shared.used()
        };
        if let Some(netns) = shared.netns {
            self.zygote.release(netns);
        }
        let directory = shared.directory.clone();
        // What cannot be removed now is found by the next sweep.
        self.tasks.spawn_blocking_on(move || drop(remove_tree(&directory)), &self.runtime);
        if let Some(cgroup) = &shared.cgroup {
            let until = tokio::time::Instant::now() + CGROUP_PATIENCE;
            while !cgroup.remove() && tokio::time::Instant::now() < until {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        self.live.lock().expect("nothing panics while it holds this lock").remove(&shared.name);
        usage
    }
}

/// Removes cgroups again if nothing comes to live in them.
struct CgroupGuard(Option<Cgroup>);

impl CgroupGuard {
    fn get(&self) -> &Cgroup {
        self.0.as_ref().expect("it is taken only by `keep`, which consumes")
    }

    fn keep(mut self) -> Cgroup {
        self.0.take().expect("it is taken only here")
    }
}

impl Drop for CgroupGuard {
    fn drop(&mut self) {
        if let Some(cgroup) = &self.0 {
            cgroup.remove();
        }
    }
}

fn make_directories(directory: &Path, upper: Upper) -> Result<(), SandboxError> {
    let make = |path: &Path, mode| {
        rustix::fs::mkdir(path, Mode::from_raw_mode(0o700))?;
        rustix::fs::chmod(path, Mode::from_raw_mode(mode))
    };
    let made = make(directory, 0o700).and_then(|()| match upper {
        // The upper's own mode is that of the sandbox's root directory.
        Upper::Disk => {
            make(&directory.join("u"), 0o755).and_then(|()| make(&directory.join("w"), 0o700))
        }
        Upper::Memory => Ok(()),
    });
    let step = || SandboxError::step(format!("make {}", directory.display()));
    made.map_err(|errno| step()(errno.into()))
}

#[async_trait]
impl Backend for NativeBackend {
    fn name(&self) -> &'static str {
        "native"
    }

    fn caveats(&self) -> Vec<String> {
        let mut caveats = self.inner.cgroups.missing.clone();
        if !self.inner.cgroups.limits_memory() {
            caveats.push("memory is watched, not limited: a burst may exceed its limit".to_owned());
        }
        if !self.inner.is_root() {
            caveats.push(
                "files inside belong to one user: changing owners is not possible".to_owned(),
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
        let sandbox = self.create(image, &SandboxOptions::default()).await?;
        match sandbox.copy_out("/", u64::MAX).await? {
            Content::Tar(stream) => Ok(Box::new(copy::Holding::new(stream, sandbox))),
            Content::File { .. } => {
                Err(SandboxError::Protocol("the root came as a file".to_owned()))
            }
        }
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

    async fn close(&self) {
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
        self.inner.tasks.reopen();
    }
}
