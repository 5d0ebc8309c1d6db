//! Where the zygote lives: namespaces of its own, and a root with little in it.

use super::init::{EMPTY_AT, ROOT_AT};
use super::proto::{At, Fault, Settle};
use super::root::{self, HOME_AT, MACHINE_AT, MEMORY_AT, Materials};
use super::sys::{self, CloneRequest, Cloned, MountChange};
use super::ways::{Way, Ways};
use super::zygote::{IDS, SHIFT};
use rustix::event::poll;
use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid, chownat, mkdirat, mknodat, openat, symlinkat,
};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags,
};
use rustix::process::Signal;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Gets the power to mount: as the machine's root in a mount namespace of its own, with a user
/// namespace for the sandboxes, which is returned; else as root of a user namespace.
pub(super) fn become_root() -> Result<Option<OwnedFd>, Fault> {
    let step = "make a mount namespace";
    if rustix::process::geteuid().is_root()
        && sys::unshare(libc::CLONE_NEWNS | libc::CLONE_NEWIPC).is_ok()
    {
        make_private()?;
        if let Ok(userns) = sandbox_userns() {
            return Ok(Some(userns));
        }
    }
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    sys::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWIPC).at(
        "make a user namespace (is it forbidden to ordinary users here? see `evalrun doctor`)",
    )?;
    fs_err::write("/proc/self/setgroups", "deny").at(step)?;
    fs_err::write("/proc/self/uid_map", format!("0 {} 1", uid.as_raw())).at(step)?;
    fs_err::write("/proc/self/gid_map", format!("0 {} 1", gid.as_raw())).at(step)?;
    make_private()?;
    // Nothing may hold a burst of memory back: if the machine runs out, the kernel is to end
    // sandboxes, not what else this user does. Where it is not to be had, nothing is lost.
    let _ = fs_err::write("/proc/self/oom_score_adj", "500");
    Ok(None)
}

fn make_private() -> Result<(), Fault> {
    let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", flags).at("make the mounts private")
}

/// A user namespace with the maps of the sandboxes, by which mounts are shifted.
fn sandbox_userns() -> Result<OwnedFd, Fault> {
    let step = "make a user namespace";
    let request = CloneRequest { namespaces: libc::CLONE_NEWUSER, cgroup: None };
    match sys::clone_process(&request).at(step)? {
        Cloned::Child => loop {
            // Until the parent has opened its namespace and kills it.
            let _ = poll(&mut [], None);
        },
        Cloned::Parent(pid, pidfd) => {
            let userns = write_maps(pid, Some(SHIFT))
                .and_then(|()| fs_err::File::open(format!("/proc/{pid}/ns/user")).at(step));
            rustix::process::pidfd_send_signal(&pidfd, Signal::KILL).at(step)?;
            let _ = rustix::process::waitid(
                rustix::process::WaitId::PidFd(pidfd.as_fd()),
                rustix::process::WaitIdOptions::EXITED,
            );
            Ok(userns?.into_parts().0.into())
        }
    }
}

/// Writes the id maps of a new process's user namespace.
pub(super) fn write_maps(pid: i32, shift: Option<u32>) -> Result<(), Fault> {
    let map = match shift {
        Some(shift) => format!("0 {shift} {IDS}"),
        None => "0 0 1".to_owned(),
    };
    for file in ["uid_map", "gid_map"] {
        fs_err::write(format!("/proc/{pid}/{file}"), &map).at(format!("write {file}"))?;
    }
    Ok(())
}

