//! True owners and modes of files in an ordinary user's layers, where they are not on disk.
//!
//! Regular files and directories carry them as an attribute: it goes where the file goes, also when
//! an overlay copies it up, and when it is renamed or gets another name. What can have no attributes
//! (links, pipes) is written down beside the layer. What is in neither is root's.

use super::unpack::Owner;
use super::{StoreError, names};
use rustix::fs::{FileType, Mode, XattrFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::Path;

/// The attribute: `uid:gid`, or `uid:gid:mode` (octal) where the mode on disk had to be widened.
pub(crate) const ATTRIBUTE: &str = "user.evalrun.owner";

/// The file, beside `fs`.
const FILE: &str = "owners.jsonl";

/// One line of the file.
#[derive(Serialize, Deserialize)]
struct Line {
    path: String,
    #[serde(flatten)]
    owner: Owner,
}

/// Writes the owners of a layer in the directory that holds its `fs`; none: no file.
pub(super) fn write(directory: &Path, owners: &BTreeMap<Vec<u8>, Owner>) -> Result<(), StoreError> {
    if owners.is_empty() {
        return Ok(());
    }
    let mut file = BufWriter::new(fs_err::File::create(directory.join(FILE))?);
    for (path, owner) in owners {
        let parts: Vec<_> = path.split(|&byte| byte == b'/').map(names::encode).collect();
        let line = Line { path: parts.join("/"), owner: *owner };
        serde_json::to_writer(&mut file, &line).map_err(std::io::Error::from)?;
        file.write_all(b"\n")?;
    }
    Ok(file.flush()?)
}

/// Reads what [`write()`] wrote, by path.
pub(super) fn read(directory: &Path) -> Result<BTreeMap<Vec<u8>, Owner>, StoreError> {
    let path = directory.join(FILE);
    let file = match fs_err::File::open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        other => other?,
    };
    let damaged = |why: String| StoreError::Damaged { path: path.clone(), why };
    let mut owners = BTreeMap::new();
    for line in BufReader::new(file).lines() {
        let line: Line =
            serde_json::from_str(&line?).map_err(|error| damaged(error.to_string()))?;
        let name = names::decode(&line.path).ok_or_else(|| damaged("a name is damaged".into()))?;
        owners.insert(name, line.owner);
    }
    Ok(owners)
}

/// The value of [`ATTRIBUTE`] for a file that has this mode on disk; `None`: it needs none.
pub(crate) fn to_attribute(owner: Owner, disk_mode: u32) -> Option<String> {
    let Owner { uid, gid, mode } = owner;
    match (mode == disk_mode & 0o7777, uid | gid) {
        (true, 0) => None,
        (true, _) => Some(format!("{uid}:{gid}")),
        (false, _) => Some(format!("{uid}:{gid}:{mode:o}")),
    }
}

/// What the attribute of a file says, whose mode on disk is this, with its kind. A mode counts only
/// as long as nobody has changed it since it was widened; a value that makes no sense says nothing.
pub(crate) fn from_attribute(value: &[u8], disk_mode: u32) -> Option<Owner> {
    let mut parts = std::str::from_utf8(value).ok()?.split(':');
    let (uid, gid) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let disk = disk_mode & 0o7777;
    let mode = match parts.next() {
        Some(mode) => u32::from_str_radix(mode, 8).ok()?,
        None => disk,
    };
    let (None, true) = (parts.next(), mode <= 0o7777) else { return None };
    let unchanged = mode | needed(disk_mode) == disk;
    Some(Owner { uid, gid, mode: if unchanged { mode } else { disk } })
}

/// The bits by which whoever owns a file on disk can read it, list it and take it away.
fn needed(disk_mode: u32) -> u32 {
    if FileType::from_raw_mode(disk_mode) == FileType::Directory { 0o700 } else { 0o600 }
}

/// Widens modes in a tree of our own so that we can read it all, and writes down what they were.
/// Only what a sandbox made can be in need of it.
pub(crate) fn open_up(root: &Path) -> std::io::Result<()> {
    let mut paths = vec![root.to_owned()];
    while let Some(path) = paths.pop() {
        let stat = rustix::fs::lstat(&path)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if !matches!(kind, FileType::Directory | FileType::RegularFile) {
            continue;
        }
        let mode = stat.st_mode & 0o7777;
        let wide = mode | needed(stat.st_mode);
        if wide != mode {
            // First: what may not be read has no attributes for us.
            rustix::fs::chmod(&path, Mode::from_raw_mode(wide))?;
            let owner = Owner { mode, ..of_file(&path, stat.st_mode) };
            write_on(&path, owner, wide)?;
        }
        if kind == FileType::Directory {
            for entry in fs_err::read_dir(&path)? {
                paths.push(entry?.path());
            }
        }
    }
    Ok(())
}

/// Who a file of ours really belongs to.
fn of_file(path: &Path, disk_mode: u32) -> Owner {
    let mut value = [0; 64];
    let said = rustix::fs::lgetxattr(path, ATTRIBUTE, &mut value[..]);
    said.ok().and_then(|length| from_attribute(&value[..length], disk_mode)).unwrap_or(Owner {
        uid: 0,
        gid: 0,
        mode: disk_mode & 0o7777,
    })
}

