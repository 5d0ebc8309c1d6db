//! The making of a sandbox, on the keeper's side: its directories and cgroups, what the zygote is
//! asked for, and what is held of it afterwards.

use super::backend::Inner;
use super::cgroup::Cgroup;
use super::den::APT_CONFIG;
use super::handle::{Parts, Shared};
use super::proto::{Bind, Create, Join, NetnsPlan, UpperPlan};
use super::quota::Project;
use super::sandbox::{NativeSandbox, environment};
use super::setup::Terms;
use super::warm::Kind;
use super::ways::Way;
use super::zygote::SHIFT;
use super::{binds, sys};
use crate::layers::{ImageKey, StoredImage};
use crate::sandbox::{Limits, Network, Sandbox, SandboxError, SandboxOptions, Upper};
use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::io::Interest;

/// Size of an upper in memory where no limit says one.
const MEMORY_UPPER: u64 = 1 << 30;

/// How large an upper in memory may get. What is in it counts as memory: one as large as the limit
/// of that would turn "no space left" into a killed process.
fn memory_size(limits: &Limits) -> u64 {
    let half = limits.memory.map(|memory| memory / 2);
    limits.disk.into_iter().chain(half).min().unwrap_or(MEMORY_UPPER)
}

/// Where a sandbox of these options writes, if that is left to us: on a machine that is short of
/// memory now, on disk.
fn place(options: &SandboxOptions) -> Upper {
    if options.upper != Upper::Auto {
        return options.upper;
    }
    let info = fs_err::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    match kib.is_some_and(|kib| kib << 10 > memory_size(&options.limits)) {
        true => Upper::Memory,
        false => Upper::Disk,
    }
}

impl Inner {
    /// Makes a sandbox, or takes one that was made ahead.
    pub(super) async fn create(
        self: Arc<Self>,
        key: ImageKey,
        options: SandboxOptions,
    ) -> Result<Arc<dyn Sandbox>, SandboxError> {
        let image = self.image(&key)?;
        let shared = match self.take_warm(&Kind::new(key, &options)) {
            Some(shared) => shared,
            None => self.bear(&image, &options).await?,
        };
        shared.hand_over(options.lifetime);
        let mut network = match options.network {
            Network::None => std::collections::BTreeMap::new(),
            Network::Host => self.host_view.env.clone(),
        };
        // Without a network it has nothing to fetch.
        if !self.is_root() && options.network == Network::Host {
            network.insert("APT_CONFIG".to_owned(), format!("/dev/{APT_CONFIG}"));
        }
        let mut shown: Vec<String> =
            options.mounts.iter().map(|mount| mount.target.clone()).collect();
        if options.network == Network::Host {
            shown.extend(self.host_view.files.iter().map(|file| file.target().to_owned()));
        }
        Ok(Arc::new(NativeSandbox {
            shared,
            env: environment(&image.config, network, &options),
            image: key,
            config: image.config.clone(),
            inner: self,
            finished: Arc::default(),
            shown,
        }))
    }

    /// Makes a sandbox that belongs to nobody yet.
    pub(super) async fn bear(
        &self,
        image: &StoredImage,
        options: &SandboxOptions,
    ) -> Result<Arc<Shared>, SandboxError> {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{number}", self.owner);
        // What it writes in memory needs no place on disk.
        let directory = (place(options) == Upper::Disk).then(|| self.directory.join(&name));
        let made = self.create_in(image, options, &name, directory.as_deref()).await;
        let shared = match made {
            Ok(shared) => Arc::new(shared),
            Err(error) => {
                self.bury(directory, None);
                return Err(error);
            }
        };
        self.live
            .lock()
            .expect("nothing panics while it holds this lock")
            .insert(name, Arc::downgrade(&shared));
        tokio::spawn(shared.clone().listen());
        Ok(shared)
    }

