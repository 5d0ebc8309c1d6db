//! The corpus of hostile archives, made in code. Whatever an archive does, nothing outside of the
//! root may change.

mod corpus;
mod raw;

use super::*;
use corpus::{Fate, corpus};
use raw::{Raw, archive, directory, file, hard_link, pax, raw, symlink};
use rustix::fs::{FileType, Mode, fgetxattr, getxattr};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;

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

#[test]
fn nothing_leaves_the_root_whatever_the_archive() {
    let caps = Caps { entries: 500, bytes: 2 << 20, names: 1 << 20, path: 4095 };
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
                (Fate::Refused(why), Err(error)) => {
                    let error = error.to_string();
                    assert!(error.contains(why), "{name}: refused, but for `{error}`");
                }
                (Fate::Refused(_), Ok(_)) => panic!("{name}: not refused"),
                (Fate::Taken, Ok(_)) => {}
                (Fate::Taken, Err(error)) => panic!("{name}: {error}"),
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
        #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

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
