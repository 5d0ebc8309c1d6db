//! Dockerfiles, built natively and by Docker: the same files, the same config. A folder below
//! `tests/fixtures/dockerfiles` is a case; `docker.Dockerfile` says the same in the words of older
//! Dockers. Needs root, a Docker daemon with BuildKit and a static busybox; where they are not there
//! the test says so and passes, with `CI=true` it fails.

use evalrun::image::{DockerfileBuild, ImageError, ImageOptions, Images};
use evalrun::layers::{
    ImageConfig, ImageKey, LayerKey, Store, TagOrigin, export_image, import_archive, import_tar,
};
use evalrun::model::Digest;
use evalrun::sandbox::Backend as _;
use evalrun::sandbox::native::{NativeBackend, NativeOptions};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/dockerfiles");
const TRIGGERS: [&str; 2] = ["COPY file /triggered", "RUN echo trigger > /order"];

struct Bench {
    home: tempfile::TempDir,
    store: Store,
    backend: Arc<NativeBackend>,
}

impl Bench {
    fn new() -> Option<Self> {
        let missing = |what: &str| {
            assert!(std::env::var_os("CI").is_none(), "needs {what}");
            eprintln!("skipped, needs {what}");
        };
        let home = tempfile::tempdir_in("/var/tmp").unwrap();
        let store = Store::open(home.path()).unwrap();
        let helper = Some(PathBuf::from(env!("CARGO_BIN_EXE_evalrun")));
        let Ok(backend) =
            NativeBackend::new(store.clone(), NativeOptions { helper, ..Default::default() })
        else {
            missing("user namespaces");
            return None;
        };
        let Some(root) = base_root() else {
            missing("a static busybox");
            return None;
        };
        let bench = Self { home, store, backend };
        bench.add("evalrun-test-base", &root, &ImageConfig::default());
        let on_build =
            ImageConfig { on_build: TRIGGERS.map(str::to_owned).to_vec(), ..Default::default() };
        bench.add("evalrun-test-onbuild", &root, &on_build);
        Some(bench)
    }

    fn add(&self, name: &str, root: &[u8], config: &ImageConfig) {
        let mut config = config.clone();
        config.env.insert("PATH".to_owned(), "/bin".to_owned());
        let image = import_tar(&self.store, LayerKey(Digest::of(name)), &config, root).unwrap();
        self.store.tag(name, &image, TagOrigin::Imported).unwrap();
    }

    fn images(&self) -> Images {
        let options = ImageOptions::new(self.home.path(), &self.home.path().join("logs"));
        Images::new(self.backend.clone(), self.store.clone(), options)
    }
}

fn wanted(case: &Path) -> DockerfileBuild {
    let name = case.file_name().unwrap().to_string_lossy().into_owned();
    DockerfileBuild {
        file: case.join("Dockerfile"),
        context: case.to_owned(),
        args: BTreeMap::from([("GIVEN".to_owned(), "yes".to_owned())]),
        target: (name == "target").then(|| "wanted".to_owned()),
        secrets: BTreeMap::from([("token".to_owned(), case.join("token.secret"))]),
        name,
    }
}

/// A root file system of busybox and a user, as a tar.
fn base_root() -> Option<Vec<u8>> {
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].map(Path::new);
    let busybox = busybox.into_iter().find(|path| path.exists())?;
    let mut tar = tar::Builder::new(Vec::new());
    let mut entry = |name: &str, mode: u32, text: Option<&str>| {
        let mut header = tar::Header::new_gnu();
        header.set_mode(mode);
        header.set_size(text.map_or(0, |text| text.len() as u64));
        let kind = text.map_or(tar::EntryType::Directory, |_| tar::EntryType::Regular);
        header.set_entry_type(kind);
        tar.append_data(&mut header, name, text.unwrap_or_default().as_bytes()).unwrap();
    };
    for name in ["bin", "etc", "root", "dev", "proc", "sys", "run", "var", "home"] {
        entry(name, 0o755, None);
    }
    entry("tmp", 0o1777, None);
    entry(
        "etc/passwd",
        0o644,
        Some("root:x:0:0:root:/root:/bin/sh\nann:x:1000:1001::/home/ann:/bin/sh\n"),
    );
    entry("etc/group", 0o644, Some("root:x:0:\nann:x:1001:\nstaff:x:50:\n"));
    tar.append_path_with_name(busybox, "bin/busybox").unwrap();
    let applets =
        "sh cat echo ls ln rm mkdir chmod chown pwd env grep sort id wc test rmdir false true";
    for name in applets.split(' ') {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        tar.append_link(&mut header, format!("bin/{name}"), "busybox").unwrap();
    }
    Some(tar.into_inner().unwrap())
}

