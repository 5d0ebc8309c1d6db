//! Pid 1 of a sandbox, first half: it performs the operations of [`super::setup`] in the copy of
//! the zygote it is born as, then serves (see [`super::serve`]).

use super::proto::{At, Fault, InitReply, send};
use super::setup::{Rlimit, SetupOp};
use super::sys::{self, Spawner};
use super::{seccomp, serve};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags,
};
use rustix::process::{DumpableBehavior, Resource, Signal};
use rustix::thread::{CapabilitySet, CapabilitySets, Gid, Uid};
use std::os::fd::{AsFd, OwnedFd};

/// Where in the zygote's small root a sandbox's root is attached.
pub(super) const ROOT_AT: &str = "/r";
/// An empty directory there.
pub(super) const EMPTY_AT: &str = "/e";

/// What a new pid 1 holds of what the zygote prepared.
pub(super) struct Birth<'a> {
    /// Its end of the control socket.
    pub(super) control: OwnedFd,
    /// The assembled root.
    pub(super) root: OwnedFd,
    /// `tasks` files to join by.
    pub(super) tasks: &'a [OwnedFd],
    /// Readable when its ids are mapped.
    pub(super) mapped: OwnedFd,
    /// What to do.
    pub(super) setup: &'a [SetupOp],
    /// What starts its commands.
    pub(super) spawner: &'a mut Spawner,
}

/// The whole life of pid 1.
pub(super) fn run(mut birth: Birth<'_>) -> ! {
    sys::reset_sigchld(false);
    match perform(&mut birth) {
        Ok((null, calls)) => {
            let code = serve::serve(birth.control, null, calls, birth.spawner);
            sys::exit_now(code)
        }
        Err(fault) => {
            // If the keeper is gone, nobody is left to tell.
            let _ = send(&birth.control, &InitReply::SetupFailed(fault), &[]);
            sys::exit_now(1)
        }
    }
}

/// Performs all operations; returns the sandbox's `/dev/null`, and where calls come from that the
/// filter leaves to us.
fn perform(birth: &mut Birth<'_>) -> Result<(OwnedFd, Option<OwnedFd>), Fault> {
    let (mut null, mut calls) = (None, None);
    for op in birth.setup {
        match op {
            SetupOp::CloseDescriptors => null = Some(close_descriptors(birth)?),
            SetupOp::FilterCalls { one_user: true } => {
                let filter = sys::install_asking_filter(seccomp::program(true));
                calls = Some(filter.at("load the filter of system calls")?);
            }
            op => apply(op, birth)?,
        }
    }
    let missing = || Fault { step: "close descriptors".to_owned(), errno: libc::EINVAL };
    Ok((null.ok_or_else(missing)?, calls))
}

fn apply(op: &SetupOp, birth: &Birth<'_>) -> Result<(), Fault> {
    match op {
        SetupOp::JoinCgroups => birth
            .tasks
            .iter()
            .try_for_each(|tasks| rustix::io::write(tasks, b"0").map(drop).at("join a cgroup")),
        SetupOp::BecomeRoot => become_root(&birth.mapped),
        SetupOp::UnshareCgroups => sys::unshare(libc::CLONE_NEWCGROUP).at("unshare cgroups"),
        SetupOp::EnterRoot => enter_root(&birth.root),
        SetupOp::Mount { kind, target, options, attributes } => {
            mount(kind, target, options, *attributes)
        }
        SetupOp::HideDirectory(path) => cover(path, EMPTY_AT),
        SetupOp::HideFile(path) => cover(path, "dev/null"),
        SetupOp::ReadOnly(path) => read_only(path),
        SetupOp::PivotRoot => pivot_root(),
        SetupOp::Hostname(name) => {
            rustix::system::sethostname(name.as_bytes()).at("set the host name")
        }
        SetupOp::Rlimit { resource, soft, hard } => rlimit(*resource, *soft, *hard),
        SetupOp::KeepCapabilities(kept) => keep_capabilities(*kept),
        SetupOp::NoNewPrivileges => {
            rustix::thread::set_no_new_privs(true).at("set no-new-privileges")
        }
        SetupOp::DieWithParent => {
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
                .at("set the parent's death signal")
        }
        SetupOp::Undumpable => {
            rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
                .at("become undumpable")
        }
        SetupOp::FilterCalls { one_user } => {
            sys::install_filter(seccomp::program(*one_user)).at("load the filter of system calls")
        }
        SetupOp::CloseDescriptors => unreachable!("the caller does this one"),
    }
}

/// A new process is nobody until its maps are written, and what it made before would be nobody's.
fn become_root(mapped: &OwnedFd) -> Result<(), Fault> {
    let mut count = [0; 8];
    rustix::io::read(mapped, &mut count).at("wait for the id maps")?;
    rustix::thread::set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT).at("setresgid")?;
    match rustix::thread::set_thread_groups(&[]) {
        // With a single id mapped, groups cannot be changed at all.
        Err(Errno::PERM) | Ok(()) => {}
        Err(errno) => return Err(errno).at("setgroups"),
    }
    rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).at("setresuid")
}

fn enter_root(root: &OwnedFd) -> Result<(), Fault> {
    rustix::mount::move_mount(root, "", CWD, ROOT_AT, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .at("attach the root")?;
    rustix::process::chdir(ROOT_AT).at("enter the root")?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    Ok(())
}

/// Opens a path of the new root without following any link of the image's making.
fn target(path: &str) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
    openat2(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)
}

fn attach(mount: &OwnedFd, target: &OwnedFd) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(mount, "", target, "", flags)
}

