//! Files in and out of a sandbox, done by our own code in a process inside it: whatever links and
//! mounts the sandbox has, they lead nowhere but inside, and no path is checked first and used
//! later.

use super::proto::FileWork;
use fs_err as fs;
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Uid, openat2};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

/// The first line of what [`FileWork::Send`] sends.
pub(in crate::sandbox) const TREE_HEADER: &str = "tree";
/// Likewise for a file; its permission bits follow, in decimal.
pub(in crate::sandbox) const FILE_HEADER: &str = "file";
/// The exit code that says a limit was met.
pub(in crate::sandbox) const TOO_LARGE: i32 = 3;

enum FileError {
    Io(io::Error),
    Call(Errno),
    Why(&'static str),
    TooLarge,
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Errno> for FileError {
    fn from(errno: Errno) -> Self {
        Self::Call(errno)
    }
}

/// Does the work and returns the exit code.
pub(super) fn run(work: &FileWork) -> i32 {
    let result = match work {
        FileWork::Write { path, mode } => write(Path::new(path), *mode),
        FileWork::Unpack { path } => unpack(Path::new(path)),
        FileWork::Send { path, limit } => send(Path::new(path), *limit),
    };
    let message = match result {
        Ok(()) => return 0,
        Err(FileError::TooLarge) => return TOO_LARGE,
        Err(FileError::Io(error)) => error.to_string(),
        Err(FileError::Call(errno)) => errno.to_string(),
        Err(FileError::Why(why)) => why.to_owned(),
    };
    // Nobody may be reading any more.
    let _ = io::stderr().write_all(message.as_bytes());
    1
}

/// Opens a path; links of `/proc` that lead to what a process has open are not followed.
fn open(path: &Path, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    let mut flags = flags | OFlags::CLOEXEC;
    if !flags.contains(OFlags::PATH) {
        flags |= OFlags::NOCTTY | OFlags::NONBLOCK;
    }
    openat2(CWD, path, flags, mode, ResolveFlags::NO_MAGICLINKS)
}

fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

fn write(path: &Path, mode: u32) -> Result<(), FileError> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let flags = OFlags::WRONLY | OFlags::CREATE;
    let file = open(path, flags, Mode::from_raw_mode(0o600))?;
    if kind(&rustix::fs::fstat(&file)?) != FileType::RegularFile {
        return Err(FileError::Why("is not a regular file"));
    }
    rustix::fs::ftruncate(&file, 0)?;
    let mut file = File::from(file);
    io::copy(&mut io::stdin().lock(), &mut file)?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode & 0o7777))?;
    Ok(())
}

fn unpack(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path)?;
    let mut archive = tar::Archive::new(io::stdin().lock());
    archive.set_preserve_permissions(true);
    archive.set_overwrite(true);
    archive.set_unpack_xattrs(true);
    // As Docker does it. Where there is one id only, all is that one's.
    let owned = many_ids();
    let mut directories = Vec::new();
    for entry in archive.entries()? {
        let entry = entry?;
        match entry.header().entry_type() {
            tar::EntryType::Directory => directories.push(entry),
            _ => unpack_entry(path, entry, owned)?,
        }
    }
    // The deepest first, and after what is in them: they may be closed to whoever writes.
    directories.sort_by(|a, b| b.path_bytes().cmp(&a.path_bytes()));
    directories.into_iter().try_for_each(|directory| unpack_entry(path, directory, owned))
}

