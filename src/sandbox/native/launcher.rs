//! The keeper's side of the zygotes: starts them, carries requests to them, and starts another when
//! one has died.

use super::netns::{Netns, Pool};
use super::proto::{
    Create, NetnsPlan, PROTOCOL, Settle, ZygoteReply, ZygoteRequest, receive, send,
};
use super::sys::{self, MountChange};
use super::ways::{Way, Ways};
use super::zygote::{NAME, SHIFT};
use crate::sandbox::{Network, SandboxError};
use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;
use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType, socketpair};
use rustix::process::Signal;
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::thread::JoinHandle;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

/// The zygotes of one back-end, started anew when they die.
pub(super) struct Zygotes {
    wanted: Wanted,
    runtime: Handle,
    /// The user namespace of the sandboxes; `None`: rootless.
    pub(super) userns: Option<OwnedFd>,
    /// How the first makes sandboxes.
    pub(super) ways: Ways,
    /// For sandboxes with a network namespace of the pool.
    pooled: Slot,
    /// For sandboxes in the machine's own network when we are not root: a zygote of an ordinary
    /// user that has left that namespace cannot go back.
    host: Slot,
}

/// Held while one is started.
type Slot = tokio::sync::Mutex<Option<Arc<Zygote>>>;

impl Zygotes {
    /// Starts the first. Blocks until it has settled.
    pub(super) fn start(wanted: Wanted, runtime: &Handle) -> Result<Self, SandboxError> {
        let (zygote, userns) = Zygote::start(wanted.clone())?;
        Ok(Self {
            wanted,
            runtime: runtime.clone(),
            userns,
            ways: zygote.ways.clone(),
            pooled: Slot::new(Some(zygote.listened_to(runtime)?)),
            host: Slot::default(),
        })
    }

    /// One for sandboxes with this network; a new one if the last has ended.
    pub(super) async fn get(&self, network: Network) -> Result<Arc<Zygote>, SandboxError> {
        let stays = self.userns.is_none() && network == Network::Host;
        let mut slot = if stays { &self.host } else { &self.pooled }.lock().await;
        if let Some(zygote) = &*slot
            && !zygote.asked().over
        {
            return Ok(zygote.clone());
        }
        let wanted = Wanted { stays, ..self.wanted.clone() };
        let started = spawn_blocking(move || Zygote::start(wanted)).await;
        let (zygote, _) = started.map_err(|_| died())??;
        let zygote = zygote.listened_to(&self.runtime)?;
        *slot = Some(zygote.clone());
        Ok(zygote)
    }
}

/// Whoever looks for leftovers after us must not find a zygote on its way out.
impl Drop for Zygotes {
    fn drop(&mut self) {
        for slot in [&mut self.pooled, &mut self.host] {
            if let Some(zygote) = slot.get_mut().take() {
                zygote.end();
            }
        }
    }
}

/// How a zygote is to be.
#[derive(Clone)]
pub(super) struct Wanted {
    /// The programs it may be started from; the first that understands us is.
    pub(super) helpers: Vec<PathBuf>,
    /// The home directory of its sandboxes.
    pub(super) home: PathBuf,
    /// For sandboxes in the machine's network only.
    pub(super) stays: bool,
    /// Ways not to take.
    pub(super) avoid: Vec<Way>,
}

