//! The corpus of hostile archives, made in code. Whatever an archive does, nothing outside of the
//! root may change.

use super::*;
use rustix::fs::{FileType, Mode, fgetxattr, getxattr};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;

/// One entry, with any field free to lie.
#[derive(Clone, Debug)]
struct Raw {
    name: Vec<u8>,
    link: Vec<u8>,
    flag: u8,
    mode: u32,
    uid: Vec<u8>,
    size: Option<Vec<u8>>,
    content: Vec<u8>,
    bad_checksum: bool,
}

fn raw(flag: u8, name: impl AsRef<[u8]>) -> Raw {
    Raw {
        name: name.as_ref().to_vec(),
        link: Vec::new(),
        flag,
        mode: 0o644,
        uid: b"0000000\0".to_vec(),
        size: None,
        content: Vec::new(),
        bad_checksum: false,
    }
}

fn file(name: impl AsRef<[u8]>, content: &str) -> Raw {
    Raw { content: content.into(), ..raw(b'0', name) }
}

fn directory(name: &str) -> Raw {
    Raw { mode: 0o755, ..raw(b'5', name) }
}

fn symlink(name: &str, target: impl AsRef<[u8]>) -> Raw {
    Raw { link: target.as_ref().to_vec(), ..raw(b'2', name) }
}

fn hard_link(name: &str, target: impl AsRef<[u8]>) -> Raw {
    Raw { link: target.as_ref().to_vec(), ..raw(b'1', name) }
}

/// An extended header with these records.
fn pax(records: &[(&str, &[u8])]) -> Raw {
    let mut content = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let length = (rest + 1..).find(|length| rest + length.to_string().len() == *length);
        content.extend_from_slice(format!("{} {key}=", length.unwrap()).as_bytes());
        content.extend_from_slice(value);
        content.push(b'\n');
    }
    Raw { content, ..raw(b'x', "pax") }
}

impl Raw {
    fn bytes(&self) -> Vec<u8> {
        let mut block = [0_u8; 512];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &self.name[..self.name.len().min(100)]);
        put(100, format!("{:07o}", self.mode).as_bytes());
        put(108, &self.uid);
        put(116, b"0000000\0");
        match &self.size {
            Some(size) => put(124, size),
            None => put(124, format!("{:011o}", self.content.len()).as_bytes()),
        }
        put(136, b"14000000000\0");
        put(156, &[self.flag]);
        put(157, &self.link[..self.link.len().min(100)]);
        put(257, b"ustar\x0000");
        put(148, b"        ");
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        let sum = if self.bad_checksum { sum + 1 } else { sum };
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        let mut bytes = block.to_vec();
        bytes.extend_from_slice(&self.content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }
}

