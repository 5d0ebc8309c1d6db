//! What the keeper holds of one live sandbox: its socket, its processes, its limits, and why it
//! ended.

use super::cgroup::{Cgroup, Facts};
use super::launcher::Zygote;
use super::netns::Netns;
use super::proto::{EndedExec, Fault, InitReply, InitRequest, receive, send};
use super::quota::Project;
use super::watch_disk::Amount;
use crate::model::{Disk, DiskLimit, Usage};
use crate::sandbox::{Limits, SandboxError};
use rustix::io::Errno;
use rustix::process::Signal;
use std::collections::HashMap;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;

/// An upper in memory of which less than one part in so many is free has run short.
const NEXT_TO_NONE: u64 = 8;

/// How long it may take until everything in a cgroup stands.
const FREEZING: Duration = Duration::from_secs(5);

/// Why we ended a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndReason {
    /// It was terminated or dropped.
    Asked,
    /// Its lifetime was over.
    Lifetime,
    /// It used more memory than it may, and no cgroup kept it from that.
    Memory,
    /// It wrote more than it may.
    Disk,
    /// Its pid 1 did not do as told.
    Stuck,
}

impl EndReason {
    /// Whether what ran inside brought it about.
    pub(super) fn is_a_limit(self) -> bool {
        matches!(self, Self::Lifetime | Self::Memory | Self::Disk)
    }
}

/// One live sandbox.
pub(super) struct Shared {
    pub(super) name: String,
    pub(super) limits: Limits,
    /// Pid 1 as this machine sees it.
    pub(super) pid: i32,
    pub(super) pidfd: OwnedFd,
    /// Its network namespace, if it is one of the pool's; until it is cleared away.
    netns: Mutex<Option<Netns>>,
    /// The zygote that made it, if one did.
    pub(super) zygote: Option<Arc<Zygote>>,
    /// Its directory in the file system of the store, if it has one.
    pub(super) directory: Option<PathBuf>,
    /// The directory of an upper in memory.
    pub(super) memory_upper: Option<OwnedFd>,
    /// The owners of the files there are those inside plus this much.
    pub(super) memory_shift: u32,
    /// What the file system limits its files on disk by.
    quota: Option<Project>,
    /// Next to no room was left in memory at some moment.
    ran_short: AtomicBool,
    /// Until it is cleared away.
    cgroup: Mutex<Option<Cgroup>>,
    /// Ids inside are these plus this much outside.
    pub(super) shift: Option<u32>,
    /// What was free in the store's file system when it was made.
    pub(super) free_at_start: Amount,
    born: Instant,
    handed_over: OnceLock<Instant>,
    pub(super) control: AsyncFd<OwnedFd>,
    /// The highest peak seen where there is no cgroup to tell it.
    pub(super) watched_peak: AtomicU64,
    /// Held by whoever makes it stand still.
    pub(super) standstill: tokio::sync::Mutex<()>,
    used: [AtomicU64; 2],
    waiting: Mutex<Waiting>,
    numbers: AtomicU64,
    facts: Mutex<Facts>,
    setup_fault: OnceLock<Fault>,
    end: OnceLock<EndReason>,
}

#[derive(Default)]
struct Waiting {
    /// Its pid 1 says nothing any more.
    over: bool,
    starts: HashMap<u64, oneshot::Sender<Result<Option<OwnedFd>, Fault>>>,
    ends: HashMap<u64, oneshot::Sender<EndedExec>>,
    stops: Vec<oneshot::Sender<bool>>,
}

/// Told when a command has started and when it has ended.
pub(super) struct Waiter {
    pub(super) started: oneshot::Receiver<Result<Option<OwnedFd>, Fault>>,
    pub(super) ended: oneshot::Receiver<EndedExec>,
}

/// What a new [`Shared`] is made of.
pub(super) struct Parts {
    pub(super) name: String,
    pub(super) limits: Limits,
    pub(super) pid: i32,
    pub(super) pidfd: OwnedFd,
    pub(super) netns: Option<Netns>,
    pub(super) zygote: Option<Arc<Zygote>>,
    pub(super) directory: Option<PathBuf>,
    pub(super) memory_upper: Option<OwnedFd>,
    pub(super) memory_shift: u32,
    pub(super) quota: Option<Project>,
    pub(super) cgroup: Option<Cgroup>,
    pub(super) shift: Option<u32>,
    pub(super) free_at_start: Amount,
    pub(super) control: AsyncFd<OwnedFd>,
}

