//! One suite for every back-end: what a sandbox must do, whoever makes it. Each case gets a
//! back-end and an image; the macro at the end makes a test of every case for every back-end.
//!
//! The native back-end needs the machine's root or unprivileged user namespaces. Where it cannot
//! be had the cases say so and pass; with `CI=true` they fail.

use bytes::Bytes;
use evalrun::layers::{ImageConfig, ImageKey, LayerKey, Store, host};
use evalrun::model::{Digest, KilledBy, Outcome, Status};
use evalrun::sandbox::native::{NativeBackend, NativeOptions, leaks};
use evalrun::sandbox::{
    Backend, Command, Content, Limits, Mount, Network, Output, Root, Sandbox, SandboxError,
    SandboxOptions, Stdin, Upper,
};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A back-end to try, and an image with a shell, coreutils and Python.
struct Bench {
    backend: Arc<dyn Backend>,
    image: ImageKey,
    home: tempfile::TempDir,
    /// Limits of memory and processes are the kernel's, not a watcher's.
    has_cgroups: bool,
    /// Files inside can have owners other than root.
    has_owners: bool,
}

impl Bench {
    /// `None` where this machine cannot have it.
    async fn native() -> Option<Self> {
        let home = tempfile::tempdir_in(scratch()).unwrap();
        let store = Store::open(home.path()).unwrap();
        let helper = Some(PathBuf::from(env!("CARGO_BIN_EXE_evalrun")));
        let backend = match NativeBackend::new(store, NativeOptions { helper }) {
            Ok(backend) => backend,
            Err(error) => {
                assert!(std::env::var_os("CI").is_none(), "needs user namespaces: {error}");
                eprintln!("skipped, needs user namespaces: {error}");
                return None;
            }
        };
        let caveats = backend.caveats();
        let says = |word: &str| caveats.iter().any(|caveat| caveat.contains(word));
        let (has_cgroups, has_owners) = (!says("no cgroup"), !says("owners"));
        let key = host::host_key(&[]);
        let image = backend.import(key, Root::Host, &host::config()).await.unwrap();
        Some(Self { backend, image, home, has_cgroups, has_owners })
    }

    async fn sandbox(&self) -> Arc<dyn Sandbox> {
        self.sandbox_with(&SandboxOptions::default()).await
    }

    async fn sandbox_with(&self, options: &SandboxOptions) -> Arc<dyn Sandbox> {
        self.backend.create(&self.image, options).await.unwrap()
    }

    async fn limited(&self, change: impl FnOnce(&mut Limits)) -> Arc<dyn Sandbox> {
        let mut options = SandboxOptions::default();
        change(&mut options.limits);
        self.sandbox_with(&options).await
    }
}

impl Bench {
    /// What other processes left on this machine is not this test's affair.
    fn no_leaks(&self) {
        let (home, own) = (self.home.path(), format!("evalrun-{}-", std::process::id()));
        let ours = |leak: &String| leak.contains(&own) || leak.contains(home.to_str().unwrap());
        let found: Vec<String> = leaks(home).into_iter().filter(ours).collect();
        assert_eq!(found, [""; 0]);
    }
}

/// A folder on a file system that takes overlays.
fn scratch() -> PathBuf {
    std::env::var_os("EVALRUN_TEST_HOME").map_or_else(std::env::temp_dir, PathBuf::from)
}

/// Runs a command; gives its outcome and what it printed.
async fn run(sandbox: &dyn Sandbox, mut command: Command) -> (Outcome, String) {
    command.stdout = Output::Pipe;
    command.stderr = Output::Stdout;
    let mut process = sandbox.exec(&command).await.unwrap();
    let mut text = Vec::new();
    process.stdout.take().unwrap().read_to_end(&mut text).await.unwrap();
    (process.wait().await.unwrap(), String::from_utf8_lossy(&text).into_owned())
}

async fn shell(sandbox: &dyn Sandbox, line: &str) -> (Outcome, String) {
    run(sandbox, Command::new(["/bin/sh", "-c", line])).await
}