fn mount(
    kind: &str,
    path: &str,
    options: &[(String, String)],
    attributes: u64,
) -> Result<(), Fault> {
    let step = || format!("mount {kind} at {path}");
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).at(step())?;
    for (name, value) in options {
        rustix::mount::fsconfig_set_string(&context, name.as_str(), value.as_str()).at(step())?;
    }
    rustix::mount::fsconfig_create(&context).at(step())?;
    let attributes = MountAttrFlags::from_bits_retain(attributes_of(attributes));
    let mount =
        rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).at(step())?;
    attach(&mount, &target(path).at(step())?).at(step())
}

/// `MOUNT_ATTR_*` as rustix takes them; all that are used fit in 32 bits.
pub(super) fn attributes_of(attributes: u64) -> u32 {
    u32::try_from(attributes).expect("mount attributes fit in 32 bits")
}

/// Paths of the proc that has just been mounted: none of them is of the image's making, so they can
/// be named to the old calls, which do in one what takes the new ones five.
const OUR_OWN: &str = "proc/";

/// Hides `path` behind a clone of `with`.
fn cover(path: &str, with: &str) -> Result<(), Fault> {
    if path.starts_with(OUR_OWN) {
        return bind(with, path).map(drop);
    }
    let Some(target) = target_if_there(path)? else { return Ok(()) };
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let clone = rustix::mount::open_tree(CWD, with, flags).at(format!("clone {with}"))?;
    attach(&clone, &target).at(format!("hide {path}"))
}

/// Binds one path over another; false if that is not there.
fn bind(from: &str, path: &str) -> Result<bool, Fault> {
    match rustix::mount::mount_bind(from, path) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
        Err(errno) => Err(errno).at(format!("put {from} over {path}")),
    }
}

fn read_only(path: &str) -> Result<(), Fault> {
    if path.starts_with(OUR_OWN) {
        if bind(path, path)? {
            let flags = MountFlags::BIND
                | MountFlags::RDONLY
                | MountFlags::NOSUID
                | MountFlags::NODEV
                | MountFlags::NOEXEC;
            let made = rustix::mount::mount_remount(path, flags, "");
            made.at(format!("make {path} read-only"))?;
        }
        return Ok(());
    }
    let Some(target) = target_if_there(path)? else { return Ok(()) };
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    let clone = rustix::mount::open_tree(&target, "", flags).at(format!("clone {path}"))?;
    let change = sys::MountChange { set: libc::MOUNT_ATTR_RDONLY, ..Default::default() };
    sys::mount_setattr(clone.as_fd(), &change).at(format!("make {path} read-only"))?;
    attach(&clone, &target).at(format!("put {path} back"))
}

fn target_if_there(path: &str) -> Result<Option<OwnedFd>, Fault> {
    match target(path) {
        Ok(target) => Ok(Some(target)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(errno).at(format!("find {path}")),
    }
}

/// The old root is put over the new one, and taken off: nothing of it can be reached any more.
fn pivot_root() -> Result<(), Fault> {
    rustix::process::pivot_root(".", ".").at("pivot_root")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).at("leave the old root")?;
    rustix::process::chdir("/").at("chdir /")
}

fn rlimit(resource: Rlimit, soft: u64, hard: u64) -> Result<(), Fault> {
    let resource = match resource {
        Rlimit::Core => Resource::Core,
        Rlimit::Files => Resource::Nofile,
        Rlimit::FileSize => Resource::Fsize,
        Rlimit::Processes => Resource::Nproc,
    };
    let allowed = rustix::process::getrlimit(resource).maximum.unwrap_or(u64::MAX);
    let limit = rustix::process::Rlimit {
        current: Some(soft.min(allowed)),
        maximum: Some(hard.min(allowed)),
    };
    rustix::process::setrlimit(resource, limit).at("set a resource limit")
}

fn keep_capabilities(kept: u64) -> Result<(), Fault> {
    let step = "give up capabilities";
    for capability in 0..64 {
        let set = CapabilitySet::from_bits_retain(1 << capability);
        if kept & (1 << capability) != 0 {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(set) {
            Ok(()) => {}
            // Beyond the last capability that this kernel knows.
            Err(Errno::INVAL) => break,
            Err(errno) => return Err(errno).at(step),
        }
    }
    let kept = CapabilitySet::from_bits_retain(kept);
    let sets =
        CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets).at(step)
}

/// After this, 0 to 2 are `/dev/null`, 3 is the control socket and 4 `/dev/null` again.
fn close_descriptors(birth: &mut Birth<'_>) -> Result<OwnedFd, Fault> {
    let step = "close descriptors";
    let opened = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .at("open /dev/null")?;
    rustix::stdio::dup2_stdin(&opened).at(step)?;
    rustix::stdio::dup2_stdout(&opened).at(step)?;
    rustix::stdio::dup2_stderr(&opened).at(step)?;
    // What was at 3 and 4 may be the one that is to go there: first out of the way, then down.
    let control = rustix::io::fcntl_dupfd_cloexec(&birth.control, 5).at(step)?;
    let null = rustix::io::fcntl_dupfd_cloexec(&opened, 5).at(step)?;
    sys::dup_over(control.as_fd(), 3).at(step)?;
    sys::dup_over(null.as_fd(), 4).at(step)?;
    std::mem::forget((opened, control, null));
    let low = sys::inherited(3).ok_or(Errno::BADF).at(step)?;
    std::mem::forget(std::mem::replace(&mut birth.control, low));
    sys::close_from(5).at(step)?;
    sys::inherited(4).ok_or(Errno::BADF).at(step)
}
