//! The root of a sandbox, assembled by the zygote as a tree of mounts that is attached nowhere:
//! nothing of the image's can be raced, and no path of the machine is in it. Where the kernel cannot
//! do that the tree is attached in the zygote's own namespace meanwhile, in which no program of
//! anyone's runs.

use super::init::{ROOT_AT, attributes_of};
use super::proto::{At, Bind, BindSource, Create, Fault};
use super::sys::{self, MountChange};
use super::ways::{Way, Ways};
use super::{netns, overlay};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, mkdirat, openat, openat2};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags};
use std::os::fd::{AsFd, OwnedFd};

/// Where the zygote has the home directory.
pub(super) const HOME_AT: &str = "/s";
/// Where it attaches a file system in memory that cannot be used attached nowhere.
pub(super) const MEMORY_AT: &str = "/u";
/// Where a rootless zygote has the machine's files.
pub(super) const MACHINE_AT: &str = "/h";

/// What all roots are made with.
pub(super) struct Materials {
    /// The user namespace of the sandboxes' maps; `None`: rootless.
    pub(super) userns: Option<OwnedFd>,
    /// A mount of the device nodes, to be cloned.
    pub(super) devices: OwnedFd,
    /// How roots are made.
    pub(super) ways: Ways,
}

/// An assembled root.
pub(super) struct Root {
    /// The mount.
    pub(super) mount: OwnedFd,
    /// For uppers in memory: their directory, with the owners as they are inside.
    pub(super) upper: Option<OwnedFd>,
    /// Nobody needs this any more, but to let go of it takes the kernel a while.
    pub(super) scaffold: Vec<OwnedFd>,
}

/// Assembles the root of a sandbox; `binds` are the descriptors of its [`BindSource::Mount`]s.
pub(super) fn assemble(
    create: &Create,
    materials: &Materials,
    sysfs: Option<&OwnedFd>,
    binds: Vec<OwnedFd>,
) -> Result<Root, Fault> {
    let stage = Stage { used: !materials.ways.has(Way::Detached) };
    let overlay::Mounted { mount, upper, mut scaffold } = overlay::mount(create, materials)?;
    for (name, mode) in [("proc", 0o555), ("sys", 0o555), ("dev", 0o755), ("tmp", 0o1777)] {
        // Most images have them, and to look costs less than to try.
        if rustix::fs::statat(&mount, name, AtFlags::SYMLINK_NOFOLLOW).is_err() {
            make_directory(&mount, name, mode).at(format!("make /{name} in the image"))?;
        }
    }
    let mut binds = binds.into_iter();
    for bind in &create.binds {
        place_bind(&mount, bind, &mut binds)?;
    }
    put(&clone_of(&materials.devices).at("clone /dev")?, &mount, "dev")?;
    let sysfs = match sysfs {
        // What is attached nowhere cannot be cloned: another one of the same.
        Some(_) if stage.used => netns::sysfs(),
        Some(sysfs) => Some(clone_of(sysfs).at("clone /sys")?),
        None => None,
    };
    if let Some(sysfs) = sysfs {
        put(&sysfs, &mount, "sys")?;
    }
    if !stage.used {
        return Ok(Root { mount, upper, scaffold });
    }
    let whole = clone_of(&mount).at("take the root off")?;
    scaffold.push(mount);
    Ok(Root { mount: whole, upper, scaffold })
}

/// The places in the zygote's own root where a root is put together if that cannot be done attached
/// nowhere. They are empty again when this goes: a sandbox must not be born with what is there.
struct Stage {
    used: bool,
}

impl Drop for Stage {
    fn drop(&mut self) {
        if self.used {
            for place in [ROOT_AT, MEMORY_AT] {
                // Until nothing is attached there any more.
                while rustix::mount::unmount(place, UnmountFlags::DETACH).is_ok() {}
            }
        }
    }
}

/// A detached clone of a mount and of those below it.
pub(super) fn clone_of(mount: &OwnedFd) -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    rustix::mount::open_tree(mount, "", flags)
}

