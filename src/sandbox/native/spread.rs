//! Where the file system puts the directories of sandboxes.

use rustix::fs::{IFlags, Mode, OFlags};
use std::path::Path;

/// `EXT4_SUPER_MAGIC`.
const EXT4: u64 = 0xef53;

/// Has ext4 without a journal spread the directories in this one over the disk. It does not give out
/// inodes that were deleted within the last minutes, and goes by each of them to find another: where
/// hundreds of directories a second are made and removed in one place, by thousands. Where this
/// cannot be done, nothing but time is lost.
pub(super) fn spread(directory: &Path) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(opened) = rustix::fs::open(directory, flags, Mode::empty()) else { return };
    let ext4 = rustix::fs::fstatfs(&opened).is_ok_and(|fs| u64::try_from(fs.f_type) == Ok(EXT4));
    let Ok(stat) = rustix::fs::fstat(&opened) else { return };
    if !ext4 || has_journal(stat.st_dev) {
        return;
    }
    if let Ok(flags) = rustix::fs::ioctl_getflags(&opened) {
        // For ext4, "the top of a tree that has nothing to do with others".
        let _ = rustix::fs::ioctl_setflags(&opened, flags | IFlags::TOPDIR);
    }
}

/// Whether the kernel keeps a journal for the file system of this device.
fn has_journal(device: u64) -> bool {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let Ok(path) = fs_err::read_link(format!("/sys/dev/block/{major}:{minor}")) else {
        return true;
    };
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return true };
    let Ok(journals) = fs_err::read_dir("/proc/fs/jbd2") else { return false };
    journals.flatten().any(|journal| {
        let journal = journal.file_name();
        journal.to_str().and_then(|journal| journal.strip_prefix(name)?.strip_prefix('-')).is_some()
    })
}
