//! Walks trees that lie over each other, as overlayfs shows them, and writes what is seen.

use super::writer::{Meta, TarWriter};
use crate::layers::StoreError;
use crate::layers::owners::{ATTRIBUTE, from_attribute};
use crate::layers::unpack::{Owner, Xattr, is_portable};
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, fgetxattr, flistxattr, openat,
    openat2, readlinkat, statat,
};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufWriter, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// A tree, and how to read it.
pub(super) struct Source {
    path: PathBuf,
    root: OwnedFd,
    device: u64,
    owners: BTreeMap<Vec<u8>, Owner>,
    /// Whether overlayfs' marks in it mean something.
    marks: bool,
    /// Whether what may not be read is left out; else it is an error.
    lenient: bool,
}

impl Source {
    /// A layer of the store.
    pub(super) fn layer(path: &Path, owners: BTreeMap<Vec<u8>, Owner>) -> Result<Self, StoreError> {
        let mut source = Self::plain(path, owners)?;
        source.marks = true;
        Ok(source)
    }

    /// A directory as any other.
    pub(super) fn plain(path: &Path, owners: BTreeMap<Vec<u8>, Owner>) -> Result<Self, StoreError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root =
            openat(CWD, path, flags, Mode::empty()).map_err(StoreError::call("open", path))?;
        let device = rustix::fs::fstat(&root).map_err(StoreError::call("stat", path))?.st_dev;
        let (marks, lenient) = (false, false);
        Ok(Self { path: path.to_owned(), root, device, owners, marks, lenient })
    }

    /// Opens what is at a path below, following no link.
    fn open(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = if path.is_empty() { b"." } else { path };
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        for _ in 0..16 {
            match openat2(&self.root, path, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN) => {}
                other => return other,
            }
        }
        Err(Errno::AGAIN)
    }

    /// Who a file really belongs to: what it carries itself, else what is written down beside the
    /// layer, else what the disk says, where whatever is ours is root's inside.
    fn owner(&self, path: &[u8], file: Option<&OwnedFd>, stat: &Stat) -> Owner {
        let mut owner = Owner { uid: stat.st_uid, gid: stat.st_gid, mode: stat.st_mode & 0o7777 };
        if !self.marks {
            return owner;
        }
        let mut value = [0; 64];
        let carried = file.and_then(|file| fgetxattr(file, ATTRIBUTE, &mut value[..]).ok());
        if let Some(carried) =
            carried.and_then(|length| from_attribute(&value[..length], stat.st_mode))
        {
            return carried;
        }
        if let Some(written) = self.owners.get(path) {
            return *written;
        }
        if owner.uid == rustix::process::geteuid().as_raw() {
            owner.uid = 0;
        }
        if owner.gid == rustix::process::getegid().as_raw() {
            owner.gid = 0;
        }
        owner
    }

    /// For `map_err`: names a path below.
    fn failed(&self, call: &'static str, path: &[u8]) -> impl FnOnce(Errno) -> StoreError + use<> {
        StoreError::call(call, &self.path.join(std::ffi::OsStr::from_bytes(path)))
    }
}

/// A directory to write: where it is below the root of the stream, and where it lies in the
/// sources, the topmost first.
struct Item {
    path: Vec<u8>,
    places: Vec<(usize, Vec<u8>)>,
}

/// The walk.
pub(super) struct Walk<W: Write> {
    sources: Vec<Source>,
    /// How many of the sources lie over each other; the others are binds.
    layers: usize,
    binds: BTreeMap<Vec<u8>, usize>,
    writer: TarWriter<BufWriter<W>>,
    /// The first name of each file with several.
    links: HashMap<(usize, u64), Vec<u8>>,
    /// Whether what a layer hides is written, in the form of image layers.
    whiteouts: bool,
}

impl<W: Write> Walk<W> {
    /// A walk of these sources, the topmost first.
    pub(super) fn new(sources: Vec<Source>, writer: W) -> Self {
        let writer = TarWriter::new(BufWriter::with_capacity(128 << 10, writer));
        let layers = sources.len();
        let (binds, links) = (BTreeMap::new(), HashMap::new());
        Self { sources, layers, binds, writer, links, whiteouts: false }
    }

    /// A walk of one layer, with what it hides of the layers below.
    pub(super) fn of_layer(layer: Source, writer: W) -> Self {
        Self { whiteouts: true, ..Self::new(vec![layer], writer) }
    }