/// Writes on a file or directory that it belongs to `user` and `group`, which `u32::MAX` leaves as
/// they are. `path` must lead to it without a link of anybody else's making.
///
/// # Errors
/// [`Errno::OPNOTSUPP`] where there are no attributes; what the system says.
pub(crate) fn give(path: &Path, disk_mode: u32, user: u32, group: u32) -> Result<(), Errno> {
    let mut value = [0; 64];
    let old = match rustix::fs::getxattr(path, ATTRIBUTE, &mut value[..]) {
        Ok(length) => from_attribute(&value[..length], disk_mode),
        Err(_) => None,
    };
    let old = old.unwrap_or(Owner { uid: 0, gid: 0, mode: disk_mode & 0o7777 });
    let kept = |new, old| if new == u32::MAX { old } else { new };
    let owner = Owner { uid: kept(user, old.uid), gid: kept(group, old.gid), ..old };
    write_on(path, owner, disk_mode)
}

fn write_on(path: &Path, owner: Owner, disk_mode: u32) -> Result<(), Errno> {
    match to_attribute(owner, disk_mode) {
        Some(value) => rustix::fs::setxattr(path, ATTRIBUTE, value.as_bytes(), XattrFlags::empty()),
        None => match rustix::fs::removexattr(path, ATTRIBUTE) {
            Err(Errno::NODATA) => Ok(()),
            other => other,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_says_what_the_disk_does_not() {
        let file = FileType::RegularFile.as_raw_mode();
        let owner = |uid, gid, mode| Owner { uid, gid, mode };
        assert_eq!(to_attribute(owner(0, 0, 0o644), file | 0o644), None);
        assert_eq!(to_attribute(owner(5, 60, 0o644), file | 0o644).unwrap(), "5:60");
        let closed = to_attribute(owner(0, 42, 0o40), file | 0o640).unwrap();
        assert_eq!(closed, "0:42:40");
        let read = |value: &str, mode| from_attribute(value.as_bytes(), mode);
        assert_eq!(read(&closed, file | 0o640), Some(owner(0, 42, 0o40)));
        // Somebody has changed the mode since.
        assert_eq!(read(&closed, file | 0o755), Some(owner(0, 42, 0o755)));
        assert_eq!(read("5:60", file | 0o600), Some(owner(5, 60, 0o600)));
        for bad in ["", "5", "5:", "a:b", "5:6:9", "5:6:77777", "5:6:7:8", "-1:0"] {
            assert_eq!(read(bad, file | 0o600), None, "{bad}");
        }
    }

    #[test]
    fn closed_trees_are_opened_up_and_remember() {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path().join("tree");
        fs_err::create_dir_all(root.join("closed/inner")).unwrap();
        fs_err::write(root.join("closed/inner/file"), "x").unwrap();
        let set = |name: &str, mode| {
            rustix::fs::chmod(root.join(name), Mode::from_raw_mode(mode)).unwrap();
        };
        let file = root.join("closed/inner/file");
        give(&file, rustix::fs::lstat(&file).unwrap().st_mode, 7, 8).unwrap();
        set("closed/inner/file", 0o004);
        set("closed/inner", 0o050);
        set("closed", 0);
        open_up(&root).unwrap();
        assert_eq!(fs_err::read(root.join("closed/inner/file")).unwrap(), b"x");
        for (name, mode) in [("closed", 0), ("closed/inner", 0o050), ("closed/inner/file", 0o004)] {
            let path = root.join(name);
            let disk = rustix::fs::lstat(&path).unwrap().st_mode;
            assert_eq!(of_file(&path, disk).mode, mode, "{name}");
        }
        let disk = rustix::fs::lstat(&file).unwrap().st_mode;
        assert_eq!(of_file(&file, disk), Owner { uid: 7, gid: 8, mode: 0o004 });
    }

    #[test]
    fn a_file_is_given_away_and_taken_back() {
        let file = tempfile::NamedTempFile::new_in(".").unwrap();
        let mode = FileType::RegularFile.as_raw_mode() | 0o600;
        give(file.path(), mode, 33, u32::MAX).unwrap();
        give(file.path(), mode, u32::MAX, 34).unwrap();
        assert_eq!(of_file(file.path(), mode), Owner { uid: 33, gid: 34, mode: 0o600 });
        give(file.path(), mode, 0, 0).unwrap();
        assert!(xattr::get(file.path(), ATTRIBUTE).unwrap().is_none());
    }

    #[test]
    fn owners_come_back_whatever_the_names() {
        let directory = tempfile::tempdir().unwrap();
        let owner = Owner { uid: 1000, gid: 70_000, mode: 0o4755 };
        let owners: BTreeMap<_, _> =
            [(b"a/b%c".to_vec(), owner), (b"\xff\n/.x".to_vec(), owner)].into();
        write(directory.path(), &owners).unwrap();
        assert_eq!(read(directory.path()).unwrap(), owners);
    }
}
