//! What the native sandbox is measured against: the bare program, and other tools' sandboxes of the
//! same root and program.

use super::root::{PROGRAM, SCRIPT};
use crate::cli::places::program;
use anyhow::{Context as _, Result, bail};
use serde_json::json;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Memory in bytes and processes of the containers that have limits.
pub(super) const MEMORY: u64 = 512 << 20;
pub(super) const PIDS: u32 = 512;

/// A way to run the program that is not ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rival {
    /// The program alone, started by `posix_spawn`.
    Spawn,
    /// A shell that writes files in a directory, likewise.
    SpawnFiles,
    Bwrap,
    Crun,
    Runc,
    Docker,
}

impl Rival {
    const ALL: [Self; 6] =
        [Self::Spawn, Self::SpawnFiles, Self::Bwrap, Self::Crun, Self::Runc, Self::Docker];

    /// Its name in the results.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Spawn => "posix_spawn",
            Self::SpawnFiles => "posix_spawn_files",
            Self::Bwrap => "bwrap",
            Self::Crun => "crun",
            Self::Runc => "runc",
            Self::Docker => "docker",
        }
    }

    /// What it does.
    pub(super) fn what(self) -> &'static str {
        match self {
            Self::Spawn => "the bare program",
            Self::SpawnFiles => "a bare shell that writes 21 files",
            Self::Bwrap => "bwrap --unshare-all",
            Self::Crun => "crun run",
            Self::Runc => "runc run",
            Self::Docker => "docker run --rm --network none",
        }
    }

    /// What it keeps from the program, in this benchmark's way to call it.
    pub(super) fn protects(self) -> &'static str {
        match self {
            Self::Spawn | Self::SpawnFiles => "nothing",
            Self::Bwrap => "namespaces; read-only root; no limits, filter or user ids",
            Self::Crun | Self::Runc => {
                "namespaces but user; read-only root; 3 capabilities; memory, pids; no filter"
            }
            Self::Docker => "namespaces but user; writable root; default capabilities and filter",
        }
    }

    /// How many rounds go by between two of it: what takes long is tried less often.
    pub(super) fn seldom(self) -> usize {
        match self {
            Self::Runc => 3,
            Self::Docker => 25,
            _ => 1,
        }
    }
}

/// Where rivals run: a root, a bundle for OCI runtimes, an image of Docker's.
pub(super) struct Arena {
    scratch: PathBuf,
    image: Option<String>,
    /// crun refuses to run where version 1 and 2 of cgroups are both mounted.
    hybrid: bool,
    numbers: AtomicU64,
    pub(super) rivals: Vec<Rival>,
    /// What was left out, and why.
    pub(super) absent: Vec<String>,
}

impl Arena {
    /// Looks which rivals work here, each by running it once. `scratch` has the root as `rootfs`.
    pub(super) fn new(scratch: &Path, wanted: impl Fn(Rival) -> bool) -> Result<Arc<Self>> {
        let hybrid = Path::new("/sys/fs/cgroup/unified").exists();
        let mut arena = Self {
            scratch: scratch.to_owned(),
            image: None,
            hybrid,
            numbers: AtomicU64::new(0),
            rivals: Vec::new(),
            absent: Vec::new(),
        };
        fs_err::write(scratch.join("config.json"), bundle().to_string())?;
        let wanted: Vec<Rival> = Rival::ALL.into_iter().filter(|rival| wanted(*rival)).collect();
        if wanted.contains(&Rival::Docker) && program("docker").is_some() {
            match docker_image(&scratch.join("rootfs")) {
                Ok(image) => arena.image = Some(image),
                Err(error) => arena.absent.push(format!("docker: {error:#}")),
            }
        }
        let image = arena.image.is_some();
        let mut arena = Arc::new(arena);
        for rival in wanted.into_iter().filter(|rival| image || *rival != Rival::Docker) {
            let tried = Runner::new(&arena, rival).and_then(|mut runner| runner.once());
            let about = Arc::get_mut(&mut arena).context("runners have gone")?;
            match tried {
                Ok(_) => about.rivals.push(rival),
                Err(error) => about.absent.push(format!("{}: {error:#}", rival.name())),
            }
        }
        Ok(arena)
    }

    fn state(&self) -> PathBuf {
        self.scratch.join("state")
    }

    fn crun_line(&self) -> String {
        format!(
            "crun --root '{}' run --bundle '{}' \"$name\" </dev/null >/dev/null 2>&1",
            self.state().display(),
            self.scratch.display()
        )
    }

