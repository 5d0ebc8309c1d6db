//! Sandboxes of an ordinary user without subordinate ids: who files belong to, and programs that
//! want to be somebody else.
//!
//! As root, the tests start themselves again as a user that can do nothing; where that user may not
//! make user namespaces they say so and pass, and with `CI=true` they fail.

use crate::conformance::bench::{helper, scratch};
use crate::ordinary;
use evalrun::layers::{ImageConfig, LayerKey, Store};
use evalrun::model::{Digest, Outcome};
use evalrun::sandbox::native::{NativeBackend, NativeOptions};
use evalrun::sandbox::{Backend, Command, Network, Output, Root, Sandbox, SandboxOptions};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::io::AsyncReadExt as _;

/// The variable that names the tar of a Debian root.
const ROOT: &str = "EVALRUN_TEST_ROOT";
const BUSYBOX: &str = "/bin/busybox";

/// Runs a test of this binary as an ordinary user. `false`: this process is that one.
fn as_ordinary_user(test: &str) -> bool {
    if !rustix::process::geteuid().is_root() {
        return false;
    }
    let home = tempfile::tempdir_in(scratch()).unwrap();
    let mut tests = ordinary::command_of_one(home.path());
    tests.args(["--include-ignored", "--exact", test, "--nocapture"]);
    tests.envs(std::env::var_os(ROOT).map(|root| (ROOT, root)));
    let ended = tests.output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    let complaint = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{said}\n{complaint}");
    assert!(said.contains("1 passed"), "{said}");
    eprint!("{complaint}");
    true
}

/// A back-end of an ordinary user, in a home of its own.
fn backend(home: &std::path::Path) -> Option<(Arc<NativeBackend>, Store)> {
    let store = Store::open(home).unwrap();
    match NativeBackend::new(
        store.clone(),
        NativeOptions { helper: Some(helper()), ..NativeOptions::default() },
    ) {
        Ok(backend) => Some((backend, store)),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "needs user namespaces: {error}");
            eprintln!("skipped, needs user namespaces: {error}");
            None
        }
    }
}

/// A root of one program, with files of several owners.
fn small_root() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |name: &str, kind, (uid, gid, mode), content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_uid(uid);
        header.set_gid(gid);
        header.set_mode(mode);
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, name, content).unwrap();
    };
    let (folder, file) = (tar::EntryType::Directory, tar::EntryType::Regular);
    let root = (0, 0, 0o755);
    for name in ["bin/", "etc/", "home/"] {
        add(name, folder, root, b"");
    }
    add("bin/busybox", file, root, &fs_err::read(BUSYBOX).unwrap());
    add("bin/su-able", file, (0, 0, 0o4755), b"#!/bin/busybox sh\n");
    add(
        "etc/passwd",
        file,
        (0, 0, 0o644),
        b"root:x:0:0::/:/bin/sh\nann:x:1000:1000::/home/ann:/\n",
    );
    add("home/ann/", folder, (1000, 1000, 0o700), b"");
    add("home/ann/diary", file, (1000, 1001, 0o640), b"dear\n");
    add("home/ann/untouched", file, (1000, 70_000, 0o400), b"");
    add("etc/shadow", file, (0, 42, 0), b"secret\n");
    builder.into_inner().unwrap()
}

async fn shell(sandbox: &dyn Sandbox, user: Option<&str>, line: &str) -> (Outcome, String) {
    let mut command = Command::new(["/bin/busybox", "sh", "-c", line]);
    command.user = user.map(str::to_owned);
    (command.stdout, command.stderr) = (Output::Pipe, Output::Stdout);
    let mut process = sandbox.exec(&command).await.unwrap();
    let mut text = String::new();
    process.stdout.take().unwrap().read_to_string(&mut text).await.unwrap();
    (process.wait().await.unwrap(), text)
}

/// Owner, group and mode of every entry of a tar.
fn owners(bytes: &[u8]) -> BTreeMap<String, (u64, u64, u32)> {
    let mut archive = tar::Archive::new(bytes);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_string_lossy().trim_matches(['.', '/']).to_owned();
        std::io::copy(&mut entry.by_ref(), &mut std::io::sink()).unwrap();
        let header = entry.header();
        (path, (header.uid().unwrap(), header.gid().unwrap(), header.mode().unwrap() & 0o7777))
    });
    entries.collect()
}

