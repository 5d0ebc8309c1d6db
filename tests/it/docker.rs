//! The Docker back-end against a real daemon. Needs one, and a static busybox; where they are not
//! there the tests say so and pass, with `CI=true` they fail.

use evalrun::layers::{ImageConfig, ImageKey, LayerKey};
use evalrun::model::{Digest, KilledBy, Outcome, Status};
use evalrun::sandbox::docker::{DockerBackend, DockerOptions, DockerPlace};
use evalrun::sandbox::{
    Backend, Command, Content, Output, Root, Sandbox, SandboxError, SandboxOptions, Stdin,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;

struct Bench {
    backend: Arc<DockerBackend>,
    image: ImageKey,
}

impl Bench {
    async fn new(name: &str) -> Option<Self> {
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].map(Path::new);
        let busybox = busybox.into_iter().find(|path| path.exists());
        let options = DockerOptions {
            place: DockerPlace::of_environment(),
            helper: Some(crate::conformance::bench::helper()),
            ..DockerOptions::default()
        };
        let backend = DockerBackend::connect(options).await;
        let (Some(busybox), Ok(backend)) = (busybox, backend) else {
            assert!(std::env::var_os("CI").is_none(), "needs a Docker daemon and busybox-static");
            eprintln!("skipped, needs a Docker daemon and a static busybox");
            return None;
        };
        let config = ImageConfig {
            env: [("COST".to_owned(), "5 $PATH \"".to_owned())].into(),
            workdir: "/tmp".to_owned(),
            ..ImageConfig::default()
        };
        let root = Root::Tar(Box::new(std::io::Cursor::new(root_of(busybox))));
        let key = LayerKey(Digest::of(format!("test {name} {}", std::process::id())));
        let image = backend.import(key, root, &config).await.unwrap();
        Some(Self { backend, image })
    }

    async fn sandbox(&self) -> Arc<dyn Sandbox> {
        self.backend.create(&self.image, &SandboxOptions::default()).await.unwrap()
    }

    async fn end(self) {
        self.backend.close().await;
        self.backend.remove(&self.image).await.unwrap();
        assert!(!self.backend.contains(&self.image).await.unwrap());
    }
}

/// A root file system of nothing but busybox.
fn root_of(busybox: &Path) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for folder in ["bin", "tmp", "etc"] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_size(0);
        header.set_mode(0o777);
        tar.append_data(&mut header, folder, std::io::empty()).unwrap();
    }
    tar.append_path_with_name(busybox, "bin/busybox").unwrap();
    for name in ["sh", "sleep", "cat", "echo", "ls", "id", "pwd", "wc", "kill", "yes"] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        tar.append_link(&mut header, PathBuf::from("bin").join(name), "busybox").unwrap();
    }
    tar.into_inner().unwrap()
}

async fn run(sandbox: &dyn Sandbox, mut command: Command) -> (Outcome, String) {
    command.stdout = Output::Pipe;
    command.stderr = Output::Stdout;
    let mut process = sandbox.exec(&command).await.unwrap();
    let mut text = String::new();
    process.stdout.take().unwrap().read_to_string(&mut text).await.unwrap();
    (process.wait().await.unwrap(), text)
}

