//! Images built for real in native sandboxes, from this machine's own programs and without a network.

use evalrun::image::{ImageError, ImageOptions, Images, LayerKind};
use evalrun::layers::{Store, TagOrigin};
use evalrun::model::{
    EnvSpec, EvalType, Instance, InstanceId, PythonSpec, RepoSource, RootSource, Status,
};
use evalrun::sandbox::native::{NativeBackend, NativeOptions};
use evalrun::sandbox::{Backend, Command, Network, Output, SandboxOptions};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::AsyncReadExt as _;

struct Bench {
    home: tempfile::TempDir,
    store: Store,
    backend: Arc<NativeBackend>,
}

impl Bench {
    fn new() -> Option<Self> {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(home.path()).unwrap();
        let helper = Some(PathBuf::from(env!("CARGO_BIN_EXE_evalrun")));
        match NativeBackend::new(
            store.clone(),
            NativeOptions { helper, ..NativeOptions::default() },
        ) {
            Ok(backend) => Some(Self { home, store, backend }),
            Err(error) => {
                assert!(std::env::var_os("CI").is_none(), "needs user namespaces: {error}");
                eprintln!("skipped, needs user namespaces: {error}");
                None
            }
        }
    }

    fn images(&self) -> Images {
        let mut options = ImageOptions::new(self.home.path(), &self.home.path().join("logs"));
        options.network = Network::None;
        options.repos = Some(self.home.path().join("clones"));
        options.repos_url = format!("file://{}/nowhere", self.home.path().display());
        Images::new(self.backend.clone(), self.store.clone(), options)
    }