const CHANGES: &str = "set -e
echo more >> /home/ann/diary
echo new > /root-made
echo x > /given; chown 33:34 /given
mkdir -p /tree/below; echo x > /tree/below/file; chown -R 5:6 /tree
chown 7:6 /tree/below/file
ln -s /given /link; chown -h 9:9 /link
echo x > /closed; chown 0:42 /closed; chmod 000 /closed
mkdir /locked; echo x > /locked/in; chmod 000 /locked
mv /home/ann/untouched /home/ann/moved
chown 1:1 /bin/su-able
echo x > /back; chown 3:3 /back; chown 0:0 /back
mknod -m 600 /null c 1 3
mkdir -p /inner/bin; cp /bin/busybox /inner/bin; echo x > /inner/file
chroot /inner /bin/busybox chown 11:12 /file
cd /inner; chroot . /bin/busybox sh -c 'cd bin; busybox chown 13:14 ../bin/../../bin/busybox'
! chown 1:1 /missing 2>/dev/null
! chown 1:1 /given/below 2>/dev/null
";

#[tokio::test]
async fn owners_are_written_down_whatever_becomes_of_the_file() {
    if as_ordinary_user("rootless::owners_are_written_down_whatever_becomes_of_the_file") {
        return;
    }
    if !std::path::Path::new(BUSYBOX).exists() {
        assert!(std::env::var_os("CI").is_none(), "needs {BUSYBOX}");
        eprintln!("skipped, needs {BUSYBOX}");
        return;
    }
    let home = tempfile::tempdir_in(std::env::temp_dir()).unwrap();
    let Some((backend, store)) = backend(home.path()) else { return };
    let key = LayerKey(Digest::of("small root"));
    let root = Root::Tar(Box::new(std::io::Cursor::new(small_root())));
    let base = backend.import(key, root, &ImageConfig::default()).await.unwrap();
    let options = SandboxOptions::default();
    let sandbox = backend.create(&base, &options).await.unwrap();
    let setup = "/bin/busybox --install -s /bin";
    assert!(shell(&*sandbox, None, setup).await.0.success());
    let (outcome, said) = shell(&*sandbox, None, CHANGES).await;
    assert!(outcome.success(), "{said}");
    let image = sandbox.snapshot(None, &ImageConfig::default(), true).await.unwrap();
    let mut tar = Vec::new();
    backend.export(&image).await.unwrap().read_to_end(&mut tar).await.unwrap();
    let owners = owners(&tar);
    let expected = [
        ("bin/busybox", (0, 0, 0o755)),
        ("home/ann", (1000, 1000, 0o700)),
        ("home/ann/diary", (1000, 1001, 0o640)),
        ("home/ann/moved", (1000, 70_000, 0o400)),
        ("etc/shadow", (0, 42, 0)),
        ("root-made", (0, 0, 0o644)),
        ("given", (33, 34, 0o644)),
        ("tree", (5, 6, 0o755)),
        ("tree/below/file", (7, 6, 0o644)),
        ("closed", (0, 42, 0)),
        ("locked", (0, 0, 0)),
        ("locked/in", (0, 0, 0o644)),
        ("bin/su-able", (1, 1, 0o755)),
        ("back", (0, 0, 0o644)),
        ("inner/file", (11, 12, 0o644)),
        ("inner/bin/busybox", (13, 14, 0o755)),
        ("null", (0, 0, 0o600)),
    ];
    for (name, wanted) in expected {
        assert_eq!(owners.get(name), Some(&wanted), "{name}");
    }
    // And again from the export, in another store's eyes the same.
    let key = LayerKey(Digest::of("again"));
    let root = Root::Tar(Box::new(std::io::Cursor::new(tar.clone())));
    let again = backend.import(key, root, &ImageConfig::default()).await.unwrap();
    let mut second = Vec::new();
    backend.export(&again).await.unwrap().read_to_end(&mut second).await.unwrap();
    assert_eq!(self::owners(&second), owners);
    backend.close().await;
    drop(store);
}

