//! The keeper's side of the zygote: starts it, and carries requests to it. One thread does both
//! for as long as the zygote lives: the kernel takes the end of the thread that started a process
//! for the end of its parent.

use super::proto::{Create, Settle, ZygoteReply, ZygoteRequest, receive, send};
use super::sys::{self, MountChange};
use super::ways::{Way, Ways};
use super::zygote::{NAME, SHIFT};
use crate::sandbox::SandboxError;
use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// A running zygote. It ends when this is dropped.
pub(super) struct Zygote {
    /// `None` only while it ends.
    asks: Option<mpsc::Sender<Ask>>,
    /// Likewise.
    thread: Option<JoinHandle<()>>,
    /// The user namespace of the sandboxes; `None`: rootless.
    pub(super) userns: Option<OwnedFd>,
    /// How it makes sandboxes.
    pub(super) ways: Ways,
}

/// How a zygote is to be.
#[derive(Clone)]
pub(super) struct Wanted {
    /// The program it is started from.
    pub(super) helper: PathBuf,
    /// The home directory of its sandboxes.
    pub(super) home: PathBuf,
    /// For sandboxes in the machine's network only.
    pub(super) stays: bool,
    /// Ways not to take.
    pub(super) avoid: Vec<Way>,
}

/// A sandbox that the zygote has made.
pub(super) struct Born {
    /// Pid 1 as this machine sees it.
    pub(super) pid: i32,
    /// A descriptor of it.
    pub(super) pidfd: OwnedFd,
    /// The pooled network namespace it got.
    pub(super) netns: Option<u32>,
    /// The directory of an upper in memory.
    pub(super) upper: Option<OwnedFd>,
}

type Answer = Result<Born, SandboxError>;

enum Ask {
    Create(Box<Create>, Vec<OwnedFd>, oneshot::Sender<Answer>),
    Release(u32),
}

impl Zygote {
    /// Starts one. Blocks until it has settled.
    pub(super) fn start(wanted: Wanted) -> Result<Self, SandboxError> {
        let (asks, inbox) = mpsc::channel();
        let (ready, started) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("evalrun-zygote".to_owned())
            .stack_size(256 << 10)
            .spawn(move || {
                let (child, socket) = match start(&wanted) {
                    Ok(started) => {
                        let _ = ready.send(Ok((started.userns, started.ways)));
                        (started.child, started.socket)
                    }
                    Err(error) => {
                        let _ = ready.send(Err(error));
                        return;
                    }
                };
                carry(&inbox, &socket);
                drop(socket);
                let mut child = child;
                // It ends because its socket has; how does not matter any more.
                let _ = child.wait();
            })
            .map_err(SandboxError::step("start the zygote's thread"))?;
        let (userns, ways) = started.recv().map_err(|_| died())??;
        Ok(Self { asks: Some(asks), thread: Some(thread), userns, ways })
    }

    /// Has a sandbox made.
    pub(super) async fn create(
        &self,
        create: Create,
        descriptors: Vec<OwnedFd>,
    ) -> Result<Born, SandboxError> {
        let (answer, answered) = oneshot::channel();
        let ask = Ask::Create(Box::new(create), descriptors, answer);
        self.asks.as_ref().ok_or_else(died)?.send(ask).map_err(|_| died())?;
        answered.await.map_err(|_| died())?
    }

    /// Gives a network namespace back.
    pub(super) fn release(&self, netns: u32) {
        // A zygote that is gone has no use for it.
        let _ = self.asks.as_ref().map(|asks| asks.send(Ask::Release(netns)));
    }
}

/// Whoever looks for leftovers after us must not find a zygote on its way out.
impl Drop for Zygote {
    fn drop(&mut self) {
        self.asks = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn died() -> SandboxError {
    SandboxError::Protocol("the zygote has ended".to_owned())
}

/// Carries requests until nobody can make any more.
fn carry(inbox: &mpsc::Receiver<Ask>, socket: &OwnedFd) {
    while let Ok(ask) = inbox.recv() {
        match ask {
            Ask::Create(create, descriptors, answer) => {
                let made = ask_create(socket, create, &descriptors);
                drop(descriptors);
                if let Err(Ok(born)) = answer.send(made) {
                    // Nobody waits for it any more.
                    let _ = rustix::process::pidfd_send_signal(
                        &born.pidfd,
                        rustix::process::Signal::KILL,
                    );
                }
            }
            Ask::Release(netns) => {
                let _ = send(socket, &ZygoteRequest::Release { netns }, &[]);
            }
        }
    }
}

fn ask_create(socket: &OwnedFd, create: Box<Create>, descriptors: &[OwnedFd]) -> Answer {
    let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    send(socket, &ZygoteRequest::Create(create), &descriptors)
        .map_err(|errno| SandboxError::step("ask the zygote")(errno.into()))?;
    let (reply, descriptors) = hear(socket)?;
    match reply {
        ZygoteReply::Created { pid, netns } => {
            let mut descriptors = descriptors.into_iter();
            let pidfd = descriptors.next().ok_or_else(nonsense)?;
            Ok(Born { pid, pidfd, netns, upper: descriptors.next() })
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
    let (helper, home) = (&wanted.helper, &wanted.home);
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
    let (reply, mut descriptors) = hear(&ours)?;
    let userns = match reply {
        ZygoteReply::Started { root: true } => Some(descriptors.pop().ok_or_else(nonsense)?),
        ZygoteReply::Started { root: false } => None,
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

/// Finds the program that helpers are started from.
pub(super) fn find_helper(option: Option<&Path>) -> Result<PathBuf, SandboxError> {
    let named = std::env::var_os("EVALRUN_HELPER").map(PathBuf::from);
    if let Some(helper) = option.map(Path::to_owned).or(named) {
        // It is started from another folder.
        return std::path::absolute(helper).map_err(SandboxError::step("find the helper"));
    }
    let own = std::env::current_exe().map_err(SandboxError::step("find the own program"))?;
    if own.file_name().is_some_and(|name| name == "evalrun") {
        // By this name it is the very program that runs, even if its file was replaced meanwhile.
        return Ok("/proc/self/exe".into());
    }
    let folders = own.parent().into_iter().chain(own.parent().and_then(Path::parent));
    folders.map(|folder| folder.join("evalrun")).find(|path| path.is_file()).ok_or_else(|| {
        SandboxError::Unsupported {
            what: "a sandbox from this program",
            why: "the helper `evalrun` is not beside it; set EVALRUN_HELPER to its path".to_owned(),
        }
    })
}
