//! Hostile images: root file systems that nobody in good faith would make. They hold no programs:
//! the hostile program is copied into them.

use crate::conformance::bench::{Bench, layer};
use evalrun::layers::{ImageConfig, ImageKey, host};
use evalrun::sandbox::{Root, SandboxError};
use tar::EntryType::{self, Block, Char, Directory, Fifo, Link, Regular, Symlink};

/// An entry: its path, its kind, and where it links to, its text, or a device's numbers.
type Entry = (&'static str, EntryType, &'static str);

/// The image of this name; `machine` is this machine's programs.
pub(super) async fn import(bench: &Bench, name: &str) -> Result<ImageKey, SandboxError> {
    if name == "machine" {
        return Ok(bench.image);
    }
    let tree = std::io::Cursor::new(build(entries(name)));
    let config = match name {
        "odd-settings" => ImageConfig { workdir: "/proc/self/fd/3".to_owned(), ..host::config() },
        _ => host::config(),
    };
    bench.backend.import(layer(name), Root::Tar(Box::new(tree)), &config).await
}

fn entries(name: &str) -> &'static [Entry] {
    match name {
        "bare" => &[("tmp", Directory, "")],
        "dev-link" => &[("dev", Symlink, "/etc")],
        "dev-link-up" => &[("dev", Symlink, "../../../../../../etc")],
        "dev-file" => &[("dev", Regular, "no directory")],
        "proc-link" => &[("proc", Symlink, "/tmp"), ("tmp", Directory, "")],
        "proc-file" => &[("proc", Regular, "no directory")],
        "proc-fifo" => &[("proc", Fifo, "")],
        "sys-link" => &[("sys", Symlink, "tmp"), ("tmp", Directory, "")],
        "tmp-link" => &[("tmp", Symlink, "/proc/1/root/tmp")],
        "etc-link" => &[("etc", Symlink, "/proc/self/root/../../etc")],
        "dev-null-link" => &[
            ("dev", Directory, ""),
            ("dev/null", Symlink, "/etc/passwd"),
            ("dev/pts", Symlink, "/etc"),
            ("dev/shm", Symlink, "/etc"),
            ("etc", Directory, ""),
            ("etc/passwd", Regular, "root:x:0:0::/:/bin/sh\n"),
        ],
        "proc-inside" => &[
            ("proc", Directory, ""),
            ("proc/self", Directory, ""),
            ("proc/self/fd", Symlink, "/etc"),
            ("proc/sys", Symlink, "/etc"),
            ("proc/kcore", Fifo, ""),
        ],
        "devices" => &[
            ("disk", Block, "254 0"),
            ("disk8", Block, "8 0"),
            ("mem", Char, "1 1"),
            ("kmsg", Char, "1 11"),
            ("zero", Char, "1 5"),
        ],
        "accounts-fifo" => &[("etc", Directory, ""), ("etc/passwd", Fifo, "")],
        "accounts-link" => &[
            ("etc", Directory, ""),
            ("etc/passwd", Symlink, "/proc/self/mem"),
            ("etc/group", Symlink, "/dev/zero"),
        ],
        "shell-directory" => &[("bin", Directory, ""), ("bin/sh", Directory, "")],
        "shell-loop" => &[("bin", Directory, ""), ("bin/sh", Symlink, "sh")],
        "shell-fifo" => &[("bin", Directory, ""), ("bin/sh", Fifo, "")],
        "climbing" => &[("../../../../canary-of-a-tar", Regular, "out")],
        "hard-link-out" => &[("passwd", Link, "/etc/passwd"), ("up", Link, "../../../etc/passwd")],
        "through-link" => &[("out", Symlink, "/var/tmp"), ("out/canary-of-a-tar", Regular, "out")],
        "odd-settings" => &[("tmp", Directory, "")],
        other => panic!("there is no image `{other}`"),
    }
}

fn build(entries: &[Entry]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, kind, what) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o4777);
        header.set_size(if *kind == Regular { what.len() as u64 } else { 0 });
        // By hand: the library refuses paths that climb.
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        match kind {
            Symlink | Link => {
                header.as_mut_bytes()[157..157 + what.len()].copy_from_slice(what.as_bytes());
            }
            Block | Char => {
                let (major, minor) = what.split_once(' ').unwrap();
                header.set_device_major(major.parse().unwrap()).unwrap();
                header.set_device_minor(minor.parse().unwrap()).unwrap();
            }
            _ => {}
        }
        header.set_cksum();
        let text = if *kind == Regular { what.as_bytes() } else { b"" };
        builder.append(&header, text).unwrap();
    }
    builder.into_inner().unwrap()
}
