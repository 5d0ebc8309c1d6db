//! The hostile archives, each with what must become of it.

use super::raw::{Raw, archive, directory, file, hard_link, pax, raw, symlink};

/// What must become of an archive.
pub(super) enum Fate {
    /// Refused, for a reason that says this.
    Refused(&'static str),
    /// Unpacked; what is in the root is checked by nothing more.
    Taken,
}
use Fate::{Refused, Taken};

/// The corpus: a name, the archive, its fate. `outside` is a directory it tries to reach.
pub(super) fn corpus(outside: &str) -> Vec<(&'static str, Vec<u8>, Fate)> {
    let mut all = escapes(outside);
    all.extend(damaged());
    all.extend(bombs());
    all
}

#[expect(clippy::too_many_lines, reason = "a table")]
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

#[expect(clippy::too_many_lines, reason = "a table")]
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
    let many: Vec<_> = (0..600).map(|number| file(format!("f{number}"), "")).collect();
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