/// What a shell line prints, which must succeed.
async fn printed(sandbox: &dyn Sandbox, line: &str) -> String {
    let (outcome, text) = shell(sandbox, line).await;
    assert!(outcome.success(), "`{line}`: {outcome:?}: {text}");
    text.trim_end().to_owned()
}

fn python(code: &str) -> Command {
    Command::new(["python3", "-c", code])
}

async fn write(sandbox: &dyn Sandbox, path: &str, text: &str, mode: u32) {
    let bytes = Bytes::copy_from_slice(text.as_bytes());
    sandbox.copy_in(path, Content::File { bytes, mode }).await.unwrap();
}

async fn read(sandbox: &dyn Sandbox, path: &str) -> Result<(Bytes, u32), SandboxError> {
    match sandbox.copy_out(path, 1 << 20).await? {
        Content::File { bytes, mode } => Ok((bytes, mode)),
        Content::Tar(_) => panic!("{path} came as a tree"),
    }
}

async fn exit_codes_and_signals(bench: &Bench) {
    let sandbox = bench.sandbox().await;
    for code in [0, 1, 127, 255] {
        let (outcome, _) = shell(&*sandbox, &format!("exit {code}")).await;
        assert_eq!(outcome.status, Status::Code(code));
    }
    for signal in [9, 15, 11] {
        let (outcome, _) = shell(&*sandbox, &format!("kill -{signal} $$")).await;
        assert_eq!(outcome.status, Status::Signal(signal));
    }
    let process = sandbox.exec(&Command::new(["sleep", "60"])).await.unwrap();
    process.control.signal(12).await.unwrap();
    assert_eq!(process.wait().await.unwrap().status, Status::Signal(12));
}

async fn what_cannot_start_is_told_apart(bench: &Bench) {
    let sandbox = bench.sandbox().await;
    for argv in [["no-such-program"], ["/etc/passwd"], ["/no/such/program"]] {
        let error = sandbox.exec(&Command::new(argv)).await.err().unwrap();
        assert!(matches!(error, SandboxError::CannotStart { .. }), "{error}");
    }
    let mut command = Command::new(["true"]);
    command.workdir = Some("/no/such/place".to_owned());
    let error = sandbox.exec(&command).await.err().unwrap();
    assert!(error.to_string().contains("working directory"), "{error}");
    command.workdir = None;
    command.user = Some("no-such-user".to_owned());
    let error = sandbox.exec(&command).await.err().unwrap();
    assert!(error.to_string().contains("no-such-user"), "{error}");
}

async fn streams(bench: &Bench) {
    let sandbox = bench.sandbox().await;
    let mut command = Command::new(["sh", "-c", "echo out; echo err >&2"]);
    command.stdout = Output::Pipe;
    command.stderr = Output::Pipe;
    let mut process = sandbox.exec(&command).await.unwrap();
    let (mut out, mut err) = (String::new(), String::new());
    process.stdout.take().unwrap().read_to_string(&mut out).await.unwrap();
    process.stderr.take().unwrap().read_to_string(&mut err).await.unwrap();
    assert_eq!((out.as_str(), err.as_str()), ("out\n", "err\n"));
    assert_eq!(process.wait().await.unwrap().usage.output_bytes, 8);

    assert_eq!(printed(&*sandbox, "echo a; echo b >&2; echo c > /dev/stdout").await, "a\nb\nc");
    assert_eq!(printed(&*sandbox, "cat").await, "", "standard input is empty");

    let mut command = Command::new(["sha256sum"]);
    let bytes = Bytes::from(vec![b'x'; 5 << 20]);
    command.stdin = Stdin::Bytes(bytes.clone());
    let (outcome, text) = run(&*sandbox, command).await;
    assert!(outcome.success());
    assert!(text.starts_with(&Digest::of(&bytes).to_string()), "{text}");

    let mut command = Command::new(["cat"]);
    command.stdin = Stdin::Pipe;
    command.stdout = Output::Pipe;
    let mut process = sandbox.exec(&command).await.unwrap();
    let mut stdin = process.stdin.take().unwrap();
    let mut stdout = process.stdout.take().unwrap();
    let mut echoed = [0; 5];
    for word in [b"first", b"again"] {
        stdin.write_all(word).await.unwrap();
        stdout.read_exact(&mut echoed).await.unwrap();
        assert_eq!(&echoed, word);
    }
    stdin.shutdown().await.unwrap();
    drop(stdin);
    assert!(process.wait().await.unwrap().success());

    let file = tempfile::tempfile_in(bench.home.path()).unwrap();
    let mut command = Command::new(["sh", "-c", "echo one; echo two >&2"]);
    command.stdout = Output::File(file.try_clone().unwrap());
    command.stderr = Output::Stdout;
    assert!(sandbox.exec(&command).await.unwrap().wait().await.unwrap().success());
    assert_eq!(contents(file), "one\ntwo\n");
}

