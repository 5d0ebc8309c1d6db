//! Where copied files go: the pure part of `COPY` and `ADD`.

use super::ignored::{Ignored, expression};
use super::tree::{Entry, Kind, Tree, join, name, parent, plain};
use std::collections::HashMap;
use std::io::{self, Write};

/// One thing that is copied.
#[derive(Debug)]
pub(super) struct Item {
    /// The name it goes by where it is put into a directory.
    pub(super) name: Vec<u8>,
    /// Its path where it comes from, for `--parents`.
    pub(super) from: Vec<u8>,
    /// Itself under `""`, and what is in it.
    pub(super) tree: Tree,
}

impl Item {
    fn is_directory(&self) -> bool {
        self.tree.entries.get(&b""[..]).is_some_and(Entry::is_directory)
    }
}

/// What is in a tree under this path or pattern.
pub(super) fn select(tree: &Tree, source: &str, exclude: &Ignored) -> Result<Vec<Item>, String> {
    let wanted = plain(source.as_bytes());
    let pattern = source.contains(['*', '?', '[']);
    let found: Vec<(Vec<u8>, Vec<u8>)> = if pattern {
        let matches = expression(&String::from_utf8_lossy(&wanted))?;
        let fits =
            |path: &&Vec<u8>| !path.is_empty() && matches.is_match(&String::from_utf8_lossy(path));
        tree.entries.keys().filter(fits).map(|path| (path.clone(), path.clone())).collect()
    } else {
        let resolved = match wanted.is_empty() {
            true => Some(Vec::new()),
            false => tree.resolve(&wanted).map(|(path, _)| path),
        };
        resolved.into_iter().map(|path| (wanted.clone(), path)).collect()
    };
    if found.is_empty() {
        return Err(format!("`{source}` is not there"));
    }
    let items = found.into_iter().map(|(from, at)| item(tree, from, &at, exclude));
    Ok(items.collect())
}

fn item(tree: &Tree, from: Vec<u8>, at: &[u8], exclude: &Ignored) -> Item {
    let mut own = Tree::default();
    let top = tree.entries.get(at).cloned().unwrap_or_else(|| Entry::new(Kind::Directory, 0o755));
    let mut linked = HashMap::new();
    for (path, entry) in [(Vec::new(), &top)]
        .into_iter()
        .chain(tree.below(at).map(|(path, entry)| (relative(path, at).to_vec(), entry)))
    {
        if !path.is_empty() && exclude.hides(&String::from_utf8_lossy(&path)) {
            continue;
        }
        own.entries.insert(path.clone(), with_content(tree, at, &path, entry, &mut linked));
    }
    Item { name: name(&from).to_vec(), from, tree: own }
}

fn relative<'a>(path: &'a [u8], directory: &[u8]) -> &'a [u8] {
    match directory.is_empty() {
        true => path,
        false => &path[directory.len() + 1..],
    }
}

/// An entry on its own: a further name of a file becomes one of what is copied, or the file itself.
fn with_content(
    tree: &Tree,
    at: &[u8],
    path: &[u8],
    entry: &Entry,
    linked: &mut HashMap<Vec<u8>, Vec<u8>>,
) -> Entry {
    let full = join(at, path);
    let first = match &entry.kind {
        Kind::HardLink(target) => target.clone(),
        _ => full,
    };
    match (&entry.kind, linked.get(&first)) {
        (Kind::HardLink(_), Some(sibling)) => {
            Entry { kind: Kind::HardLink(sibling.clone()), ..entry.clone() }
        }
        (Kind::HardLink(_), None) => {
            linked.insert(first.clone(), path.to_vec());
            tree.entries.get(&first).cloned().unwrap_or_else(|| entry.clone())
        }
        (Kind::File(_), Some(sibling)) => {
            Entry { kind: Kind::HardLink(sibling.clone()), ..entry.clone() }
        }
        (Kind::File(_), None) => {
            linked.insert(first, path.to_vec());
            entry.clone()
        }
        _ => entry.clone(),
    }
}

/// How things are put.
#[derive(Clone, Debug, Default)]
pub(super) struct How {
    /// Where to, absolute and plain.
    pub(super) to: String,
    /// It was written with a `/` at the end, or several things go there.
    pub(super) into: bool,
    /// Keep the directories that the sources stand in.
    pub(super) parents: bool,
    /// Owner of all; else as they are.
    pub(super) owner: Option<(u64, u64)>,
    /// Permission bits of all; else as they are.
    pub(super) mode: Option<u32>,
}

