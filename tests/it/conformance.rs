//! One suite for every back-end: what a sandbox must do, whoever makes it.

use evalrun::layers::{ImageKey, Store, host};
use evalrun::sandbox::native::{NativeBackend, NativeOptions};
use evalrun::sandbox::{Backend, Command, Output, Root, Sandbox, SandboxOptions};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::io::AsyncReadExt as _;

/// A back-end to try, and an image with a shell, coreutils and Python.
pub(crate) struct Bench {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) image: ImageKey,
    pub(crate) home: tempfile::TempDir,
}

impl Bench {
    pub(crate) async fn native() -> Self {
        let home = tempfile::tempdir_in(scratch()).unwrap();
        let store = Store::open(home.path()).unwrap();
        let helper = Some(PathBuf::from(env!("CARGO_BIN_EXE_evalrun")));
        let backend: Arc<dyn Backend> =
            NativeBackend::new(store, NativeOptions { helper }).unwrap();
        let key = host::host_key(&[]);
        let image = backend.import(key, Root::Host, &host::config()).await.unwrap();
        Self { backend, image, home }
    }

    async fn sandbox(&self) -> Arc<dyn Sandbox> {
        self.backend.create(&self.image, &SandboxOptions::default()).await.unwrap()
    }
}

/// A folder on a file system that takes overlays; a memory file system would do too.
fn scratch() -> PathBuf {
    std::env::var_os("EVALRUN_TEST_HOME").map_or_else(std::env::temp_dir, PathBuf::from)
}

/// Runs a shell line; gives its status and what it printed.
async fn shell(sandbox: &dyn Sandbox, line: &str) -> (evalrun::model::Outcome, String) {
    let mut command = Command::new(["/bin/sh", "-c", line]);
    command.stdout = Output::Pipe;
    command.stderr = Output::Stdout;
    let mut process = sandbox.exec(&command).await.unwrap();
    let mut text = Vec::new();
    process.stdout.take().unwrap().read_to_end(&mut text).await.unwrap();
    (process.wait().await.unwrap(), String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn smoke() {
    let bench = Bench::native().await;
    let sandbox = bench.sandbox().await;
    let started = std::time::Instant::now();
    let (outcome, text) = shell(&*sandbox, "id; ls -la / /dev /sys; cat /proc/mounts; cat /proc/self/status; ps aux; cat /proc/self/cgroup; ip a; touch /x; ls -la /x; python3 -c 'print(1)'; which pip").await;
    eprintln!("{text} {outcome:?} {:?}", started.elapsed());
    sandbox.terminate().await.unwrap();
    bench.backend.close().await;
}
