//! A back-end to try: how it is had, what it can do, and the verbs the cases are written in.

use super::scripted;
use crate::compiled;
use bytes::Bytes;
use evalrun::layers::{ImageKey, LayerKey, Store, host};
use evalrun::model::{Digest, Outcome};
use evalrun::sandbox::docker::{DockerBackend, DockerOptions, DockerPlace};
use evalrun::sandbox::fake::FakeBackend;
use evalrun::sandbox::native::{NativeBackend, NativeOptions, Way, leaks};
use evalrun::sandbox::{
    Backend, Command, Content, Limits, Output, Root, Sandbox, SandboxError, SandboxOptions,
};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;

/// A back-end to try, and an image with a shell and coreutils.
pub(crate) struct Bench {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) image: ImageKey,
    pub(crate) home: tempfile::TempDir,
    /// Limits of memory and processes are the kernel's, not a watcher's.
    pub(crate) has_cgroups: bool,
    /// Files inside can have owners other than root.
    pub(crate) has_owners: bool,
    /// Sandboxes are containers of this machine's Docker daemon.
    has_daemon: bool,
}

/// A case that a back-end cannot be asked for, and why not.
type Cannot = (&'static str, &'static str);

const NO_PROCESS: &str = "no process runs in it";
const NO_FILES: &str = "its files are names and bytes, not a file system";

/// What the fake back-end cannot be asked for.
pub(crate) const FAKE_CANNOT: &[Cannot] = &[
    ("what_cannot_start_is_told_apart", NO_PROCESS),
    ("standard_error", NO_PROCESS),
    ("standard_input", NO_PROCESS),
    ("pipes_both_ways", NO_PROCESS),
    ("terminals", NO_PROCESS),
    ("the_environment", NO_PROCESS),
    ("users", NO_PROCESS),
    ("a_time_out_ends_grandchildren", NO_PROCESS),
    ("a_time_out_spares_other_commands", NO_PROCESS),
    ("what_holds_the_output_holds_up_nobody", NO_PROCESS),
    ("memory_is_limited", NO_PROCESS),
    ("processes_are_limited", NO_PROCESS),
    ("disk_is_limited_in_memory", NO_FILES),
    ("disk_is_limited_on_disk", NO_FILES),
    ("cpu_is_limited", NO_PROCESS),
    ("no_network_unless_asked_for", NO_PROCESS),
    ("what_a_command_is_born_with", NO_PROCESS),
    ("odd_files_in_and_out", NO_FILES),
    ("trees_in_and_out", NO_FILES),
    ("snapshots_keep_what_a_file_system_has", NO_FILES),
    ("directories_of_the_machine", NO_FILES),
    ("nothing_is_left_on_the_machine", NO_PROCESS),
];

/// What the native back-end cannot be asked for.
pub(crate) const NATIVE_CANNOT: &[Cannot] = &[];

/// What the Docker back-end cannot be asked for.
pub(crate) const DOCKER_CANNOT: &[Cannot] =
    &[("disk_is_limited_in_memory", "a container writes to its daemon's disk")];

/// The image of the daemon's that the cases run in: `debian:bookworm`, or another by this variable.
pub(crate) fn docker_image() -> String {
    std::env::var("EVALRUN_TEST_IMAGE").unwrap_or_else(|_| "debian:bookworm".to_owned())
}

/// Whether a case is not for a back-end; says so.
fn is_listed(backend: &str, cannot: &[Cannot], case: &str) -> bool {
    let listed = cannot.iter().find(|(name, _)| *name == case);
    if let Some((_, why)) = listed {
        eprintln!("not for the {backend} back-end: {why}");
    }
    listed.is_some()
}

impl Bench {
    /// The native back-end with this machine's own programs as the image. `None` where this machine
    /// cannot have it, or the case is not for it.
    pub(crate) async fn native(case: &str) -> Option<Self> {
        Self::native_without(case, Vec::new()).await
    }

    /// The same, which makes sandboxes as on the oldest kernel that it is for.
    pub(crate) async fn native_older(case: &str) -> Option<Self> {
        Self::native_without(case, Way::ALL.to_vec()).await
    }