/// A running zygote.
pub(super) struct Zygote {
    socket: AsyncFd<OwnedFd>,
    asked: Mutex<Asked>,
    /// How it makes sandboxes.
    pub(super) ways: Ways,
    /// Waits for its end; `None` only after that.
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What it was asked for and has not answered, in this order.
#[derive(Default)]
struct Asked {
    /// It answers no more.
    over: bool,
    waiting: VecDeque<oneshot::Sender<Answer>>,
    /// Network namespaces that are free again.
    netns: Pool,
}

/// A sandbox that the zygote has made.
pub(super) struct Born {
    /// Pid 1 as this machine sees it.
    pub(super) pid: i32,
    /// A descriptor of it.
    pub(super) pidfd: OwnedFd,
    /// The network namespace it got, unless the machine's.
    pub(super) netns: Option<Netns>,
    /// The directory of an upper in memory.
    pub(super) upper: Option<OwnedFd>,
}

type Answer = Result<Born, SandboxError>;

/// One that has settled, before anybody listens to it.
struct Fresh {
    socket: OwnedFd,
    ways: Ways,
    thread: JoinHandle<()>,
}

impl Fresh {
    fn listened_to(self, runtime: &Handle) -> Result<Arc<Zygote>, SandboxError> {
        let _in_runtime = runtime.enter();
        let step = || SandboxError::step("watch the zygote");
        rustix::io::ioctl_fionbio(&self.socket, true).map_err(|errno| step()(errno.into()))?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        let zygote = Arc::new(Zygote {
            socket: sys::watched(self.socket, interest).map_err(step())?,
            asked: Mutex::default(),
            ways: self.ways,
            thread: Mutex::new(Some(self.thread)),
        });
        runtime.spawn(zygote.clone().listen());
        Ok(zygote)
    }
}

impl Zygote {
    /// Starts one. Blocks until it has settled. Returns the user namespace of its sandboxes as well.
    fn start(wanted: Wanted) -> Result<(Fresh, Option<OwnedFd>), SandboxError> {
        let (ready, started) = mpsc::channel();
        // The kernel takes the end of the thread that started a process for the end of its parent.
        let thread = std::thread::Builder::new()
            .name("evalrun-zygote".to_owned())
            .stack_size(256 << 10)
            .spawn(move || match start(&wanted) {
                Ok(mut started) => {
                    let _ = ready.send(Ok((started.socket, started.userns, started.ways)));
                    // It ends because its socket has; how does not matter any more.
                    let _ = started.child.wait();
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                }
            })
            .map_err(SandboxError::step("start the zygote's thread"))?;
        let (socket, userns, ways) = started.recv().map_err(|_| died())??;
        Ok((Fresh { socket, ways, thread }, userns))
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().expect("nothing panics while it holds this lock")
    }