async fn shell(sandbox: &dyn Sandbox, line: &str) -> (Outcome, String) {
    run(sandbox, Command::new(["sh", "-c", line])).await
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_streams_and_the_image_s_settings() {
    let Some(bench) = Bench::new("commands").await else { return };
    let sandbox = bench.sandbox().await;
    let (outcome, text) = shell(&*sandbox, "echo \"$COST\"; pwd; echo err >&2; exit 3").await;
    assert_eq!((outcome.status, &*text), (Status::Code(3), "5 $PATH \"\n/tmp\nerr\n"));
    let mut cat = Command::new(["cat"]);
    cat.stdin = Stdin::Bytes("in".into());
    assert_eq!(run(&*sandbox, cat).await.1, "in");
    let mut elsewhere = Command::new(["sh", "-c", "pwd; echo $A; id -u"]);
    elsewhere.workdir = Some("/etc".to_owned());
    elsewhere.env.insert("A".to_owned(), "b".to_owned());
    elsewhere.user = Some("7".to_owned());
    assert_eq!(run(&*sandbox, elsewhere).await.1, "/etc\nb\n7\n");
    sandbox.terminate().await.unwrap();
    assert!(sandbox.exec(&Command::new(["sh"])).await.is_err(), "it has ended");
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn time_outs_and_floods_end_a_command_and_spare_the_others() {
    let Some(bench) = Bench::new("limits").await else { return };
    let sandbox = bench.sandbox().await;
    let mut endless = Command::new(["sh", "-c", "sleep 77 & sleep 78"]);
    endless.timeout = Some(Duration::from_millis(500));
    let (ended, spared) =
        tokio::join!(run(&*sandbox, endless), shell(&*sandbox, "sleep 2; echo on"));
    assert_eq!(ended.0.status, Status::Killed(KilledBy::TimedOut));
    assert_eq!(spared.1, "on\n");
    let (_, left) = shell(&*sandbox, "cat /proc/[0-9]*/cmdline").await;
    assert!(left.contains("cat"), "{left}");
    assert!(!left.contains("77"), "a grandchild outlived its time: {left}");

    drop(sandbox);

    let mut options = SandboxOptions::default();
    options.limits.output = 1000;
    let sandbox = bench.backend.create(&bench.image, &options).await.unwrap();
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut flood = Command::new(["yes"]);
    flood.stdout = Output::File(log.reopen().unwrap());
    let outcome = sandbox.exec(&flood).await.unwrap().wait().await.unwrap();
    assert_eq!(outcome.status, Status::Killed(KilledBy::OutputLimit));
    assert_eq!(log.as_file().metadata().unwrap().len(), 1000);
    assert!(outcome.usage.output_dropped > 0);
    drop(sandbox);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_snapshots_and_networks() {
    let Some(bench) = Bench::new("files").await else { return };
    let mut options = SandboxOptions::default();
    options.env.insert("OF_THIS_ONE".to_owned(), "yes".to_owned());
    let sandbox = bench.backend.create(&bench.image, &options).await.unwrap();
    assert_eq!(shell(&*sandbox, "echo $OF_THIS_ONE").await.1, "yes\n");
    let content = Content::File { bytes: "text".into(), mode: 0o600 };
    sandbox.copy_in("/new/folder/file", content).await.unwrap();
    let tree = root_of(Path::new("Cargo.toml"));
    sandbox
        .copy_in("/tree/here", Content::Tar(Box::new(std::io::Cursor::new(tree))))
        .await
        .unwrap();
    let Content::File { bytes, mode } = sandbox.copy_out("/new/folder/file", 4).await.unwrap()
    else {
        panic!("a file came as a tree");
    };
    assert_eq!((&*bytes, mode), (&b"text"[..], 0o600));
    let too_large = sandbox.copy_out("/new/folder/file", 3).await;
    assert!(matches!(too_large, Err(SandboxError::TooLarge { .. })));
    let absent = sandbox.copy_out("/no", 3).await;
    assert!(matches!(absent, Err(SandboxError::Path { .. })));
    let (_, devices) = shell(&*sandbox, "cat /proc/net/dev").await;
    assert!(!devices.contains("eth"), "{devices}");

    let config = ImageConfig { workdir: "/new/folder".to_owned(), ..ImageConfig::default() };
    let frozen = sandbox.snapshot(None, &config, true).await.unwrap();
    let child = bench.backend.create(&frozen, &SandboxOptions::default()).await.unwrap();
    assert_eq!(shell(&*child, "cat file; ls /tree/here").await.1, "textbin\netc\ntmp\n");
    assert_eq!(shell(&*child, "echo $OF_THIS_ONE").await.1, "\n", "it was frozen");
    drop((sandbox, child));
    bench.backend.close().await;
    bench.backend.remove(&frozen).await.unwrap();
    bench.end().await;
}