/// Builds the zygote's own root: a few directories in memory, the home directory, an unmasked
/// /proc. Every sandbox is born with a copy of it, so it is small, and shows the machine's files
/// only where there is no other way. Returns what sandboxes' roots are made with.
pub(super) fn build_root(
    settle: &Settle,
    home: Option<OwnedFd>,
    userns: Option<OwnedFd>,
) -> Result<Materials, Fault> {
    let step = "build the zygote's root";
    let rootless = userns.is_none();
    let tiny = memory_mount(MountAttrFlags::MOUNT_ATTR_NOSUID).at(step)?;
    for name in [ROOT_AT, EMPTY_AT, HOME_AT, MACHINE_AT, MEMORY_AT, DEVICES_AT, "/proc"] {
        mkdirat(&tiny, &name[1..], Mode::from_raw_mode(0o755)).at(step)?;
    }
    let home = match home {
        Some(home) if settle.home_is_mount => home,
        _ => clone_path(&settle.home, OpenTreeFlags::empty()).at("clone the home directory")?,
    };
    let proc = match rootless {
        true => clone_path("/proc", OpenTreeFlags::AT_RECURSIVE).at("clone /proc")?,
        false => proc_mount().at("mount /proc")?,
    };
    let machine = match rootless {
        true => Some(clone_path("/", OpenTreeFlags::AT_RECURSIVE).at("clone /")?),
        false => None,
    };
    attach(&tiny, CWD, &settle.home).at(step)?;
    attach(&proc, tiny.as_fd(), "proc").at(step)?;
    attach(&home, tiny.as_fd(), &HOME_AT[1..]).at("attach the home directory")?;
    if let Some(machine) = machine {
        attach(&machine, tiny.as_fd(), &MACHINE_AT[1..]).at("attach the machine's files")?;
    }
    rustix::process::fchdir(&tiny).at(step)?;
    rustix::process::pivot_root(".", ".").at("enter the zygote's root")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).at("leave the machine's root")?;
    rustix::process::chdir("/").at(step)?;
    let ways = Ways::find(userns.as_ref(), &settle.avoid);
    let devices = devices(settle.shift).at("make the device nodes")?;
    if !rootless && !ways.has(Way::Detached) {
        attach(&devices, CWD, DEVICES_AT).at("attach the device nodes")?;
    }
    // Its empty directory is what sandboxes see in place of what is hidden from them.
    let change = MountChange { set: libc::MOUNT_ATTR_RDONLY, ..Default::default() };
    sys::mount_setattr(tiny.as_fd(), &change).at(step)?;
    Ok(Materials { userns, devices, ways })
}

fn memory_mount(attributes: MountAttrFlags) -> Result<OwnedFd, Errno> {
    let context = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_set_string(&context, "mode", "0755")?;
    rustix::mount::fsconfig_set_string(&context, "size", "1m")?;
    rustix::mount::fsconfig_create(&context)?;
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// A proc of this pid namespace, attached nowhere.
pub(super) fn proc_mount() -> Result<OwnedFd, Errno> {
    let context = rustix::mount::fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

fn clone_path(path: &str, more: OpenTreeFlags) -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | more;
    rustix::mount::open_tree(CWD, path, flags)
}

fn attach(mount: &OwnedFd, at: BorrowedFd<'_>, path: &str) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(mount, "", at, path, flags)
}

/// Where the mount of device nodes is attached, if it must be.
const DEVICES_AT: &str = "/d";

/// The nodes of `/dev` and their minor numbers; the major number is 1, the terminal's 5.
const NODES: [(&str, u32); 6] =
    [("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9), ("tty", 0)];
const LINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("pts/ptmx", "ptmx"),
];

/// A file in `/dev` of sandboxes that have one user only: apt becomes another to fetch packages,
/// looks whether it worked, and is told here not to. Nothing of the image need be changed for it.
pub(super) const APT_CONFIG: &str = "apt.conf";

/// A mount of device nodes, which every sandbox gets a clone of. Whoever is not the machine's root
/// cannot make nodes, and shows the machine's own.
fn devices(shift: Option<u32>) -> Result<OwnedFd, Errno> {
    let mount = memory_mount(MountAttrFlags::MOUNT_ATTR_NOSUID)?;
    let at = mount.as_fd();
    for (target, name) in LINKS {
        symlinkat(target, at, name)?;
    }
    for name in ["pts", "shm"] {
        mkdirat(at, name, Mode::from_raw_mode(0o755))?;
    }
    for (name, minor) in NODES {
        if shift.is_none() {
            let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
            openat(at, name, flags, Mode::from_raw_mode(0o666))?;
            continue;
        }
        let major = if name == "tty" { 5 } else { 1 };
        let device = rustix::fs::makedev(major, minor);
        mknodat(at, name, FileType::CharacterDevice, Mode::from_raw_mode(0o666), device)?;
        rustix::fs::chmodat(at, name, Mode::from_raw_mode(0o666), AtFlags::empty())?;
    }
    if let Some(shift) = shift {
        let names = NODES.iter().map(|(name, _)| *name).chain(LINKS.iter().map(|(_, name)| *name));
        for name in names.chain([".", "pts", "shm"]) {
            let (user, group) = (Uid::from_raw(shift), Gid::from_raw(shift));
            chownat(at, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)?;
        }
    }
    if shift.is_none() {
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = openat(at, APT_CONFIG, flags, Mode::from_raw_mode(0o444))?;
        rustix::io::write(&file, b"APT::Sandbox::User \"root\";\n")?;
        attach(&mount, CWD, DEVICES_AT)?;
        for (name, _) in NODES {
            let node = clone_path(&format!("{MACHINE_AT}/dev/{name}"), OpenTreeFlags::empty())?;
            attach(&node, at, name)?;
        }
    }
    let set = root::device_attributes().bits().into();
    sys::mount_setattr(at, &MountChange { set, ..Default::default() })?;
    Ok(mount)
}
