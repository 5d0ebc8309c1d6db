//! What stands in a sandbox's upper only because something was mounted on it: empty files and
//! directories that are no part of a snapshot.

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;

/// Where every sandbox has file systems of its own, or a directory for all to write to.
const ALWAYS: [&str; 4] = ["dev", "proc", "sys", "tmp"];

/// Removes the empty places of mounts, and directories above them that hold nothing else. A
/// directory of the image below that was merely seen goes as well; it is still there below.
pub(super) fn remove(upper: &Path, mounted: &[String]) -> Result<(), Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, upper, flags, Mode::empty())?;
    let mounted = mounted.iter().map(|path| path.trim_matches('/'));
    for path in mounted.chain(ALWAYS) {
        let mut path = path;
        while remove_empty(&root, path)? {
            let Some((above, _)) = path.rsplit_once('/') else { break };
            path = above;
        }
    }
    Ok(())
}

/// True if something was removed.
fn remove_empty(root: &OwnedFd, path: &str) -> Result<bool, Errno> {
    let (above, name) = path.rsplit_once('/').unwrap_or((".", path));
    // What the sandbox made of its directories leads nowhere outside.
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let above = match openat2(root, above, flags, Mode::empty(), resolve) {
        Ok(above) => above,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(false),
        Err(errno) => return Err(errno),
    };
    let stat = match rustix::fs::statat(&above, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(false),
        Err(errno) => return Err(errno),
    };
    let how = match FileType::from_raw_mode(stat.st_mode) {
        // It hides what the image below has there.
        FileType::Directory if is_opaque(&above, name) => return Ok(false),
        FileType::Directory => AtFlags::REMOVEDIR,
        FileType::RegularFile if stat.st_size == 0 => AtFlags::empty(),
        _ => return Ok(false),
    };
    match rustix::fs::unlinkat(&above, name, how) {
        Ok(()) => Ok(true),
        Err(Errno::NOTEMPTY | Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}

fn is_opaque(above: &OwnedFd, name: &str) -> bool {
    let path = format!("/proc/self/fd/{}/{name}", above.as_raw_fd());
    ["trusted.overlay.opaque", "user.overlay.opaque"].iter().any(|mark| {
        let mut value = [0_u8; 1];
        rustix::fs::lgetxattr(path.as_str(), *mark, &mut value).is_ok() && value == *b"y"
    })
}

#[cfg(test)]
mod tests {
    use super::remove;
    use fs_err as fs;

    #[test]
    fn only_empty_places_of_mounts_go() {
        let temporary = tempfile::tempdir().unwrap();
        let upper = temporary.path().join("u");
        let outside = temporary.path().join("outside");
        for directory in ["dev", "proc/kept", "a/b/c", "x", "other"] {
            fs::create_dir_all(upper.join(directory)).unwrap();
        }
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("file"), "").unwrap();
        fs::write(upper.join("x/stub"), "").unwrap();
        fs::write(upper.join("x/full"), "text").unwrap();
        fs::os::unix::fs::symlink(&outside, upper.join("out")).unwrap();
        let mounted = ["/a/b/c", "/x/stub", "/x/full", "/out/file", "/missing/at/all"];
        remove(&upper, &mounted.map(str::to_owned)).unwrap();
        for gone in ["dev", "a", "x/stub"] {
            assert!(!upper.join(gone).exists(), "{gone}");
        }
        for kept in ["proc/kept", "x/full", "other", "out/file"] {
            assert!(upper.join(kept).exists(), "{kept}");
        }
    }
}
