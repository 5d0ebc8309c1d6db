//! Files in and out.

use super::bench::{Bench, printed, read, shell, write};
use bytes::Bytes;
use evalrun::sandbox::{Content, Mount, SandboxError, SandboxOptions};
use std::collections::BTreeMap;
use tokio::io::AsyncReadExt as _;

pub(super) async fn files_in_and_out(bench: &Bench) {
    let sandbox = bench.sandbox().await;
    write(&*sandbox, "/new/deep/file", "text", 0o644).await;
    assert_eq!(printed(&*sandbox, "cat /new/deep/file").await, "text");
    assert_eq!(read(&*sandbox, "/new/deep/file").await.unwrap(), (Bytes::from("text"), 0o644));
    write(&*sandbox, "/new/deep/file", "x", 0o644).await;
    assert_eq!(read(&*sandbox, "/new/deep/file").await.unwrap().0, "x");
    printed(&*sandbox, "echo of its own > /made").await;
    assert_eq!(read(&*sandbox, "/made").await.unwrap().0, "of its own\n");
    for path in ["relative", "", "/nul\0"] {
        assert!(matches!(read(&*sandbox, path).await, Err(SandboxError::Path { .. })), "{path}");
        let file = Content::File { bytes: Bytes::new(), mode: 0o644 };
        let refused = sandbox.copy_in(path, file).await;
        assert!(matches!(refused, Err(SandboxError::Path { .. })), "{path}");
    }
    let error = read(&*sandbox, "/no/such").await.unwrap_err();
    assert!(matches!(&error, SandboxError::Path { .. }), "{error}");
    write(&*sandbox, "/large", &"x".repeat((1 << 20) + 1), 0o644).await;
    let error = read(&*sandbox, "/large").await.unwrap_err();
    assert!(matches!(error, SandboxError::TooLarge { .. }), "{error}");
}

pub(super) async fn odd_files_in_and_out(bench: &Bench) {
    let sandbox = bench.sandbox().await;
    write(&*sandbox, "/new/file", "text", 0o750).await;
    assert_eq!(printed(&*sandbox, "stat -c %a:%u:%s /new/file").await, "750:0:4");
    write(&*sandbox, "/new/file", "x", 0o600).await;
    assert_eq!(read(&*sandbox, "/new/file").await.unwrap(), (Bytes::from("x"), 0o600));

    let longest = format!("/new/{}", "n".repeat(255));
    for odd in ["/new/a 'b'\n\u{e9}\t*", "/new/-rf", "/new/\u{1}\u{7f}\\", &longest] {
        write(&*sandbox, odd, "odd", 0o644).await;
        assert_eq!(read(&*sandbox, odd).await.unwrap().0, "odd");
    }
    let long = format!("/new/{}", "n".repeat(256));
    assert!(matches!(read(&*sandbox, &long).await, Err(SandboxError::Path { .. })));

    printed(&*sandbox, "ln -s /etc/hostname-not /tmp/dangling; mkfifo /tmp/fifo; ln -s loop /tmp/loop; echo of link > /tmp/behind; ln -s behind /tmp/link").await;
    for (path, word) in [
        ("/no/such", "o such"),
        ("/tmp/dangling", "o such"),
        ("/tmp/loop", ""),
        ("/tmp/fifo", "neither"),
        ("/dev/zero", "neither"),
    ] {
        let error = read(&*sandbox, path).await.unwrap_err();
        assert!(matches!(&error, SandboxError::Path { why, .. } if why.contains(word)), "{error}");
    }
    assert_eq!(read(&*sandbox, "/tmp/link").await.unwrap().0, "of link\n", "links lead inside");
    let file = Content::File { bytes: Bytes::new(), mode: 0o644 };
    assert!(sandbox.copy_in("/tmp/fifo", file).await.is_err(), "nobody reads it");
}

pub(super) async fn trees_in_and_out(bench: &Bench) {
    let sandbox = bench.sandbox().await;
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(4);
    header.set_mode(0o751);
    builder.append_data(&mut header, "sub/file", &b"tree"[..]).unwrap();
    let bytes = builder.into_inner().unwrap();
    let tree = Content::Tar(Box::new(std::io::Cursor::new(bytes)));
    sandbox.copy_in("/in", tree).await.unwrap();
    assert_eq!(printed(&*sandbox, "stat -c %a /in/sub/file; cat /in/sub/file").await, "751\ntree");

    printed(&*sandbox, "mkdir -p /out/d; echo a > /out/d/a; ln -s a /out/d/link; mkfifo /out/fifo; chmod 4755 /out/d/a").await;
    let seen = entries(tree_of(&*sandbox, "/out").await.unwrap());
    assert_eq!(seen["d/a"], (tar::EntryType::Regular, 0o4755));
    assert_eq!(seen["d/link"].0, tar::EntryType::Symlink);
    assert_eq!(seen["fifo"].0, tar::EntryType::Fifo);

    printed(&*sandbox, "head -c 3000000 /dev/zero > /out/large").await;
    let cut = tree_of(&*sandbox, "/out").await;
    assert!(cut.is_err(), "its end must not look good");
}

/// The bytes of a directory as a tree of at most a MiB.
async fn tree_of(sandbox: &dyn evalrun::sandbox::Sandbox, path: &str) -> std::io::Result<Vec<u8>> {
    let Content::Tar(mut stream) = sandbox.copy_out(path, 1 << 20).await.unwrap() else {
        panic!("a directory came as a file");
    };
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    Ok(bytes)
}

fn entries(tree: Vec<u8>) -> BTreeMap<String, (tar::EntryType, u32)> {
    let mut seen = BTreeMap::new();
    for entry in tar::Archive::new(&tree[..]).entries().unwrap() {
        let entry = entry.unwrap();
        let header = entry.header();
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        seen.insert(path, (header.entry_type(), header.mode().unwrap()));
    }
    seen
}

pub(super) async fn directories_of_the_machine(bench: &Bench) {
    let outside = tempfile::tempdir_in(bench.home.path()).unwrap();
    fs_err::write(outside.path().join("file"), "theirs\n").unwrap();
    let mount = |target: &str, writable| Mount {
        source: outside.path().to_owned(),
        target: target.to_owned(),
        writable,
    };
    let options = SandboxOptions {
        mounts: vec![mount("/made/for/it", false), mount("/rw", true)],
        ..SandboxOptions::default()
    };
    let sandbox = bench.sandbox_with(&options).await;
    assert_eq!(printed(&*sandbox, "cat /made/for/it/file; stat -c %u /rw/file").await, "theirs\n0");
    assert!(!shell(&*sandbox, "touch /made/for/it/new").await.0.success());
    printed(&*sandbox, "echo ours > /rw/new").await;
    assert_eq!(fs_err::read_to_string(outside.path().join("new")).unwrap(), "ours\n");
}
