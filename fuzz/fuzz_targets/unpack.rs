//! Any bytes as a tar stream, unpacked as an image's layer: no panic, and nothing outside the root.
#![no_main]

use evalrun::layers::unpack::{Caps, Options, Owners, unpack};
use evalrun::layers::{Marks, remove_tree};
use libfuzzer_sys::fuzz_target;

/// Gives every header the checksum that its other bytes have, so that most inputs get past it.
fn mend(bytes: &mut [u8]) {
    for block in bytes.chunks_exact_mut(512) {
        if block[257..262] == *b"ustar" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
            block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        }
    }
}

// The first byte says whether whiteouts are meant, and whether checksums are put right.
fuzz_target!(|input: &[u8]| {
    let [flags, bytes @ ..] = input else { return };
    let (whiteouts, mut bytes) = (flags & 1 != 0, bytes.to_vec());
    if flags & 2 != 0 {
        mend(&mut bytes);
    }
    let below = std::env::temp_dir().join(format!("evalrun-fuzz-{}", std::process::id()));
    let root = below.join("root");
    std::fs::create_dir_all(&root).unwrap();
    std::fs::write(below.join("canary"), "alive").unwrap();
    let caps = Caps { entries: 200, bytes: 1 << 20, names: 1 << 16, path: 4095 };
    let owners = Owners::Record;
    let options = Options { caps, owners, ..Options::new(Marks::User, whiteouts) };
    let _ = unpack(&bytes[..], &root, &options);
    let mut names: Vec<_> =
        std::fs::read_dir(&below).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["canary", "root"]);
    assert_eq!(std::fs::read(below.join("canary")).unwrap(), b"alive");
    remove_tree(&root).unwrap();
});