/// Docker's client; a new one without its build plug-in cannot build.
struct Docker(&'static str);

impl Docker {
    fn find(root: &[u8]) -> Option<Self> {
        let builds = |program: &&&str| {
            let asked = Command::new(program)
                .args(["build", "--help"])
                .env("DOCKER_BUILDKIT", "1")
                .output();
            asked.is_ok_and(|asked| asked.status.success())
                && Command::new(program).arg("info").output().is_ok_and(|info| {
                    info.status.success()
                        && !String::from_utf8_lossy(&info.stderr).contains("ERROR")
                })
        };
        let program = ["docker", "/usr/bin/docker"].iter().rev().find(builds)?;
        let docker = Self(program);
        let mut import = Command::new(program)
            .args(["import", "--change", "ENV PATH=/bin", "-", "evalrun-test-base"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .ok()?;
        std::io::Write::write_all(&mut import.stdin.take()?, root).ok()?;
        import.wait().ok()?.success().then_some(())?;
        let triggers = TRIGGERS.map(|trigger| format!("ONBUILD {trigger}\n")).concat();
        docker.build(&format!("FROM evalrun-test-base\n{triggers}"), "evalrun-test-onbuild");
        Some(docker)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.0);
        command.env("DOCKER_BUILDKIT", "1").env("BUILDKIT_PROGRESS", "plain");
        command
    }

    /// A Dockerfile without a context.
    fn build(&self, text: &str, name: &str) {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join("Dockerfile"), text).unwrap();
        let output =
            self.command().args(["build", "-t", name]).arg(folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn build_case(&self, wanted: &DockerfileBuild, name: &str) {
        let other = wanted.context.join("docker.Dockerfile");
        let file = if other.exists() { other } else { wanted.file.clone() };
        let mut command = self.command();
        command.args(["build", "--no-cache", "-q", "-t", name, "-f"]).arg(file);
        for (name, value) in &wanted.args {
            command.arg(format!("--build-arg={name}={value}"));
        }
        for (id, path) in &wanted.secrets {
            if path.exists() {
                command.arg(format!("--secret=id={id},src={}", path.display()));
            }
        }
        if let Some(target) = &wanted.target {
            command.args(["--target", target]);
        }
        let output = command.arg(&wanted.context).output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn image(&self, name: &str, store: &Store, scratch: &Path) -> ImageKey {
        let archive = scratch.join("saved.tar");
        let saved = self.command().args(["save", "-o"]).arg(&archive).arg(name).output().unwrap();
        assert!(saved.status.success(), "{}", String::from_utf8_lossy(&saved.stderr));
        let key = LayerKey(Digest::of(format!("docker {name} {}", scratch.display())));
        import_archive(store, key, &ImageConfig::default(), &archive).unwrap()
    }
}

/// Every entry of an image, without times and without the folder of secrets' places.
fn listing(store: &Store, image: &ImageKey) -> BTreeMap<String, String> {
    let mut tar = Vec::new();
    export_image(store, image, &mut tar, false).unwrap();
    let mut archive = tar::Archive::new(&tar[..]);
    let mut listing = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_string_lossy().trim_matches(['/', '.']).to_owned();
        let header = entry.header();
        let about = format!(
            "{:?} {:o} {}:{} {}",
            header.entry_type(),
            header.mode().unwrap() & 0o7777,
            header.uid().unwrap(),
            header.gid().unwrap(),
            entry.link_name().unwrap().map(|link| link.display().to_string()).unwrap_or_default()
        );
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        let content = if bytes.len() < 200 {
            String::from_utf8_lossy(&bytes).into_owned()
        } else {
            Digest::of(&bytes).to_string()
        };
        listing.insert(path, format!("{about} {content:?}"));
    }
    listing.remove("");
    listing
}

#[tokio::test(flavor = "multi_thread")]
async fn dockerfiles_give_what_docker_gives() {
    let Some(bench) = Bench::new() else { return };
    let docker = base_root().and_then(|root| Docker::find(&root));
    let root = rustix::process::geteuid().is_root();
    let Some(docker) = docker.filter(|_| root) else {
        assert!(std::env::var_os("CI").is_none() || !root, "needs a Docker daemon with BuildKit");
        eprintln!("skipped, needs root and a Docker daemon with BuildKit");
        bench.backend.close().await;
        return;
    };
    let mut wrong = Vec::new();
    let mut cases: Vec<PathBuf> =
        fs_err::read_dir(CASES).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() >= 20);
    let filter = std::env::var("EVALRUN_DOCKERFILE").unwrap_or_default();
    for case in cases.iter().filter(|case| case.to_string_lossy().contains(&filter)) {
        let wanted = wanted(case);
        let name = format!("evalrun-test-case-{}", wanted.name);
        let built = match bench.images().build_dockerfile(&wanted).await {
            Ok(built) => built,
            Err(error) => {
                wrong.push(format!("{}: {error}", wanted.name));
                continue;
            }
        };
        let again = bench.images().build_dockerfile(&wanted).await.unwrap();
        if (again.built, again.key) != (0, built.key) {
            wrong.push(format!("{}: built again, {} layers", wanted.name, again.built));
        }
        docker.build_case(&wanted, &name);
        let scratch = tempfile::tempdir_in(bench.home.path()).unwrap();
        let theirs = docker.image(&name, &bench.store, scratch.path());
        let (ours_list, theirs_list) =
            (listing(&bench.store, &built.key), listing(&bench.store, &theirs));
        let paths: BTreeSet<_> = ours_list.keys().chain(theirs_list.keys()).collect();
        for path in paths {
            let (ours, theirs) = (ours_list.get(path), theirs_list.get(path));
            if ours != theirs {
                wrong.push(format!(
                    "{} /{path}\n   ours: {ours:?}\n theirs: {theirs:?}",
                    wanted.name
                ));
            }
        }
        let config = |key| bench.store.image(key).unwrap().unwrap().config;
        let (ours, theirs) = (config(&built.key), config(&theirs));
        if ours != theirs {
            wrong.push(format!("{} config\n   ours: {ours:?}\n theirs: {theirs:?}", wanted.name));
        }
        let _ = docker.command().args(["rmi", "-f", &name]).output();
    }
    bench.backend.close().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn write(folder: &Path, text: &str) -> DockerfileBuild {
    fs_err::write(folder.join("Dockerfile"), text).unwrap();
    wanted(folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_line_is_built_from_there() {
    let Some(bench) = Bench::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let text = |second: &str| {
        format!(
            "FROM evalrun-test-base\nRUN echo 1 > /1\nRUN echo {second} > /2\nRUN echo 3 > /3\n"
        )
    };
    let build = async |text: &str| {
        let wanted = write(folder.path(), text);
        bench.images().build_dockerfile(&wanted).await.unwrap().built
    };
    assert_eq!(build(&text("2")).await, 3);
    assert_eq!(build(&text("2")).await, 0);
    assert_eq!(build(&text("two")).await, 2);
    assert_eq!(build(&format!("# comment\n{}LABEL a=b\n", text("two"))).await, 0);
    // What a copy brings counts, not when it was written.
    let copy = "FROM evalrun-test-base\nCOPY file /file\n";
    fs_err::write(folder.path().join("file"), "a").unwrap();
    assert_eq!(build(copy).await, 1);
    fs_err::write(folder.path().join("file"), "a").unwrap();
    assert_eq!(build(copy).await, 0);
    fs_err::write(folder.path().join("file"), "b").unwrap();
    assert_eq!(build(copy).await, 1);
    bench.backend.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_said_with_its_line() {
    let Some(bench) = Bench::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    for (text, line, part) in [
        ("FROM nowhere/at:all", 1, "not in the store"),
        ("FROM evalrun-test-base\n\nCOPY nothing /x", 3, "`nothing` is not there"),
        ("FROM evalrun-test-base\nRUN --mount=type=odd x", 2, "odd"),
        ("FROM evalrun-test-base\nCOPY --from=missing a b", 2, "missing"),
        ("FROM --platform=plan9/mips evalrun-test-base", 1, "plan9"),
        ("FROM evalrun-test-base\nRUN --mount=type=secret,id=s,required true", 2, "--secret"),
    ] {
        let wanted = write(folder.path(), text);
        match bench.images().build_dockerfile(&wanted).await {
            Err(ImageError::Dockerfile { line: found, why, .. }) => {
                assert!(found == line && why.contains(part), "{text}: {found} {why}");
            }
            other => panic!("{text}: {other:?}"),
        }
    }
    let wanted = write(folder.path(), "FROM evalrun-test-base\nRUN echo to the log; exit 3");
    let error = bench.images().build_dockerfile(&wanted).await.unwrap_err().to_string();
    assert!(error.contains("status 3") && error.contains("to the log"), "{error}");
    bench.backend.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_stay_out_of_layers() {
    let Some(bench) = Bench::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    fs_err::write(folder.path().join("token.secret"), "very-secret-indeed").unwrap();
    let text = "FROM evalrun-test-base\n\
        RUN --mount=type=secret,id=token --mount=type=secret,id=token,env=T \
        test \"$(cat /run/secrets/token)\" = \"$T\"\n";
    let wanted = write(folder.path(), text);
    let built = bench.images().build_dockerfile(&wanted).await.unwrap();
    let listing = listing(&bench.store, &built.key);
    assert!(!listing.keys().any(|path| path.starts_with("run/")), "{listing:?}");
    for entry in walkdir::WalkDir::new(bench.home.path()) {
        let entry = entry.unwrap();
        if entry.file_type().is_file() {
            let bytes = fs_err::read(entry.path()).unwrap();
            let found = memchr::memmem::find(&bytes, b"very-secret-indeed");
            assert!(found.is_none(), "{}", entry.path().display());
        }
    }
    bench.backend.close().await;
}