fn unpack_entry<R: Read>(
    top: &Path,
    mut entry: tar::Entry<'_, R>,
    owned: bool,
) -> Result<(), FileError> {
    let header = entry.header().clone();
    let target = top.join(entry.path()?.components().filter_map(plain).collect::<PathBuf>());
    let unpacked = entry.unpack_in(top)?;
    // An archive need not say whose its files are.
    let (Ok(uid), Ok(gid)) = (header.uid(), header.gid()) else { return Ok(()) };
    if !owned || !unpacked || header.entry_type() == tar::EntryType::Link {
        return Ok(());
    }
    let number = |id: u64| u32::try_from(id).map_err(|_| FileError::Why("an owner is no number"));
    let (uid, gid) = (Uid::from_raw(number(uid)?), Gid::from_raw(number(gid)?));
    rustix::fs::chownat(CWD, &target, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    if header.entry_type() != tar::EntryType::Symlink {
        // A change of owner takes set-user-id away.
        rustix::fs::chmod(&target, Mode::from_raw_mode(header.mode()? & 0o7777))?;
    }
    Ok(())
}

/// The part of a path that leads further down, as the unpacker goes by it.
fn plain(part: Component<'_>) -> Option<Component<'_>> {
    matches!(part, Component::Normal(_)).then_some(part)
}

/// Whether files can belong to more than one user.
fn many_ids() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let counts = map.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok());
    counts.sum::<u64>() > 1
}

fn send(path: &Path, limit: u64) -> Result<(), FileError> {
    let opened = open(path, OFlags::PATH, Mode::empty())?;
    let stat = rustix::fs::fstat(&opened)?;
    match kind(&stat) {
        FileType::RegularFile => send_file(path, limit),
        FileType::Directory => send_tree(path, stat.st_dev, limit),
        _ => Err(FileError::Why("is neither a file nor a directory")),
    }
}

/// The file is opened anew, and judged by what was opened: it may have been exchanged.
fn open_file(path: &Path, more: OFlags) -> Result<(File, Stat), FileError> {
    let file = open(path, OFlags::RDONLY | more, Mode::empty())?;
    let stat = rustix::fs::fstat(&file)?;
    if kind(&stat) != FileType::RegularFile {
        return Err(FileError::Why("is not a regular file any more"));
    }
    Ok((File::from(file), stat))
}

fn send_file(path: &Path, limit: u64) -> Result<(), FileError> {
    let (file, stat) = open_file(path, OFlags::empty())?;
    if stat.st_size.unsigned_abs() > limit {
        return Err(FileError::TooLarge);
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{FILE_HEADER} {}", stat.st_mode & 0o7777)?;
    // It may grow meanwhile, and files of /proc have no size.
    let sent = io::copy(&mut file.take(limit.saturating_add(1)), &mut out)?;
    out.flush()?;
    if sent > limit { Err(FileError::TooLarge) } else { Ok(()) }
}

/// Counts what goes through it, and stops at a limit.
struct Counted<W> {
    inner: W,
    left: u64,
    over: bool,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(left) = self.left.checked_sub(bytes.len() as u64) else {
            self.over = true;
            return Err(io::Error::other("over the limit"));
        };
        self.left = left;
        self.inner.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn send_tree(top: &Path, device: u64, limit: u64) -> Result<(), FileError> {
    let mut out = io::stdout().lock();
    writeln!(out, "{TREE_HEADER}")?;
    let inner = BufWriter::with_capacity(64 << 10, out);
    let mut builder = tar::Builder::new(Counted { inner, left: limit, over: false });
    builder.follow_symlinks(false);
    let mut result = append_tree(&mut builder, top, device);
    if result.is_ok() {
        result = builder.finish().map_err(FileError::from);
    }
    if builder.get_ref().over {
        return Err(FileError::TooLarge);
    }
    result?;
    builder.get_mut().flush()?;
    Ok(())
}

/// Every entry of the tree, without what other file systems are mounted in it.
fn append_tree<W: Write>(
    builder: &mut tar::Builder<W>,
    top: &Path,
    device: u64,
) -> Result<(), FileError> {
    let mut directories = vec![PathBuf::new()];
    while let Some(relative) = directories.pop() {
        let entries = match fs::read_dir(top.join(&relative)) {
            // It was removed or exchanged since it was seen.
            Err(_) if relative != Path::new("") => continue,
            entries => entries?,
        };
        for entry in entries {
            let relative = relative.join(entry?.file_name());
            let path = top.join(&relative);
            let Ok(stat) = rustix::fs::lstat(&path) else { continue };
            match kind(&stat) {
                _ if stat.st_dev != device && kind(&stat) == FileType::Directory => {}
                FileType::Directory => {
                    append(builder, &relative, &stat, tar::EntryType::Directory, io::empty())?;
                    directories.push(relative);
                }
                FileType::RegularFile => match open_file(&path, OFlags::NOFOLLOW) {
                    Ok((file, stat)) => append_file(builder, &relative, &stat, file)?,
                    Err(_) => continue,
                },
                FileType::Symlink => append_link(builder, &relative, &path, &stat)?,
                FileType::Fifo => {
                    append(builder, &relative, &stat, tar::EntryType::Fifo, io::empty())?;
                }
                // Sockets and devices mean nothing elsewhere.
                _ => {}
            }
        }
    }
    Ok(())
}

fn header(stat: &Stat, entry: tar::EntryType) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(entry);
    header.set_mode(stat.st_mode & 0o7777);
    header.set_uid(stat.st_uid.into());
    header.set_gid(stat.st_gid.into());
    header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or(0));
    header.set_size(0);
    header
}

