//! The overlay of a sandbox: the image's layers below, what it writes above.

use super::init::ROOT_AT;
use super::proto::{At, Create, Fault, UpperPlan};
use super::quota;
use super::root::{HOME_AT, MEMORY_AT, Materials, clone_of};
use super::sys::{self, MountChange};
use super::ways::Way;
use rustix::fs::{CWD, Mode, OFlags, StatVfsMountFlags, mkdirat, openat};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags};
use std::ffi::CString;
use std::fmt::Write as _;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// What the kernel takes of the options of `mount`, with the zero at their end.
const PAGE: usize = 4096;

/// Mounts it: attached nowhere if roots are put together so, else at [`ROOT_AT`].
pub(super) fn mount(create: &Create, materials: &Materials) -> Result<Mounted, Fault> {
    let step = "mount the overlay";
    // A detached mount is taken apart when its last descriptor goes: not before the overlay has it.
    let upper = upper(&create.upper, materials)?;
    let mount = if materials.ways.has(Way::LayerByLayer) {
        layer_by_layer(create, materials, &upper)?
    } else {
        in_one_page(create, materials, &upper)?
    };
    // When the overlay cannot make its work directory it becomes read-only without a word.
    let flags = rustix::fs::fstatvfs(&mount).at(step)?.f_flag;
    if flags.contains(StatVfsMountFlags::RDONLY) {
        return Err(Errno::ROFS).at(step);
    }
    Ok(Mounted { mount, upper: upper.plain, scaffold: upper.mounts })
}

/// A mounted overlay.
pub(super) struct Mounted {
    /// The mount.
    pub(super) mount: OwnedFd,
    /// For uppers in memory, the directory of what is written.
    pub(super) upper: Option<OwnedFd>,
    /// What it was put together from. To let go of it takes the kernel a while.
    pub(super) scaffold: Vec<OwnedFd>,
}

/// Where a sandbox writes.
struct Upper {
    upper: OwnedFd,
    work: OwnedFd,
    /// For uppers in memory: the upper directory by a mount that shows owners as they are inside,
    /// if there is a way to have one.
    plain: Option<OwnedFd>,
    /// The mounts that the others are on.
    mounts: Vec<OwnedFd>,
}

fn upper(plan: &UpperPlan, materials: &Materials) -> Result<Upper, Fault> {
    match plan {
        UpperPlan::Disk(directory) => {
            let open = |name| {
                let path = format!("{HOME_AT}/{directory}/{name}");
                open_path(&path).at(format!("open {path}"))
            };
            Ok(Upper { upper: open("u")?, work: open("w")?, plain: None, mounts: Vec::new() })
        }
        UpperPlan::Memory(size) => in_memory(*size, materials),
    }
}

fn open_path(path: &str) -> Result<OwnedFd, Errno> {
    openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}

/// The layers and the upper are each set by themselves.
fn layer_by_layer(create: &Create, materials: &Materials, upper: &Upper) -> Result<OwnedFd, Fault> {
    let step = "mount the overlay";
    let detached = materials.ways.has(Way::Detached);
    let context = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).at(step)?;
    let set = |name: &str, value: &str| {
        rustix::mount::fsconfig_set_string(&context, name, value)
            .at(format!("{step}: {name}={value}"))
    };
    set("source", "overlay")?;
    for lower in &create.lowers {
        set("lowerdir+", &format!("{HOME_AT}/{lower}"))?;
    }
    for (name, directory) in [("upperdir", &upper.upper), ("workdir", &upper.work)] {
        if detached {
            rustix::mount::fsconfig_set_fd(&context, name, directory.as_fd()).at(step)?;
        } else {
            set(name, &format!("/proc/self/fd/{}", directory.as_raw_fd()))?;
        }
    }
    // A sandbox is made anew after a crash, so nothing need be waited for.
    rustix::mount::fsconfig_set_flag(&context, "volatile").at(step)?;
    if materials.userns.is_none() {
        rustix::mount::fsconfig_set_flag(&context, "userxattr").at(step)?;
    }
    rustix::mount::fsconfig_create(&context).at(step)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NODEV;
    let mount = rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes);
    let mount = mount.at(step)?;
    if !detached {
        attach(&mount, ROOT_AT).at("attach the overlay")?;
    }
    Ok(mount)
}