fn contents(mut file: std::fs::File) -> String {
    use std::io::{Read as _, Seek as _};
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    text
}

async fn terminals(bench: &Bench) {
    let sandbox = bench.sandbox().await;
    let mut command = Command::new([
        "sh",
        "-c",
        "test -t 0 && test -t 1 && test -t 2 && stty size; read x; stty size; echo $TERM",
    ]);
    command.pty = Some((100, 40));
    command.stdin = Stdin::Pipe;
    command.stdout = Output::Pipe;
    let mut process = sandbox.exec(&command).await.unwrap();
    process.control.resize((120, 50)).await.unwrap();
    process.stdin.as_mut().unwrap().write_all(b"go\n").await.unwrap();
    let mut text = String::new();
    process.stdout.take().unwrap().read_to_string(&mut text).await.unwrap();
    assert!(text.contains("50 120"), "{text}");
    assert!(text.contains("xterm"), "{text}");
    assert!(process.wait().await.unwrap().success());
}

async fn environment_workdir_and_user(bench: &Bench) {
    let mut options = SandboxOptions::default();
    options.env.insert("FROM".to_owned(), "sandbox".to_owned());
    options.env.insert("KEPT".to_owned(), "yes".to_owned());
    let sandbox = bench.sandbox_with(&options).await;
    let mut command = Command::new(["sh", "-c", "echo $FROM $KEPT $HOME; pwd; id -u"]);
    command.env.insert("FROM".to_owned(), "command".to_owned());
    command.workdir = Some("/var/tmp".to_owned());
    let (_, text) = run(&*sandbox, command).await;
    assert_eq!(text, "command yes /root\n/var/tmp\n0\n");
    if !bench.has_owners {
        return;
    }
    for (user, expected) in [("nobody", "65534:65534"), ("1234", "1234:0"), ("7:8", "7:8")] {
        let line = "echo $(id -u):$(id -g); echo again > /dev/stdout; echo no > /root/file";
        let mut command = Command::new(["sh", "-c", line]);
        command.user = Some(user.to_owned());
        let (outcome, text) = run(&*sandbox, command).await;
        assert!(text.starts_with(&format!("{expected}\nagain\n")), "{text}");
        assert!(!outcome.success(), "the file is root's");
    }
}

async fn a_time_out_ends_grandchildren(bench: &Bench) {
    let sandbox = bench.sandbox().await;
    let line =
        "trap '' TERM; (setsid sleep 777 &); setsid sh -c 'sleep 778 & sleep 779' & sleep 780";
    let mut command = Command::new(["sh", "-c", line]);
    command.timeout = Some(Duration::from_millis(300));
    let started = Instant::now();
    let outcome = sandbox.exec(&command).await.unwrap().wait().await.unwrap();
    assert_eq!(outcome.status, Status::Killed(KilledBy::TimedOut));
    assert!(started.elapsed() < Duration::from_secs(5));
    let left = "grep -al '^sleep.77\\|^sleep.78' /proc/[0-9]*/cmdline 2>/dev/null | wc -l";
    assert_eq!(printed(&*sandbox, left).await, "0");
}