    /// A clone with three commits; the middle one is returned.
    fn clone(&self) -> String {
        let clone = self.home.path().join("clones/o__n");
        fs_err::create_dir_all(&clone).unwrap();
        let script = "git init -q; mkdir src; git config user.name a; git config user.email a@a
            for n in 1 2 3; do
                echo $n >src/number; echo '*.o' >.gitignore; git add -A; git commit -qm \"commit $n\"; git tag v$n
            done
            git rev-parse HEAD~1";
        let output = std::process::Command::new("bash")
            .args(["-ec", script])
            .current_dir(&clone)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    async fn bash(&self, images: &Images, instance: &Instance, script: &str) -> String {
        let ready = images.ensure(instance).await.unwrap();
        let sandbox = self.backend.create(&ready.key, &SandboxOptions::default()).await.unwrap();
        let command = Command {
            stdout: Output::Pipe,
            stderr: Output::Stdout,
            ..Command::new(["bash", "-c", script])
        };
        let mut process = sandbox.exec(&command).await.unwrap();
        let mut text = String::new();
        process.stdout.take().unwrap().read_to_string(&mut text).await.unwrap();
        let outcome = process.wait().await.unwrap();
        assert_eq!(outcome.status, Status::Code(0), "{text}");
        sandbox.terminate().await.unwrap();
        text
    }

    async fn close(self) {
        self.backend.close().await;
        assert_eq!(evalrun::image::sweep(self.home.path()).unwrap(), 0);
    }
}

fn instance(id: &str, base: &str, change: impl FnOnce(&mut EnvSpec)) -> Instance {
    let mut spec = EnvSpec {
        origin: "a test".to_owned(),
        base: RootSource::Host,
        base_packages: Vec::new(),
        tools: vec!["git".to_owned()],
        python: None,
        repo: RepoSource::Git,
        pre_install: Vec::new(),
        install: vec!["echo changed >>src/number".to_owned(), "touch built a.o".to_owned()],
        env: BTreeMap::from([("COLOUR".to_owned(), "blue".to_owned())]),
        test_command: "true".to_owned(),
        eval_commands: Vec::new(),
        log_parser: "parse_log_pytest".to_owned(),
    };
    change(&mut spec);
    Instance {
        id: InstanceId::new(id).unwrap(),
        repo: "o/n".to_owned(),
        base_commit: Some(base.to_owned()),
        version: "1".to_owned(),
        environment_setup_commit: None,
        gold_patch: None,
        test_patch: String::new(),
        difficulty: None,
        fail_to_pass: Vec::new(),
        pass_to_pass: Vec::new(),
        work_dir: "/testbed".to_owned(),
        image_name: format!("example/{id}:latest"),
        env: Some(Arc::new(spec)),
        eval_script: String::new(),
        log_parser: "parse_log_pytest".to_owned(),
        eval_type: EvalType::PassAndFail,
        dockerfile: None,
        image_assets: Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_work_tree_has_its_install_and_no_future() {
    let Some(bench) = Bench::new() else { return };
    let base = bench.clone();
    let task = instance("o__n-1", &base, |_| {});
    let images = bench.images();
    let text = bench
        .bash(
            &images,
            &task,
            "set -e; pwd; echo $COLOUR; cat src/number; git status --short; git tag
             git log --all --topo-order --format=%s; git cat-file --batch-all-objects --batch-check | wc -l
             git checkout -- .; git clean -fdq; ls; cat src/number; git rev-parse HEAD^",
        )
        .await;
    // The base, the commit below and the one on top: a commit, two trees and a file each, and one
    // more file that they share.
    let wanted = format!(
        "/testbed\nblue\n2\nchanged\nv1\nv2\nEnvironment set-up\ncommit 2\ncommit 1\n{}\n\
         a.o\nbuilt\nsrc\n2\nchanged\n{base}\n",
        3 * 4 + 1
    );
    assert_eq!(text, wanted);

    let again = bench.images().ensure(&task).await.unwrap();
    assert_eq!(again.built, 0);
    let named = bench.store.resolve("example/o__n-1:latest");
    assert_eq!(named, Some((again.key, TagOrigin::Built)));
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_share_the_environment() {
    let Some(bench) = Bench::new() else { return };
    if !has_venv() {
        eprintln!("skipped: this machine's python3 cannot make a virtual environment with pip");
        return;
    }
    let base = bench.clone();
    let python = |spec: &mut EnvSpec| spec.python = Some(PythonSpec::default());
    let images = bench.images();
    let plan = images.plan(&instance("o__n-1", &base, python)).unwrap();
    let kinds: Vec<_> = plan.layers.iter().map(|layer| layer.kind).collect();
    use LayerKind::{Base, Env, Root};
    assert_eq!((kinds, plan.missing()), (vec![Root, Base, Env, LayerKind::Instance], 4));
    // Without a network the environment's own tools cannot be brought up to date: the step fails,
    // and the error says where.
    let error = images.ensure(&instance("o__n-1", &base, python)).await.unwrap_err();
    let ImageError::Step { step, log, tail, .. } = &error else { panic!("{error}") };
    assert_eq!(step, "make the python environment");
    assert!(tail.contains("pip"), "{tail}");
    assert!(Path::new(log).exists());
    let other = images.ensure(&instance("o__n-2", &base, python)).await.unwrap_err();
    assert_eq!(other.to_string(), error.to_string(), "the shared failure is told, not repeated");
    assert_eq!(images.plan(&instance("o__n-1", &base, python)).unwrap().missing(), 2);
    bench.close().await;
}

fn has_venv() -> bool {
    let output =
        std::process::Command::new("/usr/bin/python3").args(["-c", "import ensurepip"]).output();
    output.is_ok_and(|output| output.status.success())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_tool_and_a_missing_commit_are_named() {
    let Some(bench) = Bench::new() else { return };
    let base = bench.clone();
    let images = bench.images();
    let tools = |spec: &mut EnvSpec| spec.tools.push("no-such-tool".to_owned());
    let error = images.ensure(&instance("o__n-1", &base, tools)).await.unwrap_err();
    assert_eq!(error.reason(), "image_build_failed");
    assert!(error.to_string().contains("no-such-tool"), "{error}");
    let missing = "0123456789012345678901234567890123456789";
    let error = images.ensure(&instance("o__n-2", missing, |_| {})).await.unwrap_err();
    assert_eq!(error.reason(), "repo_unavailable");
    assert!(error.to_string().contains(missing), "{error}");
    bench.close().await;
}