/// By the old call, which takes one page of options. Directories are named by their numbers among
/// our descriptors, so that many layers fit and no character of a path means anything.
fn in_one_page(create: &Create, materials: &Materials, upper: &Upper) -> Result<OwnedFd, Fault> {
    let step = "mount the overlay";
    let lowers = create.lowers.iter().map(|lower| open_path(&format!("{HOME_AT}/{lower}")));
    let lowers: Vec<OwnedFd> = lowers.collect::<Result<_, _>>().at("open the layers")?;
    let numbers: Vec<String> = lowers.iter().map(|lower| lower.as_raw_fd().to_string()).collect();
    let mut options = format!("lowerdir={}", numbers.join(":"));
    let (above, work) = (upper.upper.as_raw_fd(), upper.work.as_raw_fd());
    let _ = write!(options, ",upperdir={above},workdir={work},volatile");
    if materials.userns.is_none() {
        options.push_str(",userxattr");
    }
    if options.len() >= PAGE {
        return Err(Errno::TOOBIG).at(format!("{step} of {} layers", lowers.len()));
    }
    let options = CString::new(options).map_err(|_| Errno::INVAL).at(step)?;
    rustix::process::chdir("/proc/self/fd").at(step)?;
    let mounted = rustix::mount::mount(
        "overlay",
        ROOT_AT,
        "overlay",
        MountFlags::NODEV,
        Some(options.as_c_str()),
    );
    rustix::process::chdir("/").at(step)?;
    mounted.at(step)?;
    if !materials.ways.has(Way::Detached) {
        return open_path(ROOT_AT).at(step);
    }
    let mount = open_path(ROOT_AT).and_then(|attached| clone_of(&attached)).at(step)?;
    rustix::mount::unmount(ROOT_AT, rustix::mount::UnmountFlags::DETACH).at(step)?;
    Ok(mount)
}

/// A file system in memory of this size for one sandbox.
fn in_memory(size: u64, materials: &Materials) -> Result<Upper, Fault> {
    let step = "make an upper in memory";
    let context = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).at(step)?;
    let set = |name: &str, value: &str| {
        rustix::mount::fsconfig_set_string(&context, name, value).at(step)
    };
    set("size", &size.to_string())?;
    // An inode costs memory too, and nobody counts it where there is no cgroup.
    set("nr_inodes", &quota::inodes(size).to_string())?;
    set("mode", "0700")?;
    if materials.userns.is_some() {
        // Else it would be its maker's, which the shift makes nobody's.
        set("uid", "0")?;
        set("gid", "0")?;
    }
    rustix::mount::fsconfig_create(&context).at(step)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NODEV;
    let plain =
        rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).at(step)?;
    let attached = !materials.ways.has(Way::Detached);
    if attached {
        attach(&plain, MEMORY_AT).at(step)?;
    }
    let mount = clone_of(&plain).at(step)?;
    if let Some(userns) = &materials.userns
        && materials.ways.has(Way::ShiftedMemory)
    {
        let change = MountChange { idmap: Some(userns.as_fd()), ..Default::default() };
        sys::mount_setattr(mount.as_fd(), &change).at(step)?;
    }
    if attached {
        attach(&mount, MEMORY_AT).at(step)?;
    }
    // By the shifted mount, in which the zygote's ids are root's. Where it is not shifted they are
    // what they are outside.
    for (name, mode) in [("u", 0o755), ("w", 0o700)] {
        mkdirat(&mount, name, Mode::from_raw_mode(mode)).at(step)?;
    }
    let open = |at: &OwnedFd, name| openat(at, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    Ok(Upper {
        upper: open(&mount, "u").at(step)?,
        work: open(&mount, "w").at(step)?,
        plain: Some(open(&plain, "u").at(step)?),
        mounts: vec![mount, plain],
    })
}

fn attach(mount: &OwnedFd, at: &str) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(mount, "", CWD, at, flags)
}