async fn a_time_out_spares_other_commands(bench: &Bench) {
    let sandbox = bench.sandbox().await;
    let other = sandbox.exec(&Command::new(["sleep", "2"])).await.unwrap();
    let mut command = Command::new(["sh", "-c", "sleep 781 & sleep 782"]);
    command.timeout = Some(Duration::from_millis(200));
    let outcome = sandbox.exec(&command).await.unwrap().wait().await.unwrap();
    assert_eq!(outcome.status, Status::Killed(KilledBy::TimedOut));
    assert_eq!(other.wait().await.unwrap().status, Status::Code(0));
    let left = "grep -al '^sleep.78' /proc/[0-9]*/cmdline 2>/dev/null | wc -l";
    assert_eq!(printed(&*sandbox, left).await, "0");
}

async fn what_holds_the_output_holds_up_nobody(bench: &Bench) {
    let sandbox = bench.sandbox().await;
    let started = Instant::now();
    let (outcome, text) = shell(&*sandbox, "sleep 60 & echo done").await;
    assert!(outcome.success());
    assert_eq!(text, "done\n");
    let file = tempfile::tempfile_in(bench.home.path()).unwrap();
    let mut command = Command::new(["sh", "-c", "sleep 60 & echo done"]);
    command.stdout = Output::File(file.try_clone().unwrap());
    assert!(sandbox.exec(&command).await.unwrap().wait().await.unwrap().success());
    assert_eq!(contents(file), "done\n");
    assert!(started.elapsed() < Duration::from_secs(5));
}

async fn memory_is_limited(bench: &Bench) {
    let sandbox = bench.limited(|limits| limits.memory = Some(128 << 20)).await;
    let grow = "import time\nx = []\nfor i in range(64): x.append(bytearray(b'x' * (16 << 20))); time.sleep(0.02)";
    let (outcome, _) = run(&*sandbox, python(grow)).await;
    assert!(outcome.limits_hit.memory, "{outcome:?}");
    assert_eq!(outcome.status, Status::Signal(9));
    assert!(outcome.usage.peak_memory > 64 << 20, "{outcome:?}");
    if !bench.has_cgroups {
        return;
    }
    let (outcome, _) = shell(&*sandbox, &format!("python3 -c \"{grow}\"; exit 0")).await;
    assert_eq!(outcome.status, Status::Code(0), "only the child is killed");
    assert!(outcome.limits_hit.memory, "and it is said all the same");
    let (outcome, _) = shell(&*sandbox, "true").await;
    assert!(!outcome.limits_hit.memory, "the next command did nothing wrong");
}

async fn processes_are_limited(bench: &Bench) {
    let sandbox = bench.limited(|limits| limits.pids = Some(32)).await;
    let bomb = "import os, time\nn = 0\ntry:\n  while n < 500:\n    if os.fork() == 0: time.sleep(30); os._exit(0)\n    n += 1\nexcept OSError: pass\nprint(n)";
    let mut command = python(bomb);
    command.timeout = Some(Duration::from_secs(20));
    let (outcome, text) = run(&*sandbox, command).await;
    let forked: u32 = text.trim().parse().unwrap();
    assert!((20..=32).contains(&forked), "{forked}");
    if bench.has_cgroups {
        assert!(outcome.limits_hit.pids, "{outcome:?}");
    }
}

async fn output_is_limited(bench: &Bench) {
    let sandbox = bench.limited(|limits| limits.output = 1 << 20).await;
    let file = tempfile::tempfile_in(bench.home.path()).unwrap();
    let mut command = Command::new(["sh", "-c", "echo begin; head -c 5000000 /dev/zero"]);
    command.stdout = Output::File(file.try_clone().unwrap());
    let outcome = sandbox.exec(&command).await.unwrap().wait().await.unwrap();
    assert!(outcome.success());
    assert_eq!(file.metadata().unwrap().len(), 1 << 20);
    assert_eq!(outcome.usage.output_bytes, 5_000_006);
    assert_eq!(outcome.usage.output_dropped, 5_000_006 - (1 << 20));
    let mut command = Command::new(["sh", "-c", "yes & yes"]);
    command.stdout = Output::File(file);
    let outcome = sandbox.exec(&command).await.unwrap().wait().await.unwrap();
    assert_eq!(outcome.status, Status::Killed(KilledBy::OutputLimit));
}