    fn command(&self, rival: Rival, name: &str) -> Command {
        let mut command = match rival {
            Rival::Spawn => Command::new(PROGRAM),
            Rival::SpawnFiles => Command::new("/bin/sh"),
            other => Command::new(other.name()),
        };
        match rival {
            Rival::Spawn => {}
            Rival::SpawnFiles => {
                command.args(["-c", SCRIPT]).current_dir(self.scratch.join(name));
            }
            Rival::Bwrap => {
                command.args(["--unshare-all", "--die-with-parent", "--ro-bind"]);
                command.arg(self.scratch.join("rootfs"));
                command.args(["/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", PROGRAM]);
            }
            Rival::Crun | Rival::Runc => {
                command.arg("--root").arg(self.state()).args(["run", "--bundle"]);
                command.arg(&self.scratch).arg(name);
            }
            Rival::Docker => {
                command.args(["run", "--rm", "--network", "none"]);
                command.arg(format!("--memory={MEMORY}")).arg(format!("--pids-limit={PIDS}"));
                command.args([self.image.as_deref().unwrap_or_default(), PROGRAM]);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        if let Some(image) = &self.image {
            // What is not removed now, its owner sees in the list of images.
            let _ = Command::new("docker").args(["rmi", "-f", image]).output();
        }
    }
}

/// Runs one rival, one at a time.
pub(super) struct Runner {
    arena: Arc<Arena>,
    rival: Rival,
    server: Option<Server>,
}

impl Runner {
    /// One for this rival.
    pub(super) fn new(arena: &Arc<Arena>, rival: Rival) -> Result<Self> {
        let server = match rival {
            Rival::Crun if arena.hybrid => Some(Server::start(&arena.crun_line())?),
            _ => None,
        };
        Ok(Self { arena: arena.clone(), rival, server })
    }

    /// Runs it once; how long it took until nothing of it was left.
    pub(super) fn once(&mut self) -> Result<Duration> {
        let number = self.arena.numbers.fetch_add(1, Ordering::Relaxed);
        let name = format!("evalrun-bench-{}-{number}", std::process::id());
        if let Some(server) = &mut self.server {
            return server.once(&name);
        }
        let place = self.arena.scratch.join(&name);
        let mut command = self.arena.command(self.rival, &name);
        let began = Instant::now();
        if self.rival == Rival::SpawnFiles {
            fs_err::create_dir_all(place.join("etc"))?;
            fs_err::write(place.join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\n")?;
        }
        let status =
            command.status().with_context(|| format!("cannot start {}", self.rival.name()))?;
        if self.rival == Rival::SpawnFiles {
            fs_err::remove_dir_all(&place)?;
        }
        let took = began.elapsed();
        if !status.success() {
            bail!("{} ended with {status}", self.rival.name());
        }
        Ok(took)
    }
}

/// A shell in a mount namespace of its own, without version 2's tree of cgroups, that runs a line
/// each time it is told to.
struct Server {
    shell: Child,
    asks: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Server {
    fn start(line: &str) -> Result<Self> {
        let script = format!(
            "umount /sys/fs/cgroup/unified 2>/dev/null; while read -r name; do {line}; echo $?; done"
        );
        let mut shell = Command::new("unshare")
            .args(["--mount", "sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot run unshare")?;
        let asks = shell.stdin.take();
        let answers = BufReader::new(shell.stdout.take().context("a pipe was asked for")?);
        Ok(Self { shell, asks, answers })
    }

    fn once(&mut self, name: &str) -> Result<Duration> {
        let began = Instant::now();
        writeln!(self.asks.as_mut().context("it is closed only at the end")?, "{name}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        match answer.trim() {
            "0" => Ok(began.elapsed()),
            other => bail!("it ended with {other:?}"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.asks = None;
        let _ = self.shell.wait();
    }
}

/// Takes the root in as an image of Docker's; returns its name.
fn docker_image(root: &Path) -> Result<String> {
    let name = format!("evalrun-bench-{}", std::process::id());
    let mut tar = Command::new("tar")
        .arg("-C")
        .arg(root)
        .args(["-c", "."])
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run tar")?;
    let stream = tar.stdout.take().context("a pipe was asked for")?;
    let imported = Command::new("docker").args(["import", "-", &name]).stdin(stream).output()?;
    tar.wait()?;
    if !imported.status.success() {
        bail!("{}", String::from_utf8_lossy(&imported.stderr).trim());
    }
    Ok(name)
}

/// What `crun spec` and `runc spec` make, with the program, the limits, and no terminal.
fn bundle() -> serde_json::Value {
    let capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
    let mount = |to: &str, kind: &str, options: &[&str]| json!({ "destination": to, "type": kind, "source": kind, "options": options });
    let quiet = ["nosuid", "noexec", "nodev"];
    let namespaces = ["pid", "network", "ipc", "uts", "mount"].map(|kind| json!({ "type": kind }));
    json!({
        "ociVersion": "1.0.0",
        "process": {
            "terminal": false,
            "user": { "uid": 0, "gid": 0 },
            "args": [PROGRAM],
            "env": ["PATH=/usr/bin:/bin"],
            "cwd": "/",
            "capabilities": {
                "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
            },
            "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 }],
            "noNewPrivileges": true,
        },
        "root": { "path": "rootfs", "readonly": true },
        "hostname": "sandbox",
        "mounts": [
            mount("/proc", "proc", &[]),
            mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666"]),
            mount("/dev/shm", "tmpfs", &[&quiet[..], &["mode=1777", "size=65536k"]].concat()),
            mount("/sys", "sysfs", &[&quiet[..], &["ro"]].concat()),
        ],
        "linux": {
            "resources": { "memory": { "limit": MEMORY }, "pids": { "limit": PIDS } },
            "namespaces": namespaces,
            "maskedPaths": ["/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys",
                "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
                "/sys/firmware", "/proc/scsi"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}