/// The files as they will stand, by their path from the root. `there`: what is at a path already;
/// true for a directory.
pub(super) fn place(
    items: &[Item],
    how: &How,
    there: &dyn Fn(&[u8]) -> Option<bool>,
) -> Result<Tree, String> {
    let to = plain(how.to.as_bytes());
    let is_directory = to.is_empty() || there(&to) == Some(true);
    let into = how.into || is_directory;
    if there(&to) == Some(false) && (into || items.iter().any(Item::is_directory)) {
        return Err(format!("`{}` is a file where a directory is wanted", how.to));
    }
    let mut placed = Tree::default();
    for item in items {
        let base = if how.parents { join(&to, parent(&item.from)) } else { to.clone() };
        let base = match item.is_directory() {
            true if how.parents => join(&base, &item.name),
            true => base,
            false if into || how.parents => join(&base, &item.name),
            false => base,
        };
        for (path, entry) in &item.tree.entries {
            let at = join(&base, path);
            // What a directory holds is copied, not the directory.
            if at.is_empty() || (path.is_empty() && entry.is_directory()) {
                continue;
            }
            let mut entry = own(entry, how);
            if let Kind::HardLink(target) = &entry.kind {
                entry.kind = Kind::HardLink(join(&base, target));
            }
            placed.entries.insert(at, entry);
        }
        if item.is_directory() && !base.is_empty() && there(&base).is_none() {
            placed.entries.entry(base).or_insert_with(|| made(how));
        }
    }
    add_parents(&mut placed, how, there);
    Ok(placed)
}

fn own(entry: &Entry, how: &How) -> Entry {
    let mut entry = entry.clone();
    if let Some((uid, gid)) = how.owner {
        (entry.uid, entry.gid) = (uid, gid);
    }
    if let Some(mode) = how.mode
        && !matches!(entry.kind, Kind::Symlink(_))
    {
        entry.mode = mode;
    }
    entry
}

/// A directory that nobody described.
fn made(how: &How) -> Entry {
    let (uid, gid) = how.owner.unwrap_or_default();
    Entry { uid, gid, ..Entry::new(Kind::Directory, 0o755) }
}

/// Directories above what is placed, where there are none.
fn add_parents(placed: &mut Tree, how: &How, there: &dyn Fn(&[u8]) -> Option<bool>) {
    let paths: Vec<Vec<u8>> = placed.entries.keys().cloned().collect();
    for path in paths {
        let mut above = parent(&path);
        while !above.is_empty() && !placed.entries.contains_key(above) && there(above).is_none() {
            placed.entries.insert(above.to_vec(), made(how));
            above = parent(above);
        }
    }
}

/// Writes a tree as a tar stream that can be unpacked at the root.
pub(super) fn write_tar(tree: &Tree, out: &mut dyn Write) -> io::Result<()> {
    let mut builder = tar::Builder::new(out);
    // What hard links lead to goes before them.
    let late = |entry: &Entry| matches!(entry.kind, Kind::HardLink(_));
    let (links, others): (Vec<_>, Vec<_>) = tree.entries.iter().partition(|(_, entry)| late(entry));
    for (path, entry) in others.into_iter().chain(links) {
        append(&mut builder, path, entry)?;
    }
    builder.finish()
}