#[tokio::test]
async fn becoming_somebody_else_succeeds_and_changes_nothing() {
    if as_ordinary_user("rootless::becoming_somebody_else_succeeds_and_changes_nothing") {
        return;
    }
    if !std::path::Path::new(BUSYBOX).exists() {
        assert!(std::env::var_os("CI").is_none(), "needs {BUSYBOX}");
        eprintln!("skipped, needs {BUSYBOX}");
        return;
    }
    let home = tempfile::tempdir_in(std::env::temp_dir()).unwrap();
    let Some((backend, _store)) = backend(home.path()) else { return };
    let key = LayerKey(Digest::of("small root"));
    let root = Root::Tar(Box::new(std::io::Cursor::new(small_root())));
    let base = backend.import(key, root, &ImageConfig::default()).await.unwrap();
    let sandbox = backend.create(&base, &SandboxOptions::default()).await.unwrap();
    let line = "/bin/busybox id -u; /bin/busybox echo $HOME; /bin/busybox start-stop-daemon -S -c ann -n none \
                -a /bin/busybox -- id -u; echo out > /dev/stdout";
    for (user, home) in [(None, "/root"), (Some("ann"), "/home/ann"), (Some("7:8"), "/")] {
        let (outcome, said) = shell(&*sandbox, user, line).await;
        assert!(outcome.success(), "{said}");
        assert_eq!(said, format!("0\n{home}\n0\nout\n"));
    }
    // Many at once, each answered.
    let line = "i=0; while [ $i -lt 50 ]; do echo x > /tmp/$$-$i; /bin/busybox chown 1:2 /tmp/$$-$i \
                || exit 9; i=$((i+1)); done";
    let runs = (0..4).map(|_| shell(&*sandbox, None, line));
    for (outcome, said) in futures_util::future::join_all(runs).await {
        assert!(outcome.success(), "{said}");
    }
    sandbox.terminate().await.unwrap();
    backend.close().await;
}

/// What a build does on a Debian root, with the network: packages with maintainer scripts, users
/// and set-group-id programs, a Python package, a clone.
const BUILD: &str = "set -e
apt-get update -q
apt-get install -q -y --no-install-recommends cron postgresql-common
python3 -m pip install --quiet --break-system-packages --root-user-action=ignore idna
python3 -c 'import idna; print(idna.__version__)'
git -c init.defaultBranch=main init -q /srv/origin
git -C /srv/origin -c user.name=a -c user.email=a@b commit -q --allow-empty -m first
chown -R www-data:www-data /srv/origin
git clone -q /srv/origin /srv/clone
dpkg --audit; dpkg --verify cron
stat -c %a /usr/bin/crontab
";

#[tokio::test]
#[ignore = "needs the network, and a Debian root as a tar in EVALRUN_TEST_ROOT: mmdebstrap \
            --variant=minbase --include=python3,python3-pip,git,ca-certificates bookworm root.tar"]
async fn packages_are_installed_on_debian() {
    if as_ordinary_user("rootless::packages_are_installed_on_debian") {
        return;
    }
    let tar = PathBuf::from(std::env::var_os(ROOT).expect("EVALRUN_TEST_ROOT is set"));
    let home = tempfile::tempdir_in(std::env::temp_dir()).unwrap();
    let Some((backend, _store)) = backend(home.path()) else { return };
    let key = LayerKey(Digest::of("debian"));
    let config = ImageConfig::default();
    let base = backend.import(key, Root::Archive(tar), &config).await.unwrap();
    let options = SandboxOptions {
        network: Network::Host,
        env: [("DEBIAN_FRONTEND".to_owned(), "noninteractive".to_owned())].into(),
        ..SandboxOptions::default()
    };
    let sandbox = backend.create(&base, &options).await.unwrap();
    let mut command = Command::new(["/bin/sh", "-c", BUILD]);
    (command.stdout, command.stderr) = (Output::Pipe, Output::Stdout);
    let mut process = sandbox.exec(&command).await.unwrap();
    let mut said = String::new();
    process.stdout.take().unwrap().read_to_string(&mut said).await.unwrap();
    let outcome = process.wait().await.unwrap();
    eprintln!("{said}");
    assert!(outcome.success(), "{outcome:?}");
    let image = sandbox.snapshot(None, &config, true).await.unwrap();
    let mut tar = Vec::new();
    backend.export(&image).await.unwrap().read_to_end(&mut tar).await.unwrap();
    let owners = owners(&tar);
    let group = |name: &str| owners[name].1;
    assert_ne!(group("usr/bin/crontab"), 0, "crontab belongs to its group");
    assert_eq!(owners["usr/bin/crontab"].2, 0o2755);
    assert_eq!(group("usr/bin/chage"), 42, "what nobody touched belongs to whom it belonged");
    assert_eq!(owners["srv/origin/.git/HEAD"], (33, 33, 0o644));
    assert_eq!(owners["srv/clone/.git/HEAD"], (0, 0, 0o644));
    backend.close().await;
}