async fn disk_is_limited_in_memory(bench: &Bench) {
    let mut options = SandboxOptions { upper: Upper::Memory, ..SandboxOptions::default() };
    options.limits.disk = Some(16 << 20);
    let sandbox = bench.sandbox_with(&options).await;
    let (outcome, _) =
        shell(&*sandbox, "for i in 1 2 3; do head -c 8000000 /dev/zero > /tmp/$i; done").await;
    assert!(!outcome.success());
    assert!(outcome.limits_hit.disk, "{outcome:?}");
}

async fn disk_is_limited_on_disk(bench: &Bench) {
    let sandbox = bench.limited(|limits| limits.disk = Some(48 << 20)).await;
    let (outcome, _) = shell(&*sandbox, "exec head -c 100000000 /dev/zero > /tmp/large").await;
    assert!(outcome.limits_hit.disk, "one file: {outcome:?}");
    let sandbox = bench.limited(|limits| limits.disk = Some(48 << 20)).await;
    let many = "i=0; while :; do i=$((i+1)); head -c 16000000 /dev/zero > /tmp/$i; sleep 0.1; done";
    let mut command = Command::new(["sh", "-c", many]);
    command.timeout = Some(Duration::from_secs(30));
    let outcome = sandbox.exec(&command).await.unwrap().wait().await.unwrap();
    assert_eq!(outcome.status, Status::Signal(9));
    assert!(outcome.limits_hit.disk, "many files: {outcome:?}");
    let (outcome, _) = shell(&*sandbox, "true").await;
    assert_eq!(outcome.status, Status::Signal(9), "what comes later is ended at once");
    assert!(outcome.limits_hit.disk, "{outcome:?}");
}

async fn cpu_is_limited(bench: &Bench) {
    if !bench.has_cgroups {
        return;
    }
    // So little that a busy machine gives more: it is the limit that holds the command back.
    let sandbox = bench.limited(|limits| limits.cpu_millis = Some(50)).await;
    let spin = "import time\nwhile time.process_time() < 0.2: pass";
    let (outcome, _) = run(&*sandbox, python(spin)).await;
    assert!(!outcome.limits_hit.cpu_throttled.is_zero(), "{outcome:?}");
    assert!(outcome.usage.wall > Duration::from_secs(1), "{outcome:?}");
}

const CONNECT: &str =
    "import socket, sys\nsocket.create_connection(('127.0.0.1', int(sys.argv[1])), 2)";

async fn no_network_unless_asked_for(bench: &Bench) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let connect = || {
        let mut command = python(CONNECT);
        command.argv.push(port.clone());
        command
    };
    let alone = bench.sandbox().await;
    assert!(!run(&*alone, connect()).await.0.success(), "the machine's loopback is not its own");
    let own = "import socket\ns = socket.create_server(('127.0.0.1', 80))\nsocket.create_connection(('127.0.0.1', 80))";
    let (outcome, text) = run(&*alone, python(own)).await;
    assert!(outcome.success() || !bench.has_owners, "{text}");
    let away = "import socket\nsocket.create_connection(('192.0.2.1', 80), 2)";
    let (_, text) = run(&*alone, python(away)).await;
    assert!(text.contains("unreachable"), "{text}");
    let host = SandboxOptions { network: Network::Host, ..SandboxOptions::default() };
    let joined = bench.sandbox_with(&host).await;
    let (outcome, text) = run(&*joined, connect()).await;
    assert!(outcome.success(), "{text}");
}