    async fn create_in(
        &self,
        image: &StoredImage,
        options: &SandboxOptions,
        name: &str,
        directory: Option<&Path>,
    ) -> Result<Shared, SandboxError> {
        let limits = &options.limits;
        let quota = match directory {
            Some(directory) => self.make_directories(directory, limits.disk)?,
            None => None,
        };
        let cgroup = match self.cgroups.join() {
            Join::None => None,
            _ => Some(CgroupGuard(Some(self.cgroups.make(name, limits)?))),
        };
        let (create, binds) = self.plan(image, options, directory)?;
        let step = |errno: rustix::io::Errno| SandboxError::step("make a socket")(errno.into());
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .map_err(step)?;
        rustix::io::ioctl_fionbio(&ours, true).map_err(step)?;
        let joins = cgroup.iter().flat_map(|cgroup| cgroup.get().joins());
        let descriptors: Vec<BorrowedFd<'_>> = std::iter::once(theirs.as_fd())
            .chain(joins)
            .chain(binds.iter().map(AsFd::as_fd))
            .collect();
        let free_at_start = directory.map(|_| self.free_on_disk()).unwrap_or_default();
        let zygote = self.zygotes.get(options.network).await?;
        let born = zygote.create(Box::new(create), &descriptors).await?;
        drop(descriptors);
        let shift = self.is_root().then_some(SHIFT);
        let shifted = zygote.ways.has(Way::ShiftedMemory);
        Ok(Shared::new(Parts {
            name: name.to_owned(),
            limits: limits.clone(),
            pid: born.pid,
            pidfd: born.pidfd,
            netns: born.netns,
            zygote: Some(zygote),
            directory: directory.map(Path::to_owned),
            memory_upper: born.upper,
            memory_shift: match shifted {
                true => 0,
                false => shift.unwrap_or(0),
            },
            quota,
            cgroup: cgroup.map(CgroupGuard::keep),
            shift,
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
        directory: Option<&Path>,
    ) -> Result<(Create, Vec<OwnedFd>), SandboxError> {
        let Limits { memory, pids, disk, .. } = options.limits;
        let terms = Terms {
            memory,
            pids,
            disk,
            many_ids: self.is_root(),
            join: self.cgroups.join(),
            hostname: "sandbox".to_owned(),
        };
        let lowers = image.layers.iter().rev();
        let lowers = lowers.map(|layer| self.below_home(&self.store.layer_dir(layer)));
        let mut wanted: Vec<binds::Wanted> =
            image.binds.iter().map(|path| binds::Wanted::same_place(path)).collect();
        if options.network == Network::Host {
            wanted.extend(self.host_view.files.iter().cloned());
        }
        wanted.extend(options.mounts.iter().map(binds::Wanted::from));
        let (binds, descriptors): (Vec<Bind>, Vec<OwnedFd>) =
            binds::prepare(&wanted, self.zygotes.userns.as_ref())?;
        let upper = match directory {
            Some(directory) => UpperPlan::Disk(self.below_home(directory)?),
            None => UpperPlan::Memory(memory_size(&options.limits)),
        };
        let create = Create {
            lowers: lowers.collect::<Result<_, _>>()?,
            upper,
            binds,
            netns: match options.network {
                Network::Host => NetnsPlan::Host,
                Network::None => NetnsPlan::New,
            },
            terms,
        };
        Ok((create, descriptors))
    }

    /// Makes a sandbox's directory and what is in it, within a quota if there can be one.
    fn make_directories(
        &self,
        directory: &Path,
        limit: Option<u64>,
    ) -> Result<Option<Project>, SandboxError> {
        let step = || SandboxError::step(format!("make {}", directory.display()));
        let make = |path: &Path, mode| {
            let made = rustix::fs::mkdir(path, Mode::from_raw_mode(0o700));
            let made = match mode {
                0o700 => made,
                mode => made.and_then(|()| rustix::fs::chmod(path, Mode::from_raw_mode(mode))),
            };
            made.map_err(|errno| step()(errno.into()))
        };
        make(directory, 0o700)?;
        let quota = match (&self.quotas, limit) {
            (Some(quotas), Some(limit)) => Some(quotas.assign(directory, limit)?),
            _ => None,
        };
        // The upper's own mode is that of the sandbox's root directory.
        make(&directory.join("u"), 0o755)?;
        make(&directory.join("w"), 0o700)?;
        Ok(quota)
    }

    /// A path as the zygote's view of the home directory has it.
    fn below_home(&self, path: &Path) -> Result<String, SandboxError> {
        let below = path.strip_prefix(self.store.home()).ok().and_then(Path::to_str);
        below.map(str::to_owned).ok_or_else(|| SandboxError::Unsupported {
            what: "a layer outside the home directory",
            why: path.display().to_string(),
        })
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