    /// Has a sandbox made.
    pub(super) async fn create(
        &self,
        mut create: Box<Create>,
        descriptors: &[BorrowedFd<'_>],
    ) -> Answer {
        let (tell, told) = oneshot::channel();
        let taken = match create.netns {
            NetnsPlan::Host => None,
            _ => self.asked().netns.take(),
        };
        let mut all = descriptors.to_vec();
        if let Some(netns) = &taken {
            create.netns = NetnsPlan::Given;
            let at = 1 + create.terms.join.descriptors();
            all.splice(at..at, netns.descriptors());
        }
        let request = ZygoteRequest::Create(create);
        let mut tell = Some(tell);
        while tell.is_some() {
            let mut ready = self.socket.writable().await.map_err(|_| died())?;
            let sent = ready.try_io(|socket| {
                // Answers come in the order of the requests.
                let mut asked = self.asked();
                if !asked.over {
                    send(socket.get_ref(), &request, &all)?;
                    asked.waiting.extend(tell.take());
                }
                Ok(asked.over)
            });
            match sent {
                Ok(Ok(false)) | Err(_) => {}
                Ok(Ok(true)) => return Err(died()),
                Ok(Err(error)) => return Err(SandboxError::step("ask the zygote")(error)),
            }
        }
        let answer = told.await.map_err(|_| died())?;
        drop(all);
        match (answer, taken) {
            (Ok(born), Some(netns)) => Ok(Born { netns: Some(netns), ..born }),
            (Err(error), Some(netns)) => {
                self.release(netns);
                Err(error)
            }
            (answer, None) => answer,
        }
    }

    /// Gives a network namespace back.
    pub(super) fn release(&self, netns: Netns) {
        self.asked().netns.give_back(netns);
    }

    /// Hears its answers until it is gone.
    async fn listen(self: Arc<Self>) {
        while let Ok(mut ready) = self.socket.readable().await {
            match ready.try_io(|socket| Ok(receive::<ZygoteReply>(socket.get_ref())?)) {
                Ok(Ok(Some((reply, descriptors)))) => self.hear(reply, descriptors),
                Ok(Err(error)) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Ok(Ok(None) | Err(_)) => break,
                Err(_) => {}
            }
        }
        *self.asked() = Asked { over: true, ..Asked::default() };
    }

    fn hear(&self, reply: ZygoteReply, descriptors: Vec<OwnedFd>) {
        let Some(tell) = self.asked().waiting.pop_front() else { return };
        if let Err(Ok(born)) = tell.send(born(reply, descriptors)) {
            // Nobody waits for it any more.
            let _ = rustix::process::pidfd_send_signal(&born.pidfd, Signal::KILL);
        }
    }

    /// Ends it and waits until it is gone.
    fn end(&self) {
        // One that is gone already has nothing to shut down.
        let _ = rustix::net::shutdown(self.socket.get_ref(), Shutdown::Both);
        let thread = self.thread.lock().ok().and_then(|mut thread| thread.take());
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

fn died() -> SandboxError {
    SandboxError::Protocol("the zygote has ended".to_owned())
}

fn born(reply: ZygoteReply, descriptors: Vec<OwnedFd>) -> Answer {
    match reply {
        ZygoteReply::Created { pid, upper, netns } => {
            let mut descriptors = descriptors.into_iter();
            let pidfd = descriptors.next().ok_or_else(nonsense)?;
            let upper = upper.then(|| descriptors.next().ok_or_else(nonsense)).transpose()?;
            let netns = match (netns, descriptors.next(), descriptors.next()) {
                (true, Some(one), Some(other)) => Some(Netns::from_descriptors([one, other])),
                (true, ..) => return Err(nonsense()),
                (false, ..) => None,
            };
            Ok(Born { pid, pidfd, netns, upper })
        }
        ZygoteReply::Failed(fault) => Err(super::failed(&fault)),
        _ => Err(nonsense()),
    }
}

fn nonsense() -> SandboxError {
    SandboxError::Protocol("an answer that makes no sense".to_owned())
}

fn hear(socket: &OwnedFd) -> Result<(ZygoteReply, Vec<OwnedFd>), SandboxError> {
    loop {
        match receive(socket) {
            Ok(Some(received)) => return Ok(received),
            Ok(None) | Err(Errno::CONNRESET) => return Err(died()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(SandboxError::step("hear from the zygote")(errno.into())),
        }
    }
}

struct Started {
    child: Child,
    socket: OwnedFd,
    userns: Option<OwnedFd>,
    ways: Ways,
}

fn start(wanted: &Wanted) -> Result<Started, SandboxError> {
    let mut problem = None;
    for helper in &wanted.helpers {
        match start_from(helper, wanted) {
            Err(error @ SandboxError::Protocol(_)) => problem = Some(error),
            other => return other,
        }
    }
    Err(problem.unwrap_or_else(nonsense))
}

fn start_from(helper: &Path, wanted: &Wanted) -> Result<Started, SandboxError> {
    let home = &wanted.home;
    let step = |errno: Errno| SandboxError::step("make a socket")(errno.into());
    let (ours, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(step)?;
    let child = Command::new(helper)
        .arg0(NAME)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(SandboxError::step(format!("start the helper {}", helper.display())))?;
    let (reply, mut descriptors) = match hear(&ours) {
        Ok(heard) => heard,
        Err(error) => return Err(unlike(helper, child, &ours, error)),
    };
    let userns = match reply {
        ZygoteReply::Started { protocol, .. } if protocol != PROTOCOL => {
            return Err(unlike(helper, child, &ours, nonsense()));
        }
        ZygoteReply::Started { root: true, .. } => Some(descriptors.pop().ok_or_else(nonsense)?),
        ZygoteReply::Started { root: false, .. } => None,
        ZygoteReply::Failed(fault) => return Err(super::failed(&fault)),
        _ => return Err(nonsense()),
    };
    let mount = userns.as_ref().map(|userns| shifted(home, userns)).transpose()?;
    let settle = Settle {
        home: home.to_str().ok_or_else(|| path_error(home))?.to_owned(),
        home_is_mount: mount.is_some(),
        shift: userns.is_some().then_some(SHIFT),
        stays: wanted.stays,
        avoid: wanted.avoid.clone(),
    };
    let descriptors: Vec<_> = mount.iter().map(AsFd::as_fd).collect();
    send(&ours, &ZygoteRequest::Settle(settle), &descriptors)
        .map_err(|errno| SandboxError::step("settle the zygote")(errno.into()))?;
    match hear(&ours)?.0 {
        ZygoteReply::Settled { ways } => Ok(Started { child, socket: ours, userns, ways }),
        ZygoteReply::Failed(fault) => Err(super::failed(&fault)),
        _ => Err(nonsense()),
    }
}

/// Ends a helper that does not say what we expect. What cannot be understood at all comes of another
/// build, as does what says so.
fn unlike(helper: &Path, mut child: Child, socket: &OwnedFd, error: SandboxError) -> SandboxError {
    let _ = rustix::net::shutdown(socket, Shutdown::Both);
    let _ = child.kill();
    let _ = child.wait();
    let foreign = match &error {
        SandboxError::System { source, .. } => source.raw_os_error() == Some(libc::EBADMSG),
        SandboxError::Protocol(_) => true,
        _ => false,
    };
    match foreign {
        true => SandboxError::Protocol(format!(
            "{} is of another build, or ends at once; install both programs anew",
            helper.display()
        )),
        false => error,
    }
}

fn path_error(path: &Path) -> SandboxError {
    SandboxError::Unsupported {
        what: "a home directory with such a name",
        why: format!("{} is not UTF-8", path.display()),
    }
}

/// A detached clone of a directory in which root's files are those of root inside.
fn shifted(home: &Path, userns: &OwnedFd) -> Result<OwnedFd, SandboxError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let mount = rustix::mount::open_tree(rustix::fs::CWD, home, flags)
        .map_err(|errno| SandboxError::step("clone the home directory")(errno.into()))?;
    let change = MountChange { idmap: Some(userns.as_fd()), ..Default::default() };
    sys::mount_setattr(mount.as_fd(), &change).map_err(|errno| SandboxError::Unsupported {
        what: "a sandbox on this file system",
        why: format!(
            "{} does not take id-mapped mounts ({errno}); choose a directory on ext4, xfs or btrfs \
             with EVALRUN_HOME",
            home.display()
        ),
    })?;
    Ok(mount)
}

/// A small program for the purpose; every sandbox is a copy of what it has in memory.
const SMALL: &str = "evalrun-zygote";
/// The whole program, which can do the same.
const WHOLE: &str = "evalrun";

/// Finds the programs that helpers can be started from, the best first.
pub(in crate::sandbox) fn find_helpers(
    option: Option<&Path>,
) -> Result<Vec<PathBuf>, SandboxError> {
    let named = std::env::var_os("EVALRUN_HELPER").map(PathBuf::from);
    if let Some(helper) = option.map(Path::to_owned).or(named) {
        // It is started from another folder.
        let helper = std::path::absolute(helper).map_err(SandboxError::step("find the helper"))?;
        return Ok(vec![helper]);
    }
    let own = std::env::current_exe().map_err(SandboxError::step("find the own program"))?;
    let folders = || own.parent().into_iter().chain(own.parent().and_then(Path::parent));
    let beside = |name| folders().map(|folder| folder.join(name)).find(|path| path.is_file());
    let whole = match own.file_name().is_some_and(|name| name == WHOLE) {
        // By this name it is the very program that runs, even if its file was replaced meanwhile.
        true => Some("/proc/self/exe".into()),
        false => beside(WHOLE),
    };
    let helpers: Vec<PathBuf> = beside(SMALL).into_iter().chain(whole).collect();
    match helpers.is_empty() {
        false => Ok(helpers),
        true => Err(SandboxError::Unsupported {
            what: "a sandbox from this program",
            why: "the helper `evalrun` is not beside it; set EVALRUN_HELPER to its path".to_owned(),
        }),
    }
}