fn append<W: Write>(
    builder: &mut tar::Builder<W>,
    name: &Path,
    stat: &Stat,
    entry: tar::EntryType,
    content: impl Read,
) -> Result<(), FileError> {
    let mut header = header(stat, entry);
    set_name(builder, &mut header, name)?;
    Ok(builder.append(&header, content)?)
}

/// Exactly as many bytes as announced, however the file changes.
fn append_file<W: Write>(
    builder: &mut tar::Builder<W>,
    name: &Path,
    stat: &Stat,
    file: File,
) -> Result<(), FileError> {
    let size = stat.st_size.unsigned_abs();
    let mut header = header(stat, tar::EntryType::Regular);
    header.set_size(size);
    set_name(builder, &mut header, name)?;
    Ok(builder.append(&header, file.chain(io::repeat(0)).take(size))?)
}

fn append_link<W: Write>(
    builder: &mut tar::Builder<W>,
    name: &Path,
    path: &Path,
    stat: &Stat,
) -> Result<(), FileError> {
    let Ok(target) = rustix::fs::readlink(path, Vec::new()) else { return Ok(()) };
    let mut header = header(stat, tar::EntryType::Symlink);
    long_field(builder, &mut header, LINK, target.as_bytes())?;
    set_name(builder, &mut header, name)?;
    Ok(builder.append(&header, io::empty())?)
}

/// A field of a header for bytes of any kind: the kind of entry that goes before it where it is too
/// short for them, and where in the header it is.
type Field = (u8, std::ops::Range<usize>);
const NAME: Field = (b'L', 0..100);
const LINK: Field = (b'K', 157..257);

fn set_name<W: Write>(
    builder: &mut tar::Builder<W>,
    header: &mut tar::Header,
    name: &Path,
) -> Result<(), FileError> {
    long_field(builder, header, NAME, name.as_os_str().as_bytes())?;
    header.set_cksum();
    Ok(())
}

/// Sets a field as GNU does. The library cannot, where what fits does not begin as text.
fn long_field<W: Write>(
    builder: &mut tar::Builder<W>,
    header: &mut tar::Header,
    (kind, place): Field,
    bytes: &[u8],
) -> Result<(), FileError> {
    if bytes.len() > place.len() {
        let mut before = tar::Header::new_gnu();
        before.as_mut_bytes()[..13].copy_from_slice(b"././@LongLink");
        before.set_entry_type(tar::EntryType::new(kind));
        before.set_mode(0o644);
        before.set_size(bytes.len() as u64 + 1);
        before.set_cksum();
        builder.append(&before, bytes.chain(&b"\0"[..]))?;
    }
    let fits = bytes.len().min(place.len());
    header.as_mut_bytes()[place][..fits].copy_from_slice(&bytes[..fits]);
    Ok(())
}