    /// Shows a directory of this machine at its own path.
    pub(super) fn bind(&mut self, path: &Path) -> Result<(), StoreError> {
        let mut source = Source::plain(path, BTreeMap::new())?;
        source.lenient = true;
        let name = path.as_os_str().as_bytes();
        let name = name.strip_prefix(b"/").unwrap_or(name);
        self.binds.insert(name.to_vec(), self.sources.len());
        self.sources.push(source);
        Ok(())
    }

    /// Writes it all.
    pub(super) fn write(mut self) -> Result<(), StoreError> {
        let places = (0..self.layers).map(|source| (source, Vec::new())).collect();
        let mut items = vec![Item { path: Vec::new(), places }];
        while let Some(item) = items.pop() {
            let mut below = self.directory(item)?;
            below.reverse();
            items.append(&mut below);
        }
        Ok(self.writer.finish()?)
    }

    /// Writes a directory and the files in it; returns the directories in it.
    fn directory(&mut self, mut item: Item) -> Result<Vec<Item>, StoreError> {
        if let Some(&bind) = self.binds.get(&item.path) {
            item.places = vec![(bind, Vec::new())];
        }
        let mut handles = Vec::new();
        for (number, (index, path)) in item.places.iter().enumerate() {
            let source = &self.sources[*index];
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            let handle = match source.open(path, flags) {
                Err(Errno::ACCESS) if source.lenient => continue,
                other => other.map_err(source.failed("open", path))?,
            };
            if number == 0 {
                let stat = rustix::fs::fstat(&handle).map_err(source.failed("stat", path))?;
                let mounted = stat.st_dev != source.device && !source.marks && !source.lenient;
                self.write_directory(&item.path, (*index, path), (&handle, &stat))?;
                if mounted {
                    return Ok(Vec::new());
                }
            }
            let source = &self.sources[*index];
            let opaque = source.marks && is_opaque(&handle);
            handles.push((*index, path.clone(), handle));
            if opaque {
                break;
            }
        }
        let mut closed = BTreeSet::new();
        let mut directories: BTreeMap<Vec<u8>, Vec<(usize, Vec<u8>)>> = BTreeMap::new();
        for (index, path, handle) in &handles {
            for name in self.names(*index, path, handle)? {
                if closed.contains(&name) {
                    continue;
                }
                let below = join(path, &name);
                let stat = statat(handle, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(self.sources[*index].failed("stat", &below))?;
                if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                    directories.entry(name).or_default().push((*index, below));
                    continue;
                }
                // A file or a whiteout hides what lies below it, and a directory above hides it.
                if !directories.contains_key(&name) {
                    self.write_file(&join(&item.path, &name), (*index, &below), (handle, &stat))?;
                }
                closed.insert(name);
            }
        }
        let found = directories.into_iter();
        Ok(found.map(|(name, places)| Item { path: join(&item.path, &name), places }).collect())
    }