    async fn native_without(case: &str, avoid: Vec<Way>) -> Option<Self> {
        if is_listed("native", NATIVE_CANNOT, case) {
            return None;
        }
        let home = tempfile::tempdir_in(scratch()).unwrap();
        let store = Store::open(home.path()).unwrap();
        let options = NativeOptions { helper: Some(helper()), avoid, ..NativeOptions::default() };
        let backend = match NativeBackend::new(store, options) {
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
        Some(Self { backend, image, home, has_cgroups, has_owners, has_daemon: false })
    }

    /// The fake back-end, with a script that knows a little shell.
    pub(crate) async fn fake(case: &str) -> Option<Self> {
        if is_listed("fake", FAKE_CANNOT, case) {
            return None;
        }
        let home = tempfile::tempdir_in(scratch()).unwrap();
        let backend = FakeBackend::new(scripted::answer);
        let root = Root::Directory(home.path().to_owned());
        let image = backend.import(layer("root"), root, &host::config()).await.unwrap();
        Some(Self { backend, image, home, has_cgroups: true, has_owners: false, has_daemon: false })
    }

    /// The Docker back-end of the daemon of this machine, with a Debian image.
    pub(crate) async fn docker(case: &str) -> Option<Self> {
        if is_listed("docker", DOCKER_CANNOT, case) {
            return None;
        }
        let options = DockerOptions {
            place: DockerPlace::of_environment(),
            helper: Some(helper()),
            ..DockerOptions::default()
        };
        let missing = match DockerBackend::connect(options).await {
            Ok(backend) => match backend.named(&docker_image()).await.unwrap() {
                Some(image) => {
                    let home = tempfile::tempdir_in(scratch()).unwrap();
                    let (image, has_cgroups, has_owners) = (image.key, true, true);
                    let has_daemon = true;
                    return Some(Self {
                        backend,
                        image,
                        home,
                        has_cgroups,
                        has_owners,
                        has_daemon,
                    });
                }
                None => format!("the image {}", docker_image()),
            },
            Err(error) => error.to_string(),
        };
        assert!(std::env::var_os("CI").is_none(), "needs a Docker daemon with Debian: {missing}");
        eprintln!("skipped, needs a Docker daemon with a Debian image: {missing}");
        None
    }

    pub(crate) async fn sandbox(&self) -> Arc<dyn Sandbox> {
        self.sandbox_with(&SandboxOptions::default()).await
    }

    pub(crate) async fn sandbox_with(&self, options: &SandboxOptions) -> Arc<dyn Sandbox> {
        self.backend.create(&self.image, &self.marked(options.clone())).await.unwrap()
    }

    /// With a label that says that the sandbox is this test's.
    pub(crate) fn marked(&self, mut options: SandboxOptions) -> SandboxOptions {
        options.labels.insert("test".to_owned(), self.mark());
        options
    }

    fn mark(&self) -> String {
        self.home.path().display().to_string()
    }

    pub(crate) async fn limited(&self, change: impl FnOnce(&mut Limits)) -> Arc<dyn Sandbox> {
        let mut options = SandboxOptions::default();
        change(&mut options.limits);
        self.sandbox_with(&options).await
    }

    /// Nothing of this test's is left. What other processes left on this machine is not its affair.
    pub(crate) fn no_leaks(&self) {
        let (home, own) = (self.home.path(), format!("evalrun-{}-", std::process::id()));
        let ours = |leak: &String| leak.contains(&own) || leak.contains(home.to_str().unwrap());
        let found: Vec<String> = leaks(home).into_iter().filter(ours).collect();
        assert_eq!(found, [""; 0]);
        let directories = fs_err::read_dir(home.join("sandboxes-v1"));
        assert_eq!(directories.map_or(0, Iterator::count), 0);
        if self.has_daemon {
            let label = format!("label=evalrun.test={}", self.mark());
            let ours = ["ps", "--all", "--quiet", "--filter", &label];
            let listed = std::process::Command::new("docker").args(ours).output().unwrap();
            assert!(listed.status.success(), "{listed:?}");
            assert_eq!(String::from_utf8_lossy(&listed.stdout), "");
        }
    }
}

/// The program whose copies run in sandboxes.
pub(crate) fn helper() -> PathBuf {
    std::env::var_os("EVALRUN_HELPER")
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_evalrun-zygote")), PathBuf::from)
}

/// A folder on a file system that takes overlays.
pub(crate) fn scratch() -> PathBuf {
    std::env::var_os("EVALRUN_TEST_HOME").map_or_else(std::env::temp_dir, PathBuf::from)
}

/// A time that a slow machine gets more of: `EVALRUN_TIME_FACTOR` times as much.
pub(crate) fn patient(time: Duration) -> Duration {
    let factor = std::env::var("EVALRUN_TIME_FACTOR");
    time * factor.map_or(1, |factor| factor.parse().expect("EVALRUN_TIME_FACTOR is a number"))
}

/// Runs a command; gives its outcome and what it printed.
pub(crate) async fn run(sandbox: &dyn Sandbox, mut command: Command) -> (Outcome, String) {
    command.stdout = Output::Pipe;
    command.stderr = Output::Stdout;
    let mut process = sandbox.exec(&command).await.unwrap();
    let mut text = Vec::new();
    process.stdout.take().unwrap().read_to_end(&mut text).await.unwrap();
    (process.wait().await.unwrap(), String::from_utf8_lossy(&text).into_owned())
}

pub(crate) async fn shell(sandbox: &dyn Sandbox, line: &str) -> (Outcome, String) {
    run(sandbox, Command::new(["/bin/sh", "-c", line])).await
}

/// What a shell line prints, which must succeed.
pub(crate) async fn printed(sandbox: &dyn Sandbox, line: &str) -> String {
    let (outcome, text) = shell(sandbox, line).await;
    assert!(outcome.success(), "`{line}`: {outcome:?}: {text}");
    text.trim_end().to_owned()
}

/// Where [`bring_actor`] puts the actor.
const ACTOR: &str = "/tmp/actor";

/// Puts the program that does what a shell cannot (see `actor.c`) into a sandbox.
pub(crate) async fn bring_actor(sandbox: &dyn Sandbox) {
    let program = compiled::compile("actor", include_str!("actor.c"));
    let bytes = Bytes::from(fs_err::read(program).unwrap());
    sandbox.copy_in(ACTOR, Content::File { bytes, mode: 0o755 }).await.unwrap();
}

/// A command for the actor.
pub(crate) fn actor<S: Into<String>>(words: impl IntoIterator<Item = S>) -> Command {
    let words = words.into_iter().map(Into::into);
    Command::new(std::iter::once(ACTOR.to_owned()).chain(words))
}

pub(crate) async fn write(sandbox: &dyn Sandbox, path: &str, text: &str, mode: u32) {
    let bytes = Bytes::copy_from_slice(text.as_bytes());
    sandbox.copy_in(path, Content::File { bytes, mode }).await.unwrap();
}

pub(crate) async fn read(sandbox: &dyn Sandbox, path: &str) -> Result<(Bytes, u32), SandboxError> {
    match sandbox.copy_out(path, 1 << 20).await? {
        Content::File { bytes, mode } => Ok((bytes, mode)),
        Content::Tar(_) => panic!("{path} came as a tree"),
    }
}

/// A command whose output goes to a file, and that file.
pub(crate) fn logged(bench: &Bench, line: &str) -> (Command, std::fs::File) {
    let file = tempfile::tempfile_in(bench.home.path()).unwrap();
    let mut command = Command::new(["/bin/sh", "-c", line]);
    command.stdout = Output::File(file.try_clone().unwrap());
    (command, file)
}

/// All that stands in a file, wherever it is read from.
pub(crate) fn contents(mut file: std::fs::File) -> String {
    use std::io::{Read as _, Seek as _};
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    text
}

pub(crate) fn layer(text: &str) -> LayerKey {
    LayerKey(Digest::of(text))
}

/// The command lines of all processes that a sandbox shows.
pub(crate) async fn command_lines(sandbox: &dyn Sandbox) -> String {
    printed(sandbox, "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '; true").await
}
