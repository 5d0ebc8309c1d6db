//! Runs over a daemon that is slow, loses connections, or is killed and started again: the verdicts
//! are right and no container is left. Needs a Docker daemon with a Debian image; the killed one is a
//! daemon of the test's own, which needs root. Where they are not there the tests say so and pass,
//! with `CI=true` they fail.

use crate::conformance::bench::{docker_image, helper};
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

/// The socket of this machine's daemon.
const SOCKET: &str = "/var/run/docker.sock";

fn skipped(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "{why}");
    eprintln!("skipped, {why}");
}

/// What `docker` prints, asked of the daemon at this socket; `None` if it fails.
fn docker(socket: &Path, words: &[&str]) -> Option<String> {
    let host = format!("unix://{}", socket.display());
    let output = Command::new("docker").env("DOCKER_HOST", host).args(words).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn has_image(socket: &Path) -> bool {
    docker(socket, &["image", "inspect", "--format", "x", &docker_image()]).is_some()
}

/// Containers of a run that are there.
fn left(socket: &Path, run: &str) -> String {
    let label = format!("label=evalrun.run={run}");
    docker(socket, &["ps", "--all", "--quiet", "--filter", &label]).unwrap()
}

/// `evalrun run` of the reference solutions of `datasets/mini`.
fn gold(socket: &Path, folder: &Path, run: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evalrun"));
    command
        .args(["run", "--dataset", "datasets/mini", "--predictions", "gold", "--json"])
        .args(["--backend", "docker", "--run-id", run, "--retries", "6", "--parallel", "2"])
        .args(["--host-image", &docker_image()])
        .arg("--docker-host")
        .arg(format!("unix://{}", socket.display()))
        .arg("--home")
        .arg(folder.join("home"))
        .arg("--report-dir")
        .arg(folder.join("reports"))
        .env("EVALRUN_HELPER", helper())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// All are resolved, by a run that ended well.
fn assert_all_resolved(output: &std::process::Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}\n{said}", output.status);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let resolved = report["models"][0]["summary"]["resolved_ids"].as_array().unwrap().len();
    assert_eq!(resolved, 18, "{said}");
}

/// Carries bytes one way, in pieces and late, until the time of the connection is up.
async fn carry(
    mut from: impl tokio::io::AsyncRead + Unpin,
    mut to: impl tokio::io::AsyncWrite + Unpin,
    mut dice: rand::rngs::SmallRng,
) {
    let mut piece = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut piece).await {
        if dice.random_ratio(1, 8) {
            tokio::time::sleep(Duration::from_millis(dice.random_range(1..60))).await;
        }
        if to.write_all(&piece[..count]).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}

/// One connection to the daemon, and its fate.
async fn suffer(client: UnixStream, seed: u64) {
    let mut dice = rand::rngs::SmallRng::seed_from_u64(seed);
    match dice.random_range(0..20) {
        // Closed at once.
        0 => return,
        // Heard, and never answered.
        1 => {
            tokio::time::sleep(Duration::from_millis(dice.random_range(10..2000))).await;
            return;
        }
        _ => {}
    }
    let Ok(daemon) = UnixStream::connect(SOCKET).await else { return };
    let life = match dice.random_ratio(1, 3) {
        true => Duration::from_millis(dice.random_range(5..3000)),
        false => Duration::from_secs(3600),
    };
    let (from_client, to_client) = client.into_split();
    let (from_daemon, to_daemon) = daemon.into_split();
    let (first, second) = (dice.next_u64(), dice.next_u64());
    let dice = rand::rngs::SmallRng::seed_from_u64;
    // Both ways at once, until one of them is cut or both have ended.
    let _ = tokio::time::timeout(life, async {
        tokio::join!(
            carry(from_client, to_daemon, dice(first)),
            carry(from_daemon, to_client, dice(second))
        )
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_way_to_the_daemon_changes_no_verdict() {
    if !has_image(Path::new(SOCKET)) {
        return skipped("needs a Docker daemon with a Debian image");
    }
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("proxy.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let proxy = tokio::spawn(async move {
        let mut seed = 0;
        while let Ok((client, _)) = listener.accept().await {
            seed += 1;
            tokio::spawn(suffer(client, seed));
        }
    });
    let run = format!("bad-way-{}", std::process::id());
    let mut command = gold(&socket, folder.path(), &run);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    proxy.abort();
    assert_all_resolved(&output);
    assert_eq!(left(Path::new(SOCKET), &run), "");
}

/// A daemon of our own.
struct OwnDaemon {
    folder: PathBuf,
    process: Child,
}

impl OwnDaemon {
    fn start(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), process: Self::process(folder) }
    }

    fn process(folder: &Path) -> Child {
        let below = |name: &str| folder.join(name).display().to_string();
        let log = fs_err::OpenOptions::new().create(true).append(true).open(folder.join("log"));
        // A network of its own: a daemon without a bridge removes the one of this machine's daemon.
        Command::new("unshare")
            .args(["--net", "dockerd"])
            .args(["--data-root", &below("data"), "--exec-root", &below("exec")])
            .args(["--pidfile", &below("pid"), "--bridge", "none", "--iptables=false"])
            .args(["--ip6tables=false", "--host", &format!("unix://{}", below("docker.sock"))])
            .stdout(Stdio::null())
            .stderr(log.unwrap().into_file())
            .spawn()
            .unwrap()
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("docker.sock")
    }

    /// Waits until it answers.
    fn wait_until_up(&self) {
        let is_up = (0..300).any(|_| {
            std::thread::sleep(Duration::from_millis(200));
            docker(&self.socket(), &["version"]).is_some()
        });
        assert!(is_up, "{}", fs_err::read_to_string(self.folder.join("log")).unwrap());
    }

    /// Kills it, and its containerd with it: one that is dying is taken for a living one.
    fn kill(&mut self) {
        let runtime = fs_err::read_to_string(self.folder.join("exec/containerd/containerd.pid"));
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        if let Ok(pid) = runtime {
            let _ = Command::new("kill").args(["-KILL", pid.trim()]).output();
            let directory = Path::new("/proc").join(pid.trim());
            let began = Instant::now();
            while directory.exists() && began.elapsed() < Duration::from_secs(60) {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        fs_err::remove_file(self.folder.join("pid")).unwrap();
    }

    fn start_again(&mut self) {
        self.process = Self::process(&self.folder);
        self.wait_until_up();
    }
}

impl Drop for OwnDaemon {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
        // What it mounted in its folder it leaves there.
        let mounts = fs_err::read_to_string("/proc/self/mounts").unwrap_or_default();
        let targets = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        for target in targets.filter(|target| Path::new(target).starts_with(&self.folder)) {
            let _ = Command::new("umount").args(["--lazy", target]).output();
        }
    }
}

#[test]
fn a_daemon_that_is_killed_and_started_again_changes_no_verdict() {
    let dockerd = Command::new("dockerd").arg("--version").output();
    if !rustix::process::geteuid().is_root() || dockerd.is_err() || !has_image(Path::new(SOCKET)) {
        return skipped("needs root, dockerd, and a Docker daemon with a Debian image");
    }
    // Not in memory, and not so deep that a socket's path is too long.
    let folder = tempfile::Builder::new().prefix("evalrun-d-").tempdir_in("/var/tmp").unwrap();
    let mut daemon = OwnDaemon::start(folder.path());
    daemon.wait_until_up();
    let socket = daemon.socket();
    let copy = format!(
        "docker save {0} | docker --host unix://{1} load --quiet",
        docker_image(),
        socket.display()
    );
    assert!(Command::new("sh").args(["-c", &copy]).status().unwrap().success());

    let run = format!("killed-{}", std::process::id());
    let running = gold(&socket, folder.path(), &run).spawn().unwrap();
    let journal = folder.path().join("reports").join(&run).join("journal.jsonl");
    let began = Instant::now();
    while !fs_err::read_to_string(&journal).is_ok_and(|text| text.contains("\"evaluated\"")) {
        assert!(began.elapsed() < Duration::from_secs(300), "no verdict came");
        std::thread::sleep(Duration::from_millis(20));
    }
    daemon.kill();
    std::thread::sleep(Duration::from_secs(1));
    daemon.start_again();
    assert_all_resolved(&running.wait_with_output().unwrap());
    assert_eq!(left(&socket, &run), "");
}