impl Shared {
    /// A live sandbox; [`Shared::listen`] must be started for it.
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            name: parts.name,
            limits: parts.limits,
            pid: parts.pid,
            pidfd: parts.pidfd,
            netns: Mutex::new(parts.netns),
            zygote: parts.zygote,
            directory: parts.directory,
            memory_upper: parts.memory_upper,
            memory_shift: parts.memory_shift,
            quota: parts.quota,
            ran_short: AtomicBool::new(false),
            cgroup: Mutex::new(parts.cgroup),
            shift: parts.shift,
            free_at_start: parts.free_at_start,
            born: Instant::now(),
            handed_over: OnceLock::new(),
            control: parts.control,
            watched_peak: AtomicU64::new(0),
            standstill: tokio::sync::Mutex::default(),
            used: Default::default(),
            waiting: Mutex::default(),
            numbers: AtomicU64::new(1),
            facts: Mutex::default(),
            setup_fault: OnceLock::new(),
            end: OnceLock::new(),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().expect("nothing panics while it holds this lock")
    }

    pub(super) fn next_id(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Root inside, as this machine sees it.
    pub(super) fn root_id(&self) -> Option<u32> {
        self.shift
    }

    /// Begins to listen for news of a command.
    pub(super) fn register(&self, id: u64) -> Waiter {
        let (start, started) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let mut waiting = self.waiting();
        if !waiting.over {
            waiting.starts.insert(id, start);
            waiting.ends.insert(id, end);
        }
        Waiter { started, ended }
    }

    /// Sends a request to pid 1.
    pub(super) async fn send(
        &self,
        request: &InitRequest,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), SandboxError> {
        loop {
            let mut ready =
                self.control.writable().await.map_err(SandboxError::step("reach the sandbox"))?;
            match ready.try_io(|socket| Ok(send(socket.get_ref(), request, descriptors)?)) {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => {
                    return Err(match Errno::from_io_error(&error) {
                        Some(Errno::PIPE | Errno::CONNRESET) => self.gone(),
                        _ => SandboxError::step("reach the sandbox")(error),
                    });
                }
                Err(_) => {}
            }
        }
    }

    /// Stops every process inside but pid 1, or lets them go on.
    pub(super) async fn stop(&self, stop: bool) -> Result<(), SandboxError> {
        let (tell, told) = oneshot::channel();
        self.waiting().stops.push(tell);
        self.send(&InitRequest::Stop { stop }, &[]).await?;
        match told.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(SandboxError::step("make every process stand still")(
                std::io::ErrorKind::TimedOut.into(),
            )),
            Err(_) => Err(self.gone()),
        }
    }

    /// Makes everything in it stand still, or go on: by its cgroup where that can, else by signals.
    pub(super) async fn freeze(&self, freeze: bool) -> Result<(), SandboxError> {
        let of_cgroup = |ask: &dyn Fn(&Cgroup) -> bool| self.cgroup().as_ref().is_some_and(ask);
        if !of_cgroup(&Cgroup::can_freeze) {
            return self.stop(freeze).await;
        }
        let step = || SandboxError::step("freeze the cgroup of a sandbox");
        let until = Instant::now() + FREEZING;
        if !of_cgroup(&|cgroup| cgroup.freeze(freeze).is_ok()) {
            return Err(step()(std::io::ErrorKind::NotFound.into()));
        }
        while of_cgroup(&Cgroup::is_frozen) != freeze {
            if Instant::now() > until {
                return Err(step()(std::io::ErrorKind::TimedOut.into()));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    /// From now on it is somebody's: its time runs.
    pub(super) fn hand_over(self: &Arc<Self>, lifetime: Option<Duration>) {
        let _ = self.handed_over.set(Instant::now());
        let Some(lifetime) = lifetime else { return };
        let shared = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep(lifetime).await;
            if let Some(shared) = shared.upgrade()
                && shared.end.get().is_none()
            {
                shared.end(EndReason::Lifetime);
            }
        });
    }

    /// Since when it is somebody's.
    pub(super) fn begun(&self) -> Instant {
        self.handed_over.get().copied().unwrap_or(self.born)
    }

    /// Whether its pid 1 says nothing any more.
    pub(super) fn is_over(&self) -> bool {
        self.waiting().over
    }

    /// Hears what pid 1 says until it is gone.
    pub(super) async fn listen(self: Arc<Self>) {
        while let Ok(mut ready) = self.control.readable().await {
            match ready.try_io(|socket| Ok(receive::<InitReply>(socket.get_ref())?)) {
                Ok(Ok(Some((reply, descriptors)))) => self.hear(reply, descriptors),
                Ok(Err(error)) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Ok(Ok(None) | Err(_)) => break,
                Err(_) => {}
            }
        }
        // Whatever made it fall silent, nothing may go on in it.
        self.kill();
        let mut waiting = self.waiting();
        *waiting = Waiting { over: true, ..Waiting::default() };
    }

    fn hear(&self, reply: InitReply, descriptors: Vec<OwnedFd>) {
        let mut waiting = self.waiting();
        // Whoever has stopped waiting does not want to know.
        match reply {
            InitReply::SetupFailed(fault) => {
                let _ = self.setup_fault.set(fault);
            }
            InitReply::Started { id } => {
                if let Some(tell) = waiting.starts.remove(&id) {
                    let _ = tell.send(Ok(descriptors.into_iter().next()));
                }
            }
            InitReply::NotStarted { id, fault } => {
                waiting.ends.remove(&id);
                if let Some(tell) = waiting.starts.remove(&id) {
                    let _ = tell.send(Err(fault));
                }
            }
            InitReply::Ended(ended) => {
                self.used[0].fetch_add(ended.user_us, Ordering::Relaxed);
                self.used[1].fetch_add(ended.system_us, Ordering::Relaxed);
                if let Some(tell) = waiting.ends.remove(&ended.id) {
                    let _ = tell.send(ended);
                }
            }
            InitReply::Stopped { done } => {
                for tell in waiting.stops.drain(..) {
                    let _ = tell.send(done);
                }
            }
        }
    }

    /// Ends it, for the first reason given.
    pub(super) fn end(&self, reason: EndReason) {
        let _ = self.end.set(reason);
        self.kill();
    }

    fn kill(&self) {
        // It may be gone already.
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL);
    }

    /// CPU time of all commands that have ended.
    pub(super) fn used(&self) -> Usage {
        let time = |index: usize| Duration::from_micros(self.used[index].load(Ordering::Relaxed));
        Usage { user: time(0), system: time(1), ..Usage::default() }
    }

    /// Why we ended it, if we did.
    pub(super) fn end_reason(&self) -> Option<EndReason> {
        self.end.get().copied()
    }

    /// The error for whoever wants something of it although it is gone.
    pub(super) fn gone(&self) -> SandboxError {
        match self.setup_fault.get() {
            Some(fault) => super::failed(fault),
            None => SandboxError::Gone,
        }
    }

    /// What the kernel had counted when it was last asked.
    pub(super) fn last_facts(&self) -> Facts {
        *self.facts.lock().expect("nothing panics while it holds this lock")
    }

    fn cgroup(&self) -> MutexGuard<'_, Option<Cgroup>> {
        self.cgroup.lock().expect("nothing panics while it holds this lock")
    }

    /// Gives its network namespace away.
    pub(super) fn take_netns(&self) -> Option<Netns> {
        self.netns.lock().expect("nothing panics while it holds this lock").take()
    }

    /// Gives its cgroups away; what the kernel had counted when it was last asked stands.
    pub(super) fn take_cgroup(&self) -> Option<Cgroup> {
        self.cgroup().take()
    }

    /// What the kernel has counted now.
    pub(super) fn read_facts(&self) -> Facts {
        let mut last = self.facts.lock().expect("nothing panics while it holds this lock");
        if let Some(cgroup) = &*self.cgroup() {
            let now = cgroup.facts();
            // When the cgroup is gone it says nothing, and what it said last stands.
            *last = Facts {
                oom_kills: now.oom_kills.max(last.oom_kills),
                forks_refused: now.forks_refused.max(last.forks_refused),
                throttled: now.throttled.max(last.throttled),
                peak_memory: now.peak_memory.max(last.peak_memory),
            };
        }
        let watched = self.watched_peak.load(Ordering::Relaxed);
        if watched > 0 {
            last.peak_memory = last.peak_memory.max(Some(watched));
        }
        *last
    }

    /// Whether it has no room left for what it writes.
    pub(super) fn is_disk_full(&self) -> bool {
        match &self.memory_upper {
            Some(upper) => self.look_at_memory(upper),
            None => self.quota.as_ref().is_some_and(Project::is_full),
        }
    }

    /// Whether an upper in memory has no room left. Remembers if there was next to none: a program
    /// that fills it may have cleared away before anybody looks.
    fn look_at_memory(&self, upper: &OwnedFd) -> bool {
        let Ok(stat) = rustix::fs::fstatvfs(upper) else { return false };
        let short = |free: u64, all: u64| free.saturating_mul(NEXT_TO_NONE) < all;
        if short(stat.f_bavail, stat.f_blocks) || short(stat.f_ffree, stat.f_files) {
            self.ran_short.store(true, Ordering::Relaxed);
        }
        stat.f_bavail == 0 || stat.f_ffree == 0
    }

    /// What keeps its files on disk within their limit.
    pub(super) fn disk_limit(&self) -> DiskLimit {
        match (&self.memory_upper, &self.quota, self.limits.disk) {
            (Some(_), _, _) => DiskLimit::FileSystem,
            (None, Some(_), _) => DiskLimit::Quota,
            (None, None, Some(_)) => DiskLimit::Watch,
            (None, None, None) => DiskLimit::Nothing,
        }
    }

    /// Where its files are, and whether that was too little so far.
    pub(super) fn disk(&self) -> Disk {
        let in_memory = self.memory_upper.is_some();
        self.is_disk_full();
        let out_of_memory = self.end_reason() == Some(EndReason::Memory)
            || (in_memory && self.read_facts().oom_kills > 0);
        let ran_short = in_memory && (out_of_memory || self.ran_short.load(Ordering::Relaxed));
        Disk { in_memory, limited_by: self.disk_limit(), ran_short }
    }
}