async fn files_in_and_out(bench: &Bench) {
    let sandbox = bench.sandbox().await;
    write(&*sandbox, "/new/deep/file", "text", 0o750).await;
    assert_eq!(printed(&*sandbox, "stat -c %a:%u:%s /new/deep/file").await, "750:0:4");
    write(&*sandbox, "/new/deep/file", "x", 0o600).await;
    assert_eq!(read(&*sandbox, "/new/deep/file").await.unwrap(), (Bytes::from("x"), 0o600));

    let odd = "/new/a 'b'\n\u{e9}\t*";
    write(&*sandbox, odd, "odd", 0o644).await;
    assert_eq!(read(&*sandbox, odd).await.unwrap().0, "odd");

    printed(&*sandbox, "ln -s /etc/hostname-not /tmp/dangling; mkfifo /tmp/fifo; head -c 2000000 /dev/zero > /tmp/large").await;
    for (path, word) in [
        ("/no/such", "o such"),
        ("/tmp/dangling", "o such"),
        ("/tmp/fifo", "neither"),
        ("/dev/zero", "neither"),
    ] {
        let error = read(&*sandbox, path).await.unwrap_err();
        assert!(matches!(&error, SandboxError::Path { why, .. } if why.contains(word)), "{error}");
    }
    let error = read(&*sandbox, "/tmp/large").await.unwrap_err();
    assert!(matches!(error, SandboxError::TooLarge { .. }), "{error}");
    for path in ["relative", "", "/nul\0"] {
        assert!(matches!(read(&*sandbox, path).await, Err(SandboxError::Path { .. })), "{path}");
    }
    let file = Content::File { bytes: Bytes::new(), mode: 0o644 };
    assert!(sandbox.copy_in("/tmp/fifo", file).await.is_err(), "nobody reads it");
}

async fn trees_in_and_out(bench: &Bench) {
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
    let Content::Tar(mut stream) = sandbox.copy_out("/out", 1 << 20).await.unwrap() else {
        panic!("a directory came as a file");
    };
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let mut seen = BTreeMap::new();
    for entry in tar::Archive::new(&bytes[..]).entries().unwrap() {
        let entry = entry.unwrap();
        let header = entry.header();
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        seen.insert(path, (header.entry_type(), header.mode().unwrap()));
    }
    assert_eq!(seen["d/a"], (tar::EntryType::Regular, 0o4755));
    assert_eq!(seen["d/link"].0, tar::EntryType::Symlink);
    assert_eq!(seen["fifo"].0, tar::EntryType::Fifo);

    printed(&*sandbox, "head -c 3000000 /dev/zero > /out/large").await;
    let Content::Tar(mut stream) = sandbox.copy_out("/out", 1 << 20).await.unwrap() else {
        panic!("a directory came as a file");
    };
    assert!(stream.read_to_end(&mut Vec::new()).await.is_err(), "its end must not look good");
}

fn layer(text: &str) -> LayerKey {
    LayerKey(Digest::of(text))
}

async fn snapshots(bench: &Bench) {
    for upper in [Upper::Disk, Upper::Memory] {
        let options = SandboxOptions { upper, ..SandboxOptions::default() };
        let sandbox = bench.sandbox_with(&options).await;
        let config = ImageConfig { workdir: "/kept".to_owned(), ..host::config() };
        printed(&*sandbox, "mkdir /kept; echo one > /kept/file; rm -r /media; chmod 4711 /kept/file; ln /kept/file /kept/same").await;
        printed(&*sandbox, "rm -r /srv && mkdir /srv && touch /srv/new").await;
        let busy = sandbox.exec(&Command::new(["sleep", "1"])).await.unwrap();
        let key = layer(&format!("running {upper:?}"));
        let running = sandbox.snapshot(Some(key), &config, false).await.unwrap();
        assert_eq!(running, ImageKey::from(key));
        assert_eq!(busy.wait().await.unwrap().status, Status::Code(0), "it goes on");
        printed(&*sandbox, "echo two > /kept/file; chmod 4711 /kept/file").await;
        let last = sandbox.snapshot(None, &config, true).await.unwrap();
        assert!(matches!(sandbox.exec(&Command::new(["true"])).await, Err(SandboxError::Gone)));
        for (image, text) in [(running, "one"), (last, "two")] {
            assert!(bench.backend.contains(&image).await.unwrap());
            let child = bench.backend.create(&image, &SandboxOptions::default()).await.unwrap();
            let line =
                "pwd; cat same; stat -c %a:%h file; test ! -e /media && ls /srv && rm file same";
            assert_eq!(printed(&*child, line).await, format!("/kept\n{text}\n4711:2\nnew"));
        }
        let again = bench.backend.create(&last, &SandboxOptions::default()).await.unwrap();
        assert_eq!(printed(&*again, "cat /kept/file").await, "two", "no child changes the image");
    }
    let fresh = bench.sandbox().await;
    assert_eq!(printed(&*fresh, "ls -d /media").await, "/media");
}