fn append(
    builder: &mut tar::Builder<&mut dyn Write>,
    path: &[u8],
    entry: &Entry,
) -> io::Result<()> {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    if !entry.xattrs.is_empty() {
        let names: Vec<String> =
            entry.xattrs.iter().map(|(name, _)| format!("SCHILY.xattr.{name}")).collect();
        let pairs = names
            .iter()
            .zip(&entry.xattrs)
            .map(|(name, (_, value))| (name.as_str(), value.as_slice()));
        builder.append_pax_extensions(pairs)?;
    }
    let mut header = tar::Header::new_gnu();
    header.set_mode(entry.mode);
    header.set_uid(entry.uid);
    header.set_gid(entry.gid);
    header.set_mtime(entry.mtime);
    header.set_size(0);
    let path = OsStr::from_bytes(path);
    match &entry.kind {
        Kind::Directory => {
            header.set_entry_type(tar::EntryType::Directory);
            builder.append_data(&mut header, path, io::empty())
        }
        Kind::Symlink(target) => {
            header.set_entry_type(tar::EntryType::Symlink);
            builder.append_link(&mut header, path, OsStr::from_bytes(target))
        }
        Kind::HardLink(target) => {
            header.set_entry_type(tar::EntryType::Link);
            builder.append_link(&mut header, path, OsStr::from_bytes(target))
        }
        Kind::File(bytes) => {
            let length = bytes.length();
            header.set_entry_type(tar::EntryType::Regular);
            header.set_size(length);
            // Exactly as many as announced, however the file changes meanwhile.
            let content = io::Read::take(io::Read::chain(bytes.open()?, io::repeat(0)), length);
            builder.append_data(&mut header, path, content)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::Bytes;
    use super::*;

    fn tree(paths: &[&str]) -> Tree {
        let mut tree = Tree::default();
        for path in paths {
            let (path, kind) = match (path.strip_suffix('/'), path.split_once("->")) {
                (Some(path), _) => (path, Kind::Directory),
                (None, Some((path, to))) => (path, Kind::Symlink(to.into())),
                (None, None) => (*path, Kind::File(Bytes::Memory(path.as_bytes().to_vec()))),
            };
            tree.entries.insert(path.into(), Entry::new(kind, 0o640));
        }
        tree
    }

    fn copied(source: &str, to: &str, how: How, there: &[&str]) -> Result<Vec<String>, String> {
        let context = tree(&["/", "a", "b.txt", "d/", "d/x", "d/sub/", "d/sub/y", "l->d", "m->a"]);
        let items = select(&context, source, &Ignored::default())?;
        let how = How { into: how.into || to.ends_with('/'), to: to.to_owned(), ..how };
        let there = |path: &[u8]| {
            let path = String::from_utf8_lossy(path).into_owned();
            let directory = there.contains(&format!("{path}/").as_str());
            (directory || there.contains(&path.as_str())).then_some(directory)
        };
        let placed = place(&items, &how, &there)?;
        let text = |(path, entry): (&Vec<u8>, &Entry)| {
            let path = String::from_utf8_lossy(path);
            format!("{path}{} {:o}", if entry.is_directory() { "/" } else { "" }, entry.mode)
        };
        Ok(placed.entries.iter().map(text).collect())
    }

    #[test]
    fn files_go_where_docker_puts_them() {
        let plain = How::default;
        assert_eq!(copied("a", "/z", plain(), &[]).unwrap(), ["z 640"]);
        assert_eq!(copied("a", "/z/", plain(), &[]).unwrap(), ["z/ 755", "z/a 640"]);
        assert_eq!(copied("a", "/z", plain(), &["z/"]).unwrap(), ["z/a 640"]);
        assert_eq!(copied("a", "/p/q/z", plain(), &["p/"]).unwrap(), ["p/q/ 755", "p/q/z 640"]);
        assert_eq!(copied("/m", "/z", plain(), &[]).unwrap(), ["z 640"]);
        let inner = ["z/ 755", "z/sub/ 640", "z/sub/y 640", "z/x 640"];
        assert_eq!(copied("d", "/z", plain(), &[]).unwrap(), inner);
        assert_eq!(copied("l", "/z", plain(), &[]).unwrap(), inner);
        assert_eq!(copied("d/", "/z/", plain(), &[]).unwrap(), inner);
        assert_eq!(copied("d", "/z", plain(), &["z/"]).unwrap(), inner[1..]);
        assert_eq!(copied("*.txt", "/", plain(), &[]).unwrap(), ["b.txt 640"]);
        let how = How { mode: Some(0o700), ..plain() };
        assert_eq!(copied("a", "/z", how, &[]).unwrap(), ["z 700"]);
        let how = How { parents: true, ..plain() };
        assert_eq!(
            copied("d/sub/y", "/z/", how, &[]).unwrap(),
            ["z/ 755", "z/d/ 755", "z/d/sub/ 755", "z/d/sub/y 640"]
        );
        assert!(copied("nothing", "/z", plain(), &[]).is_err());
        assert!(copied("d", "/z", plain(), &["z"]).is_err());
        assert!(copied("../../a", "/z", plain(), &[]).is_ok());
    }

    #[test]
    fn further_names_of_a_file_stay_names_of_it() {
        let mut image = tree(&["/", "out/", "out/file"]);
        let link = Entry::new(Kind::HardLink(b"out/file".to_vec()), 0o640);
        image.entries.insert(b"out/hard".to_vec(), link);
        let how = How { to: "/to".to_owned(), ..How::default() };
        let written = |source: &str| {
            let items = select(&image, source, &Ignored::default()).unwrap();
            let placed = place(&items, &how, &|_| None).unwrap();
            let mut tar = Vec::new();
            write_tar(&placed, &mut tar).unwrap();
            let file = tempfile::NamedTempFile::new().unwrap();
            fs_err::write(file.path(), tar).unwrap();
            Tree::of_tar(file.path()).unwrap()
        };
        let whole = written("/out");
        assert!(
            matches!(&whole.entries[&b"to/hard"[..]].kind, Kind::HardLink(to) if to == b"to/file")
        );
        // Alone it is the file.
        assert!(matches!(written("/out/hard").entries[&b"to"[..]].kind, Kind::File(_)));
    }

    #[test]
    fn links_that_lead_in_circles_lead_nowhere() {
        let circle = tree(&["/", "a->b", "b->a"]);
        assert!(select(&circle, "a", &Ignored::default()).is_err());
    }
}