fn archive(entries: &[Raw]) -> Vec<u8> {
    let mut bytes: Vec<u8> = entries.iter().flat_map(Raw::bytes).collect();
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

/// A root to unpack into, and things beside it that must stay as they are.
struct Bench {
    temporary: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        fs_err::create_dir(temporary.path().join("root")).unwrap();
        fs_err::create_dir(temporary.path().join("outside")).unwrap();
        fs_err::write(temporary.path().join("outside/canary"), "alive").unwrap();
        Self { temporary }
    }

    fn root(&self) -> PathBuf {
        self.temporary.path().join("root")
    }

    fn outside(&self) -> PathBuf {
        self.temporary.path().join("outside")
    }

    fn unpack(&self, bytes: &[u8], options: &Options) -> Result<Unpacked, UnpackError> {
        let result = unpack(bytes, &self.root(), options);
        self.check();
        result
    }

    /// Nothing outside has changed.
    fn check(&self) {
        let mut names: Vec<_> = walkdir::WalkDir::new(self.temporary.path())
            .max_depth(2)
            .into_iter()
            .map(Result::unwrap)
            .map(|entry| entry.into_path())
            .filter(|path| !path.starts_with(self.root()))
            .collect();
        names.sort();
        let outside = self.outside();
        let expected = [self.temporary.path().to_owned(), outside.clone(), outside.join("canary")];
        assert_eq!(names, expected);
        let canary = fs_err::metadata(outside.join("canary")).unwrap();
        assert_eq!((canary.nlink(), canary.permissions().mode() & 0o7777), (1, 0o644));
        assert_eq!(fs_err::read(outside.join("canary")).unwrap(), b"alive");
        let mode = fs_err::metadata(&outside).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o755);
    }

    fn read(&self, path: &str) -> Vec<u8> {
        fs_err::read(self.root().join(path)).unwrap()
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn options(whiteouts: bool) -> Options {
    Options::new(if is_root() { Marks::Trusted } else { Marks::User }, whiteouts)
}

/// What must become of an archive.
enum Fate {
    /// Refused, for a reason that says this.
    Refused(&'static str),
    /// Unpacked; what is in the root is checked by nothing more.
    Unpacked,
}
use Fate::{Refused, Unpacked as Taken};

/// The corpus: a name, the archive, its fate. `outside` is a directory it tries to reach.
fn corpus(outside: &str) -> Vec<(&'static str, Vec<u8>, Fate)> {
    let mut all = escapes(outside);
    all.extend(damaged());
    all.extend(bombs());
    all
}

fn escapes(outside: &str) -> Vec<(&'static str, Vec<u8>, Fate)> {
    let target = format!("{outside}/canary");
    let deep = "../".repeat(40);
    let case = |name, entries: &[Raw], fate| (name, archive(entries), fate);
    vec![
        case("dot dot", &[file("../outside/canary", "dead")], Refused("`..`")),
        case("dot dot in the middle", &[file("a/../../outside/canary", "dead")], Refused("`..`")),
        case("dot dot at the end", &[directory("a/..")], Refused("`..`")),
        case("only dot dot", &[directory("..")], Refused("`..`")),
        case("absolute", &[file(&target, "dead")], Taken),
        case("many slashes", &[file("////etc/passwd", "x")], Taken),
        case(
            "file through a link",
            &[symlink("l", outside), file("l/canary", "dead")],
            Refused("Not a directory"),
        ),
        case(
            "file through a relative link",
            &[symlink("l", "../outside"), file("l/canary", "dead")],
            Refused("Not a directory"),
        ),
        case(
            "file through two links",
            &[symlink("a", "b/outside"), symlink("b", ".."), file("a/canary", "dead")],
            Refused("Not a directory"),
        ),
        case("file over a link", &[symlink("l", &target), file("l", "dead")], Taken),
        case(
            "directory over a link",
            &[
                symlink("l", outside),
                Raw { mode: 0o777, ..directory("l") },
                file("l/canary", "dead"),
            ],
            Taken,
        ),
        case("link to the root", &[symlink("l", "/"), file("l/etc", "x")], Taken),
        case("link to itself", &[symlink("l", "l"), file("l/x", "x")], Refused("Too many levels")),
        case(
            "links in a circle",
            &[symlink("a", "b"), symlink("b", "a"), file("a/x", "x")],
            Refused("Too many levels"),
        ),
        case(
            "link through /proc",
            &[symlink("l", "/proc/self/root"), file("l/x", "x")],
            Refused("Not a directory"),
        ),
        case(
            "hard link to the outside",
            &[hard_link("h", &target), file("h", "dead")],
            Refused("not there"),
        ),
        case("hard link by dot dot", &[hard_link("h", "../outside/canary")], Refused("`..`")),
        case(
            "hard link through a link",
            &[symlink("l", outside), hard_link("h", "l/canary")],
            Refused("not there"),
        ),
        case(
            "hard link to a link outside, then written",
            &[symlink("l", &target), hard_link("h", "l"), file("h", "dead")],
            Taken,
        ),
        case(
            "hard link to a directory",
            &[directory("d"), hard_link("h", "d")],
            Refused("hard link to a directory"),
        ),
        case("hard link to the root", &[hard_link("h", "/")], Refused("hard link to a directory")),
        case("hard link to itself", &[file("h", "x"), hard_link("h", "h")], Taken),
        case(
            "hard link to what it replaces",
            &[file("d/f", "x"), hard_link("d", "d/f")],
            Refused("not there"),
        ),
        case("whiteout of the parent", &[raw(b'0', "a/.wh...")], Refused("whiteout of nothing")),
        case("whiteout of the directory", &[raw(b'0', ".wh..")], Refused("whiteout of nothing")),
        case("whiteout without a name", &[raw(b'0', "a/.wh.")], Refused("whiteout of nothing")),
        case(
            "whiteout through a link",
            &[symlink("l", outside), raw(b'0', "l/.wh.canary")],
            Refused("Not a directory"),
        ),
        case(
            "opaque through a link",
            &[symlink("l", outside), raw(b'0', "l/.wh..wh..opq")],
            Refused("Not a directory"),
        ),
        case(
            "mode through a link",
            &[symlink("l", outside), Raw { mode: 0, ..directory("l/.") }],
            Taken,
        ),
        case(
            "long way up by PAX",
            &[pax(&[("path", format!("{deep}tmp/x").as_bytes())]), file("x", "x")],
            Refused("`..`"),
        ),
        case(
            "PAX link up",
            &[pax(&[("linkpath", target.as_bytes())]), hard_link("h", "x")],
            Refused("not there"),
        ),
        case(
            "long name up",
            &[Raw { content: b"../outside/canary\0".to_vec(), ..raw(b'L', "L") }, file("x", "x")],
            Refused("`..`"),
        ),
        case("devices", &[raw(b'3', "null"), raw(b'4', "sda"), raw(b'3', "dir/.wh.x")], Taken),
        case(
            "file as a directory",
            &[file("f", "x"), file("f/x", "x")],
            Refused("Not a directory"),
        ),
        case("the root as a file", &[file("/", "x")], Taken),
        case("the root as a link", &[symlink("./", outside)], Refused("root itself")),
        case(
            "sneaky attributes",
            &[
                pax(&[
                    ("SCHILY.xattr.trusted.overlay.redirect", b"/../../outside"),
                    ("SCHILY.xattr.user.overlay.opaque", b"y"),
                ]),
                directory("d"),
            ],
            Taken,
        ),
    ]
}

fn damaged() -> Vec<(&'static str, Vec<u8>, Fate)> {
    let case = |name, entries: &[Raw], fate| (name, archive(entries), fate);
    let cut = |entries: &[Raw], length: usize| archive(entries)[..length].to_vec();
    let size = |size: &[u8]| Raw { size: Some(size.to_vec()), ..file("f", "x") };
    let gnu_sparse = |extents: &[(u64, u64)], real: u64, content: &str| {
        let mut bytes = Raw { flag: b'S', ..file("s", content) }.bytes();
        for (number, (offset, length)) in extents.iter().enumerate() {
            let at = 386 + 24 * number;
            bytes[at..at + 24]
                .copy_from_slice(format!("{offset:011o}\0{length:011o}\0").as_bytes());
        }
        bytes[483..495].copy_from_slice(format!("{real:011o}\0").as_bytes());
        bytes[148..156].fill(b' ');
        let sum: u32 = bytes[..512].iter().map(|&byte| u32::from(byte)).sum();
        bytes[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        bytes.resize(bytes.len() + 1024, 0);
        bytes
    };
    vec![
        ("nothing", Vec::new(), Taken),
        ("no tar", b"x".repeat(2048), Refused("checksum")),
        ("half a header", cut(&[file("f", "x")], 300), Refused("too early")),
        ("half a content", cut(&[file("f", &"x".repeat(600))], 700), Refused("too early")),
        ("no end", cut(&[file("f", "x")], 1024), Taken),
        case(
            "wrong checksum",
            &[Raw { bad_checksum: true, ..file("f", "x") }],
            Refused("checksum"),
        ),
        case("size is no number", &[size(b"0000000zzzz\0")], Refused("no number")),
        case("negative size", &[size(&[0xff; 12])], Refused("no number")),
        case(
            "size beyond all",
            &[size(b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff")],
            Refused("more than"),
        ),
        case("size beyond the stream", &[size(b"00000100000\0")], Refused("too early")),
        case(
            "huge PAX size",
            &[pax(&[("size", b"18446744073709551615")]), file("f", "x")],
            Refused("more than"),
        ),
        case("PAX size is text", &[pax(&[("size", b"-1")]), file("f", "x")], Refused("no number")),
        case(
            "PAX length lies",
            &[Raw { content: b"99 path=x\n".to_vec(), ..raw(b'x', "p") }, file("f", "x")],
            Refused("length"),
        ),
        case("PAX name with a NUL", &[pax(&[("path", b"a\0b")]), file("f", "x")], Refused("NUL")),
        case(
            "huge extended header",
            &[Raw { size: Some(b"77777777777\0".to_vec()), ..raw(b'x', "p") }],
            Refused("extended header"),
        ),
        case(
            "huge long name",
            &[Raw { size: Some(b"00010000000\0".to_vec()), ..raw(b'L', "p") }],
            Refused("extended header"),
        ),
        case(
            "only extended headers",
            &vec![pax(&[("path", b"x")]); 100],
            Refused("too many extended"),
        ),
        case("a name of NULs", &[file("", "x")], Refused("root itself")),
        case(
            "a component too long",
            &[pax(&[("path", &[b'x'; 300])]), file("f", "")],
            Refused("longer than 255"),
        ),
        case(
            "a name too long",
            &[pax(&[("path", "x/".repeat(3000).as_bytes())]), file("f", "")],
            Refused("too long"),
        ),
        case(
            "a link target too long",
            &[pax(&[("linkpath", &[b'x'; 5000])]), symlink("l", "x")],
            Refused("too long"),
        ),
        case("a link to nothing", &[symlink("l", "")], Refused("no target")),
        (
            "sparse extents overlap",
            gnu_sparse(&[(0, 4), (2, 4)], 8, "12345678"),
            Refused("overlap"),
        ),
        (
            "a sparse extent behind the end",
            gnu_sparse(&[(100, 8)], 8, "12345678"),
            Refused("behind the end"),
        ),
        ("sparse extents do not add up", gnu_sparse(&[(0, 4)], 8, "12345678"), Refused("add up")),
        (
            "a sparse file of exabytes",
            gnu_sparse(&[(0o77_777_777_000, 8)], 0o77_777_777_777, "12345678"),
            Taken,
        ),
        case(
            "sparse map does not end",
            &[
                pax(&[("GNU.sparse.major", b"1"), ("GNU.sparse.realsize", b"10")]),
                file("s", "99999\n1\n"),
            ],
            Refused("sparse map"),
        ),
        case(
            "sparse map of too many",
            &[
                pax(&[("GNU.sparse.major", b"1"), ("GNU.sparse.realsize", b"10")]),
                Raw {
                    content: [b"99999999999\n".to_vec(), vec![0; 500]].concat(),
                    ..raw(b'0', "s")
                },
            ],
            Refused("too long"),
        ),
        case("unknown kind", &[Raw { flag: b'?', ..file("u", "x") }, file("f", "x")], Taken),
        case(
            "sizes of what has none",
            &[Raw { size: Some(b"00000001000\0".to_vec()), ..directory("d") }, file("f", "x")],
            Taken,
        ),
        case("names that are no text", &[file(b"\xff\xfe\n\r\x1b[2J", "x")], Taken),
    ]
}

fn bombs() -> Vec<(&'static str, Vec<u8>, Fate)> {
    let case = |name, entries: &[Raw], fate| (name, archive(entries), fate);
    let many: Vec<_> = (0..5000).map(|number| file(format!("f{number}"), "")).collect();
    let names: Vec<_> = (0..400)
        .flat_map(|number| {
            let path = format!("{number}/{}", "y/".repeat(1500));
            [
                pax(&[("SCHILY.xattr.user.x", path.repeat(3).as_bytes())]),
                file(format!("{number}"), ""),
            ]
        })
        .collect();
    let sparse = [
        pax(&[("GNU.sparse.size", b"9223372036854775807"), ("GNU.sparse.map", b"0,1")]),
        file("s", "x"),
    ];
    vec![
        case("too many entries", &many, Refused("entries")),
        case("too many names", &names, Refused("bytes of names")),
        case("too many bytes", &[file("f", &"x".repeat(3 << 20))], Refused("bytes")),
        case("a sparse file beyond the cap", &sparse, Refused("bytes")),
        case(
            "a deep tree",
            &[pax(&[("path", "d/".repeat(2000).as_bytes())]), directory("d")],
            Taken,
        ),
    ]
}

#[test]
fn nothing_leaves_the_root_whatever_the_archive() {
    let caps = Caps { entries: 3000, bytes: 2 << 20, names: 1 << 20, path: 4095 };
    let mut count = 0;
    for owners in [Owners::Apply, Owners::Record] {
        if owners == Owners::Apply && !is_root() {
            continue;
        }
        let outside = Bench::new().outside();
        let number = corpus(outside.to_str().unwrap()).len();
        for index in 0..number {
            let bench = Bench::new();
            let (name, bytes, fate) = corpus(bench.outside().to_str().unwrap()).swap_remove(index);
            let large = matches!(name, "a sparse file of exabytes");
            let caps = if large { Caps::default() } else { caps };
            let result = bench.unpack(&bytes, &Options { caps, owners, ..options(true) });
            match (fate, result) {
                (Refused(why), Err(error)) => {
                    let error = error.to_string();
                    assert!(error.contains(why), "{name}: refused, but for `{error}`");
                }
                (Refused(_), Ok(_)) => panic!("{name}: not refused"),
                (Taken, Ok(_)) => {}
                (Taken, Err(error)) => panic!("{name}: {error}"),
            }
            // Whatever came of it can be removed.
            crate::layers::remove_tree(&bench.root()).unwrap();
            count += 1;
        }
    }
    assert!(count >= 70, "{count}");
}

#[test]
fn whiteouts_take_the_form_of_overlayfs_in_any_order() {
    let bench = Bench::new();
    let entries = [
        raw(b'0', "gone/.wh.file"),
        raw(b'0', ".wh.before"),
        directory("before"),
        directory("after"),
        raw(b'0', ".wh.after"),
        raw(b'0', "opaque/.wh..wh..opq"),
        file("opaque/new", "x"),
        raw(b'0', ".wh.again"),
        file("again", "new"),
        file("kept", "new"),
        raw(b'0', ".wh.kept"),
        raw(b'0', ".wh.up"),
        file("up/inner", "x"),
        raw(b'0', ".wh..wh.plnk"),
    ];
    let options = options(true);
    bench.unpack(&archive(&entries), &options).unwrap();
    let whiteout = fs_err::symlink_metadata(bench.root().join("gone/file")).unwrap();
    assert!(whiteout.file_type().is_char_device() && whiteout.rdev() == 0);
    for opaque in ["before", "after", "opaque", "up"] {
        let mut value = [0; 8];
        let name = match options.marks {
            Marks::Trusted => "trusted.overlay.opaque",
            Marks::User => "user.overlay.opaque",
        };
        let length = getxattr(bench.root().join(opaque), name, &mut value).unwrap();
        assert_eq!(&value[..length], b"y", "{opaque}");
    }
    assert_eq!(bench.read("again"), b"new");
    assert_eq!(bench.read("kept"), b"new");
    assert!(!bench.root().join(".wh..wh.plnk").exists());
    let plain = Bench::new();
    plain.unpack(&archive(&[raw(b'0', ".wh.x")]), &self::options(false)).unwrap();
    assert!(plain.root().join(".wh.x").exists());
}

#[test]
fn metadata_is_kept_or_written_down() {
    let entries = [
        Raw { mode: 0o4755, ..file("suid", "x") },
        Raw { mode: 0, uid: b"\x80\0\0\0\0\x01\x11\x70".to_vec(), ..directory("closed") },
        file("closed/inner", "x"),
        pax(&[("uid", b"4294967295"), ("mtime", b"1.5"), ("SCHILY.xattr.user.n", b"v")]),
        file("far", "x"),
        raw(b'6', "pipe"),
    ];
    let recorded = Bench::new();
    let options = Options { marks: Marks::User, owners: Owners::Record, ..options(true) };
    let unpacked = recorded.unpack(&archive(&entries), &options).unwrap();
    let closed = unpacked.owners[&b"closed"[..]];
    assert_eq!((closed.uid, closed.mode), (70_000, 0));
    assert_eq!(unpacked.owners[&b"far"[..]].uid, 65534);
    assert!(!unpacked.owners.contains_key(&b"suid"[..]));
    let root = recorded.root();
    assert_eq!(fs_err::metadata(root.join("closed")).unwrap().permissions().mode() & 0o7777, 0o700);
    assert_eq!(recorded.read("closed/inner"), b"x");
    assert!(fs_err::metadata(root.join("pipe")).unwrap().file_type().is_fifo());
    if !is_root() {
        return;
    }
    let applied = Bench::new();
    let options = Options { owners: Owners::Apply, ..self::options(true) };
    let unpacked = applied.unpack(&archive(&entries), &options).unwrap();
    assert!(unpacked.owners.is_empty());
    let suid = fs_err::metadata(applied.root().join("suid")).unwrap();
    assert_eq!(suid.permissions().mode() & 0o7777, 0o4755);
    let closed = fs_err::metadata(applied.root().join("closed")).unwrap();
    assert_eq!((closed.uid(), closed.permissions().mode() & 0o7777), (70_000, 0));
    assert_eq!(closed.mtime(), 0o14_000_000_000);
    let far = fs_err::metadata(applied.root().join("far")).unwrap();
    assert_eq!((far.mtime(), far.mtime_nsec()), (1, 500_000_000));
}

#[test]
fn sparse_files_have_their_holes() {
    let map = "2\n0\n4\n100000\n4\n";
    let content = [map.as_bytes(), &vec![0; 512 - map.len()], b"headtail"].concat();
    let records: [(&str, &[u8]); 4] = [
        ("GNU.sparse.major", b"1"),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.name", b"true-name"),
        ("GNU.sparse.realsize", b"200000"),
    ];
    let inline = [pax(&records), Raw { content, ..raw(b'0', "GNUSparseFile.0/x") }];
    let listed = [
        pax(&[
            ("GNU.sparse.size", b"200000"),
            ("GNU.sparse.map", b"0,4,100000,4"),
            ("GNU.sparse.name", b"true-name"),
        ]),
        file("x", "headtail"),
    ];
    for entries in [&inline, &listed] {
        let bench = Bench::new();
        bench.unpack(&archive(entries), &options(true)).unwrap();
        let read = bench.read("true-name");
        assert_eq!(
            (read.len(), &read[..4], &read[100_000..100_004]),
            (200_000, &b"head"[..], &b"tail"[..])
        );
        let blocks = fs_err::metadata(bench.root().join("true-name")).unwrap().blocks();
        assert!(blocks * 512 < 100_000, "{blocks}");
    }
}

#[test]
fn later_entries_replace_earlier_ones_and_links_keep_the_old_file() {
    let bench = Bench::new();
    let entries = [
        file("a", "old"),
        hard_link("b", "a"),
        file("a", "new"),
        file("d/inner", "x"),
        file("d", "now a file"),
        file("e", "x"),
        directory("e"),
        file("lib/x", "1"),
        symlink("alias", "/lib"),
        file("alias/y", "2"),
    ];
    bench.unpack(&archive(&entries), &options(true)).unwrap();
    assert_eq!((bench.read("a"), bench.read("b")), (b"new".to_vec(), b"old".to_vec()));
    assert_eq!(bench.read("d"), b"now a file");
    assert!(bench.root().join("e").is_dir());
    assert_eq!(bench.read("lib/y"), b"2");
    let root = fs_err::File::open(bench.root()).unwrap();
    let mut value = [0; 8];
    assert!(fgetxattr(&root, "trusted.overlay.opaque", &mut value).is_err());
    let stat = rustix::fs::fstat(&root).unwrap();
    assert_eq!(FileType::from_raw_mode(stat.st_mode), FileType::Directory);
    assert!(Mode::from_raw_mode(stat.st_mode).contains(Mode::RWXU));
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    /// Names and targets that meet each other often.
    fn name() -> impl Strategy<Value = String> {
        let part =
            prop::sample::select(vec!["a", "b", "c", ".", "..", "", ".wh.a", ".wh..wh..opq", "/"]);
        prop::collection::vec(part, 1..5).prop_map(|parts| parts.join("/"))
    }

    fn entry() -> impl Strategy<Value = Raw> {
        let flag = prop::sample::select(b"00015622SLKx3g".to_vec());
        (flag, name(), name(), prop::sample::select(vec![0, 0o644, 0o755, 0o4777]), "[a-z]{0,9}")
            .prop_map(|(flag, name, link, mode, content)| Raw {
                mode,
                link: if link.len() % 3 == 0 { format!("../outside/{link}") } else { link }.into(),
                content: if matches!(flag, b'0' | b'L' | b'K') {
                    content.into()
                } else {
                    Vec::new()
                },
                ..raw(flag, name)
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

        #[test]
        fn nothing_leaves_the_root(entries in prop::collection::vec(entry(), 0..12), record in any::<bool>()) {
            let bench = Bench::new();
            let owners = if record || !is_root() { Owners::Record } else { Owners::Apply };
            // `unpack` of the bench checks what lies outside; the result is free.
            let _ = bench.unpack(&archive(&entries), &Options { owners, ..options(true) });
            crate::layers::remove_tree(&bench.root()).unwrap();
            fs_err::create_dir(bench.root()).unwrap();
            bench.check();
        }

        #[test]
        fn damage_never_panics(entries in prop::collection::vec(entry(), 1..6), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let bench = Bench::new();
            let mut bytes = archive(&entries);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = bench.unpack(&bytes, &options(true));
            crate::layers::remove_tree(&bench.root()).unwrap();
        }
    }
}