async fn directories_of_the_machine(bench: &Bench) {
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

async fn the_end(bench: &Bench) {
    let sandbox = bench.sandbox().await;
    let process = sandbox.exec(&Command::new(["sleep", "60"])).await.unwrap();
    let (usage, outcome) = tokio::join!(sandbox.terminate(), process.wait());
    usage.unwrap();
    assert_eq!(outcome.unwrap().status, Status::Killed(KilledBy::Cancelled));
    sandbox.terminate().await.unwrap();
    assert!(matches!(sandbox.exec(&Command::new(["true"])).await, Err(SandboxError::Gone)));

    let options =
        SandboxOptions { lifetime: Some(Duration::from_millis(300)), ..SandboxOptions::default() };
    let sandbox = bench.sandbox_with(&options).await;
    let outcome = sandbox.exec(&Command::new(["sleep", "60"])).await.unwrap().wait().await.unwrap();
    assert_eq!(outcome.status, Status::Killed(KilledBy::TimedOut));
}

async fn many_at_once(bench: &Bench) {
    let sandbox = bench.sandbox().await;
    let each = (0..30).map(|number| {
        let sandbox = sandbox.clone();
        tokio::spawn(async move {
            let line = format!("sleep 0.2; echo {number}; exit {number}");
            let (outcome, text) = shell(&*sandbox, &line).await;
            assert_eq!(outcome.status, Status::Code(number));
            assert_eq!(text, format!("{number}\n"));
        })
    });
    for task in each.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    drop(sandbox);
    let backend = &bench.backend;
    let image = bench.image;
    let each = (0..200).map(|number| {
        let backend = backend.clone();
        tokio::spawn(async move {
            let sandbox = backend.create(&image, &SandboxOptions::default()).await.unwrap();
            let text =
                printed(&*sandbox, &format!("echo {number} > /own; sleep 1; cat /own")).await;
            assert_eq!(text, number.to_string());
        })
    });
    for task in each.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    bench.backend.close().await;
    bench.no_leaks();
}

async fn nothing_is_left(bench: &Bench) {
    let mounts = || fs_err::read_to_string("/proc/self/mountinfo").unwrap();
    let before = mounts();
    let host = SandboxOptions { network: Network::Host, ..SandboxOptions::default() };
    let memory = SandboxOptions { upper: Upper::Memory, ..SandboxOptions::default() };
    for options in [SandboxOptions::default(), host, memory] {
        let dropped = bench.sandbox_with(&options).await;
        printed(&*dropped, "setsid sleep 783 > /dev/null & mkdir -p /a/b; chmod 0 /a").await;
        drop(dropped);
        let idle = bench.sandbox_with(&options).await;
        drop(idle);
    }
    bench.backend.close().await;
    assert_eq!(mounts(), before);
    let directory = fs_err::read_dir(bench.home.path().join("sandboxes-v1")).unwrap();
    assert_eq!(directory.count(), 0);
    let alive = std::process::Command::new("pgrep").args(["-f", "^sleep 783"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&alive.stdout), "");
    bench.no_leaks();
}

async fn what_a_command_is_born_with(bench: &Bench) {
    let sandbox = bench.sandbox().await;
    let status = printed(&*sandbox, "cat /proc/self/status").await;
    for line in [
        "CapBnd:\t00000000a80425fb",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
        "SigIgn:\t0000000000000000",
        "SigBlk:\t0000000000000000",
    ] {
        assert!(status.contains(line), "{line} in\n{status}");
    }
    assert_eq!(printed(&*sandbox, "ls /proc/self/fd | tr '\\n' ' '").await, "0 1 2 3");
    for file in ["exe", "root", "cwd", "environ", "mem", "fd", "maps"] {
        let (outcome, _) =
            shell(&*sandbox, &format!("cat /proc/1/{file} || ls /proc/1/{file}/")).await;
        assert!(!outcome.success(), "/proc/1/{file} is open");
    }
    let (outcome, text) = shell(&*sandbox, "mount -t tmpfs x /mnt; unshare -U true; chroot /proc/1/root ls; kill -9 1; sleep 0.1; echo still here").await;
    assert!(outcome.success() && text.ends_with("still here\n"), "{text}");
    let leaked = printed(&*sandbox, "cat /proc/self/mountinfo /proc/self/cgroup").await;
    assert!(!leaked.contains("sandbox_under_test"), "{leaked}");
    let groups = printed(&*sandbox, "cut -d: -f3 /proc/self/cgroup | sort -u").await;
    if bench.has_cgroups {
        assert_eq!(groups, "/");
    }
}

/// A test of every case for a back-end.
macro_rules! conformance {
    ($backend:ident: $($case:ident)*) => {
        mod $backend {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $case() {
                    if let Some(bench) = super::Bench::$backend().await {
                        super::$case(&bench).await;
                        bench.backend.close().await;
                    }
                }
            )*
        }
    };
}

