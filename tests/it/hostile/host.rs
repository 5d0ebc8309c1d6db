//! This machine as bait: what a hostile program must not read, reach or change, and whether it did.

use evalrun::layers::remove_tree;
use evalrun::model::Digest;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};

/// Files of the machine that an escape would change, or a careless keeper.
const WATCHED: [&str; 20] = [
    "/etc/passwd",
    "/etc/shadow",
    "/etc/group",
    "/etc/hosts",
    "/etc/hostname",
    "/etc/resolv.conf",
    "/etc/crontab",
    "/etc/ld.so.preload",
    "/root/.ssh/authorized_keys",
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/kernel/hostname",
    "/proc/sys/kernel/domainname",
    "/proc/sys/kernel/sysrq",
    "/proc/sys/fs/binfmt_misc/status",
    "/proc/sys/vm/overcommit_memory",
    "/proc/swaps",
    "/sys/kernel/uevent_helper",
    "/sys/fs/cgroup/release_agent",
    "/sys/fs/cgroup/memory/release_agent",
];

/// Kernel messages that tell of more than a process that was killed.
const ALARMING: [&str; 6] =
    ["BUG:", "Oops", "general protection fault", "WARNING: CPU", "KASAN", "unregister_netdevice"];

pub(crate) struct Host {
    /// A word that stands where no sandbox may see it.
    pub(crate) secret: String,
    folder: tempfile::TempDir,
    port: u16,
    breaches: Arc<Mutex<Vec<String>>>,
    decoy: Child,
    files: BTreeMap<String, String>,
    log: Option<std::fs::File>,
    clock: i128,
}

impl Host {
    /// Lays the bait in a folder below `scratch`, with the program whose copies run in sandboxes.
    pub(crate) fn new(scratch: &Path, helper: &Path) -> Self {
        let folder = tempfile::Builder::new().prefix("bait").tempdir_in(scratch).unwrap();
        let seed = format!("{:?} {}", std::time::SystemTime::now(), std::process::id());
        let secret = format!("s3cret{}", &Digest::of(seed).to_string()[..24]);
        let at = |name: &str| folder.path().join(name);
        fs_err::write(at("canary"), format!("{secret}\n")).unwrap();
        fs_err::create_dir(at("folder")).unwrap();
        fs_err::write(at("folder/file"), format!("{secret}\n")).unwrap();
        let breaches: Arc<Mutex<Vec<String>>> = Arc::default();
        let port = listen(&secret, &at("socket"), &breaches);
        let decoy = Command::new("sleep")
            .arg0(format!("sleep-{secret}"))
            .arg("100000")
            .env("HOSTILE_SECRET", &secret)
            .spawn()
            .unwrap();
        let mut host = Self {
            secret,
            folder,
            port,
            breaches,
            decoy,
            files: BTreeMap::new(),
            log: kernel_log(),
            clock: clock(),
        };
        host.files = host.digests(helper);
        assert!(host.files.len() > 5, "{:?}", host.files);
        host
    }

