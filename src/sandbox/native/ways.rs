//! The newer ways of mounting that sandboxes are made by. The zygote tries each when it starts; an
//! older one takes the place of each that this kernel does not have. The oldest kernel that has
//! all the older ones is 6.1.

use super::init::{EMPTY_AT, ROOT_AT};
use super::root::clone_of;
use super::sys::{self, MountChange};
use rustix::fs::{Mode, OFlags, mkdirat, openat};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags};
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, OwnedFd};

/// A way that not every kernel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// The layers of an overlay are given one by one, not in the one page of `mount`'s options.
    LayerByLayer,
    /// A root is put together while it is attached nowhere, not in the zygote's namespace.
    Detached,
    /// What is written in memory is shifted by its mount, not when it becomes a layer.
    ShiftedMemory,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::LayerByLayer, Self::Detached, Self::ShiftedMemory];

    /// What it does, in a few words.
    #[must_use]
    pub fn subject(self) -> &'static str {
        match self {
            Self::LayerByLayer => "layers of an overlay",
            Self::Detached => "assembly of a root",
            Self::ShiftedMemory => "owners of files in memory",
        }
    }

    /// How it is done by this way.
    #[must_use]
    pub fn newer(self) -> &'static str {
        match self {
            Self::LayerByLayer => "one by one",
            Self::Detached => "attached nowhere",
            Self::ShiftedMemory => "by an id-mapped mount",
        }
    }

    /// How it is done without.
    #[must_use]
    pub fn older(self) -> &'static str {
        match self {
            Self::LayerByLayer => "in one page of mount options",
            Self::Detached => "in the zygote's namespace, then taken off",
            Self::ShiftedMemory => "changed when a layer is made",
        }
    }

    /// The first kernel that has it.
    #[must_use]
    pub fn since(self) -> &'static str {
        match self {
            Self::LayerByLayer => "6.7",
            Self::Detached => "6.15",
            Self::ShiftedMemory => "6.3",
        }
    }
}

/// The ways that this kernel has and that are taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ways(pub(super) Vec<Way>);

impl Ways {
    /// Whether this way is taken.
    pub(super) fn has(&self, way: Way) -> bool {
        self.0.contains(&way)
    }

    /// Tries them all but those to be avoided. `userns` has the maps of sandboxes; without one
    /// nothing is shifted. Called in the zygote's own root.
    pub(super) fn find(userns: Option<&OwnedFd>, avoid: &[Way]) -> Self {
        let works = |way: &Way| {
            let tried = match way {
                Way::LayerByLayer => layer_by_layer(),
                Way::Detached => detached(userns.is_none()),
                Way::ShiftedMemory => shifted_memory(userns),
            };
            tried.is_ok()
        };
        let wanted = Way::ALL.into_iter().filter(|way| !avoid.contains(way));
        Self(wanted.filter(works).collect())
    }
}

fn memory() -> Result<OwnedFd, Errno> {
    let context = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_create(&context)?;
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
}

/// Two directories laid over each other. That the option is taken says nothing yet: the old calls
/// below the new ones take any, and complain when the mount is made.
fn layer_by_layer() -> Result<(), Errno> {
    let context = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for layer in [EMPTY_AT, ROOT_AT] {
        rustix::mount::fsconfig_set_string(&context, "lowerdir+", layer)?;
    }
    rustix::mount::fsconfig_create(&context)
}

/// A mount on one that is attached nowhere, a clone of the two, and an overlay that writes there:
/// what a root needs.
fn detached(rootless: bool) -> Result<(), Errno> {
    let (below, above) = (memory()?, memory()?);
    for name in ["u", "w", "m"] {
        mkdirat(&below, name, Mode::from_raw_mode(0o755))?;
    }
    let open = |name| openat(&below, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(&above, "", open("m")?, "", flags)?;
    clone_of(&below)?;
    let context = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_set_string(&context, "lowerdir", EMPTY_AT)?;
    rustix::mount::fsconfig_set_fd(&context, "upperdir", open("u")?.as_fd())?;
    rustix::mount::fsconfig_set_fd(&context, "workdir", open("w")?.as_fd())?;
    if rootless {
        rustix::mount::fsconfig_set_flag(&context, "userxattr")?;
    }
    rustix::mount::fsconfig_create(&context)
}

fn shifted_memory(userns: Option<&OwnedFd>) -> Result<(), Errno> {
    let Some(userns) = userns else { return Ok(()) };
    let change = MountChange { idmap: Some(userns.as_fd()), ..Default::default() };
    sys::mount_setattr(memory()?.as_fd(), &change)
}