conformance!(native:
    exit_codes_and_signals
    what_cannot_start_is_told_apart
    streams
    terminals
    environment_workdir_and_user
    a_time_out_ends_grandchildren
    a_time_out_spares_other_commands
    what_holds_the_output_holds_up_nobody
    memory_is_limited
    processes_are_limited
    output_is_limited
    disk_is_limited_in_memory
    disk_is_limited_on_disk
    cpu_is_limited
    no_network_unless_asked_for
    files_in_and_out
    trees_in_and_out
    snapshots
    directories_of_the_machine
    the_end
    many_at_once
    nothing_is_left
    what_a_command_is_born_with
);

/// The pids of this process's children.
fn children() -> Vec<i32> {
    let tasks = fs_err::read_dir("/proc/self/task").unwrap();
    let lists = tasks.map(|task| fs_err::read_to_string(task.unwrap().path().join("children")));
    let lists: Vec<String> = lists.map(Result::unwrap_or_default).collect();
    lists.iter().flat_map(|list| list.split_whitespace()).map(|pid| pid.parse().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_is_left_to_the_keeper() {
    use rustix::process::{Pid, Signal, getpgid, kill_process};
    let before = children();
    let Some(bench) = Bench::native().await else { return };
    let sandbox = bench.sandbox().await;
    let helpers: Vec<i32> = children().into_iter().filter(|pid| !before.contains(pid)).collect();
    assert!(!helpers.is_empty());
    for pid in helpers {
        let pid = Pid::from_raw(pid).unwrap();
        // Another test's helper may have ended meanwhile.
        let Ok(group) = getpgid(Some(pid)) else { continue };
        assert_ne!(group, getpgid(None).unwrap());
        for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
            let _ = kill_process(pid, signal);
        }
    }
    assert!(shell(&*sandbox, "true").await.0.success());
    drop(bench.sandbox().await);
    bench.backend.close().await;
}

/// Memory of this process that is its own, in MiB.
fn own_memory() -> u64 {
    let status = fs_err::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() >> 10
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_alive_cost_the_keeper_little() {
    let Some(bench) = Bench::native().await else { return };
    let before = own_memory();
    let mut alive = Vec::new();
    let mut times = Vec::new();
    for _ in 0..500 {
        let started = Instant::now();
        let sandbox = bench.sandbox().await;
        printed(&*sandbox, "true").await;
        times.push(started.elapsed());
        let mut sleep = Command::new(["sleep", "600"]);
        sleep.stdout = Output::File(tempfile::tempfile_in(bench.home.path()).unwrap());
        let process = sandbox.exec(&sleep).await.unwrap();
        alive.push((sandbox, process));
    }
    let grown = own_memory() - before;
    let median = |times: &[Duration]| {
        let mut times = times.to_vec();
        times.sort();
        times[times.len() / 2]
    };
    let (first, last) = (median(&times[..100]), median(&times[400..]));
    eprintln!(
        "500 alive: {grown} MiB more; create and `sh -c true`: {first:?} at first, {last:?} at last"
    );
    assert!(grown < 32, "{grown} MiB for 500 sandboxes");
    let started = Instant::now();
    drop(alive);
    bench.backend.close().await;
    eprintln!("all gone after {:?}", started.elapsed());
    bench.no_leaks();
}