    /// What programs are told of where the bait is, but not the secret.
    pub(crate) fn told(&self) -> Vec<(String, String)> {
        let at = |name: &str| self.folder.path().join(name).to_str().unwrap().to_owned();
        let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
        [
            ("CANARY", at("canary")),
            ("HOST_SOCKET", at("socket")),
            ("HOST_PORT", self.port.to_string()),
            ("HOST_ABSTRACT", self.abstract_name()),
            ("HOST_PID", self.decoy.id().to_string()),
            ("HOST_NAME", hostname),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    fn abstract_name(&self) -> String {
        format!("hostile-{}-{}", std::process::id(), self.port)
    }

    /// That the bait can be had where it may be had: else nothing would be shown by its absence.
    pub(crate) fn bait_works(&self) {
        let canary = fs_err::read_to_string(self.folder.path().join("canary")).unwrap();
        assert!(canary.contains(&self.secret));
        std::net::TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let address = SocketAddr::from_abstract_name(self.abstract_name()).unwrap();
        std::os::unix::net::UnixStream::connect_addr(&address).unwrap();
        let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
        let line = format!("/proc/{}/cmdline", self.decoy.id());
        // A process that has just been started has no arguments for a moment.
        let shows = || fs_err::read_to_string(&line).unwrap().contains(&self.secret);
        while self.breaches.lock().unwrap().len() < 2 || !shows() {
            assert!(std::time::Instant::now() < until, "the bait cannot be had");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        self.breaches.lock().unwrap().clear();
    }

    fn digests(&self, helper: &Path) -> BTreeMap<String, String> {
        let mut paths: Vec<PathBuf> = WATCHED.iter().map(PathBuf::from).collect();
        paths.extend(["canary", "folder/file"].map(|name| self.folder.path().join(name)));
        let mut found: BTreeMap<String, String> = paths
            .iter()
            .filter_map(|path| {
                let digest = Digest::of(fs_err::read(path).ok()?).to_string();
                Some((path.display().to_string(), digest))
            })
            .collect();
        let about = fs_err::metadata(helper).unwrap();
        let about = format!("{} bytes of {:?}", about.len(), about.modified().unwrap());
        found.insert(helper.display().to_string(), about);
        for folder in [self.folder.path(), Path::new("/dev"), Path::new("/etc"), Path::new("/")] {
            let mut names: Vec<String> = fs_err::read_dir(folder)
                .into_iter()
                .flatten()
                .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
                // Programs that run meanwhile put files there that are renamed or gone soon.
                .filter(|name| folder != Path::new("/dev") || !name.starts_with("loop"))
                .collect();
            names.sort();
            found.insert(format!("names in {}", folder.display()), names.join(" "));
        }
        found
    }

    /// What is wrong with the machine now.
    pub(crate) fn harm(&mut self, helper: &Path) -> Vec<String> {
        let mut harm: Vec<String> = std::mem::take(&mut *self.breaches.lock().unwrap());
        let now = self.digests(helper);
        for (name, before) in &self.files {
            if now.get(name) != Some(before) {
                harm.push(format!("{name} has changed: {before} to {:?}", now.get(name)));
            }
        }
        if self.decoy.try_wait().unwrap().is_some() {
            harm.push("a process of the machine was ended".to_owned());
        }
        if (clock() - self.clock).abs() > 5_000_000_000 {
            harm.push("the machine's clock was set".to_owned());
        }
        if let Some(log) = &mut self.log {
            harm.extend(alarms(log));
        }
        harm
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.decoy.kill();
        let _ = self.decoy.wait();
        let _ = remove_tree(self.folder.path());
    }
}

/// Listens where no sandbox may come; who does is told the secret, and written down.
fn listen(secret: &str, path: &Path, breaches: &Arc<Mutex<Vec<String>>>) -> u16 {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = tcp.local_addr().unwrap().port();
    // Another one each time: who listens does so until the process ends.
    let address = format!("hostile-{}-{port}", std::process::id());
    let address = SocketAddr::from_abstract_name(address).unwrap();
    let hidden = UnixListener::bind_addr(&address).unwrap();
    let named = UnixListener::bind(path).unwrap();
    let tell = |who: &'static str, breaches: &Arc<Mutex<Vec<String>>>| {
        let (secret, breaches) = (secret.to_owned(), breaches.clone());
        move |stream: &mut dyn std::io::Write| {
            let _ = stream.write_all(secret.as_bytes());
            breaches.lock().unwrap().push(format!("{who} of the machine was reached"));
        }
    };
    let told = tell("a TCP service", breaches);
    std::thread::spawn(move || tcp.incoming().flatten().for_each(|mut peer| told(&mut peer)));
    for (who, listener) in [("an abstract socket", hidden), ("a socket file", named)] {
        let told = tell(who, breaches);
        std::thread::spawn(move || listener.incoming().flatten().for_each(|mut s| told(&mut s)));
    }
    port
}

/// The clock that can be set, against the one that cannot, in nanoseconds.
fn clock() -> i128 {
    let at = |id| {
        let time = rustix::time::clock_gettime(id);
        i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
    };
    at(rustix::time::ClockId::Realtime) - at(rustix::time::ClockId::Boottime)
}

/// The kernel's log from now on; an ordinary user does not see it.
fn kernel_log() -> Option<std::fs::File> {
    use rustix::fs::OFlags;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let log = rustix::fs::open("/dev/kmsg", flags, rustix::fs::Mode::empty()).ok()?;
    rustix::fs::seek(&log, rustix::fs::SeekFrom::End(0)).ok()?;
    Some(std::fs::File::from(log))
}

fn alarms(log: &mut std::fs::File) -> Vec<String> {
    use std::io::Read as _;
    let mut found = Vec::new();
    let mut record = [0; 8192];
    loop {
        match log.read(&mut record) {
            Ok(0) => return found,
            Ok(length) => {
                let text = String::from_utf8_lossy(&record[..length]).into_owned();
                if ALARMING.iter().any(|word| text.contains(word)) {
                    found.push(format!("the kernel says: {text}"));
                }
            }
            // Records were overwritten before they were read.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
            Err(_) => return found,
        }
    }
}

/// Processes of the machine that carry this variable.
pub(crate) fn processes_with(variable: &str) -> Vec<String> {
    let entries = fs_err::read_dir("/proc").unwrap().flatten();
    entries
        .filter(|entry| {
            let environment = fs_err::read(entry.path().join("environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|one| one == variable.as_bytes())
        })
        .map(|entry| {
            let line = fs_err::read(entry.path().join("cmdline")).unwrap_or_default();
            format!("{}: {}", entry.path().display(), String::from_utf8_lossy(&line))
        })
        .collect()
}