    /// The names in a directory, in order.
    fn names(
        &self,
        index: usize,
        path: &[u8],
        handle: &OwnedFd,
    ) -> Result<BTreeSet<Vec<u8>>, StoreError> {
        let source = &self.sources[index];
        let mut names = BTreeSet::new();
        for entry in Dir::read_from(handle).map_err(source.failed("read", path))? {
            let entry = entry.map_err(source.failed("read", path))?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.insert(name.to_vec());
            }
        }
        Ok(names)
    }

    fn write_directory(
        &mut self,
        name: &[u8],
        (index, path): (usize, &[u8]),
        (handle, stat): (&OwnedFd, &Stat),
    ) -> Result<(), StoreError> {
        let source = &self.sources[index];
        let xattrs = attributes(handle).map_err(source.failed("read the attributes of", path))?;
        if source.marks && has_redirect(handle) {
            let why =
                "its directory was renamed by overlayfs, which this store's layers cannot say";
            return Err(StoreError::source_error(source.path.display(), why));
        }
        let directory = if name.is_empty() { b"./".to_vec() } else { [name, b"/"].concat() };
        let meta = meta(&directory, b'5', stat, source.owner(path, Some(handle), stat));
        self.writer.header(&Meta { xattrs: &xattrs, ..meta })?;
        if self.whiteouts && is_opaque(handle) {
            self.write_whiteout(&join(name, b".wh..opq"))?;
        }
        Ok(())
    }

    /// Says that a name of the layers below is gone.
    fn write_whiteout(&mut self, name: &[u8]) -> Result<(), StoreError> {
        let at = name.iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1);
        let (directory, last) = name.split_at(at);
        let name = [directory, b".wh.", last].concat();
        let meta = Meta {
            path: &name,
            flag: b'0',
            link: b"",
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: (0, 0),
            size: 0,
            xattrs: &[],
        };
        Ok(self.writer.header(&meta)?)
    }

    /// Writes what is no directory; whiteouts, devices and sockets are left out.
    fn write_file(
        &mut self,
        name: &[u8],
        (index, path): (usize, &[u8]),
        (handle, stat): (&OwnedFd, &Stat),
    ) -> Result<(), StoreError> {
        let source = &self.sources[index];
        let (_, last) =
            path.split_at(path.iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1));
        let owner = source.owner(path, None, stat);
        if stat.st_nlink > 1
            && let Some(first) = self.links.get(&(index, stat.st_ino))
        {
            let meta = meta(name, b'1', stat, owner);
            return Ok(self.writer.header(&Meta { link: first, ..meta })?);
        }
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                let file = match source.open(path, OFlags::RDONLY | OFlags::NONBLOCK) {
                    Err(Errno::ACCESS) if source.lenient => return Ok(()),
                    other => other.map_err(source.failed("open", path))?,
                };
                if source.marks && is_marked_whiteout(&file, stat) {
                    return if self.whiteouts { self.write_whiteout(name) } else { Ok(()) };
                }
                let xattrs =
                    attributes(&file).map_err(source.failed("read the attributes of", path))?;
                let size = u64::try_from(stat.st_size).unwrap_or(0);
                let owner = source.owner(path, Some(&file), stat);
                let meta = meta(name, b'0', stat, owner);
                self.writer.header(&Meta { size, xattrs: &xattrs, ..meta })?;
                self.writer.content(std::fs::File::from(file), size)?;
            }
            FileType::Symlink => {
                let target = readlinkat(handle, last, Vec::new())
                    .map_err(source.failed("read the link", path))?;
                let meta = meta(name, b'2', stat, owner);
                self.writer.header(&Meta { link: target.as_bytes(), ..meta })?;
            }
            FileType::Fifo => self.writer.header(&meta(name, b'6', stat, owner))?,
            // Device 0:0 is overlayfs' whiteout; a layer has no other devices.
            FileType::CharacterDevice if self.whiteouts && source.marks && stat.st_rdev == 0 => {
                return self.write_whiteout(name);
            }
            _ => return Ok(()),
        }
        if stat.st_nlink > 1 {
            self.links.insert((index, stat.st_ino), name.to_vec());
        }
        Ok(())
    }
}

/// A header from what the disk says, and the true owner.
fn meta<'a>(path: &'a [u8], flag: u8, stat: &Stat, owner: Owner) -> Meta<'a> {
    Meta {
        path,
        flag,
        link: b"",
        mode: if flag == b'2' { 0o777 } else { owner.mode },
        uid: owner.uid,
        gid: owner.gid,
        mtime: (stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or(0)),
        size: 0,
        xattrs: &[],
    }
}

/// Extended attributes that mean something elsewhere.
fn attributes(file: &OwnedFd) -> Result<Vec<Xattr>, Errno> {
    let mut list = vec![0; 4096];
    let length = loop {
        match flistxattr(file, &mut list) {
            Ok(length) => break length,
            Err(Errno::RANGE) if list.len() < 1 << 20 => list.resize(list.len() * 4, 0),
            Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        }
    };
    let mut xattrs = Vec::new();
    for name in list[..length].split(|&byte| byte == 0).filter(|name| is_portable(name)) {
        let mut value = vec![0; 1 << 16];
        let length = fgetxattr(file, name, &mut value)?;
        value.truncate(length);
        xattrs.push((name.to_vec(), value));
    }
    xattrs.sort();
    Ok(xattrs)
}

/// The value of one of overlayfs' attributes, in either of its forms.
fn mark(file: &OwnedFd, name: &str) -> Option<Vec<u8>> {
    ["trusted", "user"].iter().find_map(|form| {
        let mut value = vec![0; 256];
        match fgetxattr(file, format!("{form}.overlay.{name}"), &mut value) {
            Ok(length) => Some(value[..length].to_vec()),
            Err(Errno::RANGE) => Some(Vec::new()),
            Err(_) => None,
        }
    })
}

/// `x` says only that there are whiteouts in the form of files.
fn is_opaque(directory: &OwnedFd) -> bool {
    mark(directory, "opaque").is_some_and(|value| value == b"y")
}

fn has_redirect(directory: &OwnedFd) -> bool {
    mark(directory, "redirect").is_some()
}

/// A whiteout in the form of an empty file (Linux 6.7).
fn is_marked_whiteout(file: &OwnedFd, stat: &Stat) -> bool {
    stat.st_size == 0 && mark(file, "whiteout").is_some()
}

fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() { name.to_vec() } else { [path, b"/", name].concat() }
}