/// Makes a directory if nothing is there. A link or file of the image is found out when something
/// is mounted on it.
fn make_directory(at: &OwnedFd, name: &str, mode: u32) -> Result<(), Errno> {
    match mkdirat(at, name, Mode::from_raw_mode(mode)) {
        // The mask takes the bits for others away.
        Ok(()) => rustix::fs::chmodat(at, name, Mode::from_raw_mode(mode), AtFlags::empty()),
        Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Mounts on a directory of the root; a link is refused.
fn put(mount: &OwnedFd, root: &OwnedFd, name: &str) -> Result<(), Fault> {
    let step = format!("mount on /{name} of the image, which must be a directory");
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let target = openat2(root, name, flags, Mode::empty(), resolve).at(&step)?;
    attach(mount, &target).at(&step)
}

fn attach(mount: &OwnedFd, target: &OwnedFd) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(mount, "", target, "", flags)
}

fn place_bind(
    root: &OwnedFd,
    bind: &Bind,
    descriptors: &mut impl Iterator<Item = OwnedFd>,
) -> Result<(), Fault> {
    let step = format!("show /{}", bind.target);
    let (mount, directory) = match &bind.source {
        BindSource::Link(to) => return make_link(root, &bind.target, to).at(step),
        BindSource::Mount { directory } => {
            (descriptors.next().ok_or(Errno::BADF).at(&step)?, *directory)
        }
        BindSource::Path { path, directory, writable } => {
            (clone_of_path(path, *writable).at(&step)?, *directory)
        }
    };
    let target = bind_target(root, &bind.target, directory).at(&step)?;
    attach(&mount, &target).at(step)
}

/// A clone of a path of the machine. Mounts below it come along: they cannot be left out by whoever
/// is not the machine's root.
fn clone_of_path(path: &str, writable: bool) -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    let mount = rustix::mount::open_tree(CWD, format!("{MACHINE_AT}{path}"), flags)?;
    if !writable {
        let change =
            MountChange { set: libc::MOUNT_ATTR_RDONLY, recursive: true, ..Default::default() };
        sys::mount_setattr(mount.as_fd(), &change)?;
    }
    Ok(mount)
}

/// The place for a bind; what is missing is made. Links of the image lead where they lead inside.
fn bind_target(root: &OwnedFd, path: &str, directory: bool) -> Result<OwnedFd, Errno> {
    let open = |path: &str, flags| {
        let flags = flags | OFlags::PATH | OFlags::CLOEXEC;
        openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT)
    };
    match open(path, OFlags::empty()) {
        Err(Errno::NOENT) => {}
        other => return other,
    }
    let (parents, name) = path.rsplit_once('/').unwrap_or(("", path));
    let mut at = open(".", OFlags::DIRECTORY)?;
    for (end, _) in parents.match_indices('/').chain([(parents.len(), "")]) {
        let so_far = &parents[..end];
        if so_far.is_empty() {
            continue;
        }
        let next = so_far.rsplit('/').next().unwrap_or(so_far);
        make_directory(&at, next, 0o755)?;
        at = open(so_far, OFlags::DIRECTORY)?;
    }
    if let Ok(stat) = rustix::fs::statat(&at, name, AtFlags::SYMLINK_NOFOLLOW)
        && FileType::from_raw_mode(stat.st_mode) == FileType::Symlink
    {
        // It leads to nothing; a program that looks for the file would not find it by it.
        rustix::fs::unlinkat(&at, name, AtFlags::empty())?;
    }
    if directory {
        make_directory(&at, name, 0o755)?;
    } else {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        openat(&at, name, flags, Mode::from_raw_mode(0o644))?;
    }
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(&at, name, flags, Mode::empty())
}

fn make_link(root: &OwnedFd, path: &str, to: &str) -> Result<(), Errno> {
    let resolve = ResolveFlags::IN_ROOT;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat2(root, path, flags, Mode::empty(), resolve) {
        Ok(_) => return Ok(()),
        Err(Errno::NOENT) => {}
        Err(errno) => return Err(errno),
    }
    let (parent, name) = path.rsplit_once('/').unwrap_or((".", path));
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = openat2(root, parent, flags, Mode::empty(), resolve)?;
    rustix::fs::symlinkat(to, &parent, name)
}

/// The flags of the mount of device nodes.
pub(super) fn device_attributes() -> MountAttrFlags {
    MountAttrFlags::from_bits_retain(attributes_of(
        libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC,
    ))
}
