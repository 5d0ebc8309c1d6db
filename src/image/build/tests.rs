//! Building against a scripted back-end.

use crate::image::plan::tests::{instance, spec};
use crate::image::{ImageError, ImageEvent, ImageOptions, Images};
use crate::layers::{ImageConfig, ImageKey, NewImage, Store, TagOrigin};
use crate::model::{Digest, EnvSpec, Instance, RepoSource, RootSource, Status};
use crate::sandbox::fake::{FakeBackend, Invocation, Reply};
use fs_err as fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

struct Bench {
    home: tempfile::TempDir,
    store: Store,
    backend: Arc<FakeBackend>,
    scripts: Arc<Mutex<Vec<String>>>,
}

impl Bench {
    fn new(answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join("source")).unwrap();
        fs::write(home.path().join("source/file"), "text").unwrap();
        let scripts = Arc::new(Mutex::new(Vec::new()));
        let seen = scripts.clone();
        let backend = FakeBackend::new(move |invocation: &Invocation<'_>| {
            let script = invocation.command.argv.last().unwrap();
            seen.lock().unwrap().push(script.clone());
            Reply { takes: Duration::from_millis(5), ..answer(script) }
        });
        let store = Store::open(home.path()).unwrap();
        Self { home, store, backend, scripts }
    }

    fn options(&self) -> ImageOptions {
        ImageOptions::new(self.home.path(), &self.home.path().join("logs"))
    }

    fn images(&self) -> Images {
        self.images_with(self.options())
    }

    fn images_with(&self, options: ImageOptions) -> Images {
        Images::new(self.backend.clone(), self.store.clone(), options)
    }

    fn instance(&self, id: &str, python: bool) -> Instance {
        let spec = EnvSpec {
            base: RootSource::Host,
            repo: RepoSource::Directory(self.home.path().join("source")),
            ..spec()
        };
        let python = if python { spec.python.clone() } else { None };
        // Tags are for images that the store has.
        let instance = instance(id, EnvSpec { python, ..spec });
        self.know(&instance);
        instance
    }

    /// Puts the layers' records into the store, which a scripted back-end does not fill.
    fn know(&self, instance: &Instance) {
        let mut parent = None;
        for layer in self.images().plan(instance).unwrap().layers {
            let new = self.store.begin().unwrap();
            let image = NewImage {
                key: layer.key,
                parent,
                config: ImageConfig::default(),
                binds: Vec::new(),
            };
            parent = Some(new.commit(image).unwrap());
        }
    }

    fn ran(&self, text: &str) -> usize {
        self.scripts.lock().unwrap().iter().filter(|script| script.contains(text)).count()
    }
}

fn fine(_: &str) -> Reply {
    Reply::code(0, "")
}

#[tokio::test]
async fn what_many_instances_share_is_built_once() {
    let bench = Bench::new(fine);
    let images = bench.images();
    let tasks: Vec<_> = ["a", "b", "c", "a"].map(|id| bench.instance(id, true)).into();
    let ready = futures_util::future::join_all(tasks.iter().map(|task| images.ensure(task))).await;
    let built: usize = ready.iter().map(|ready| ready.as_ref().unwrap().built).sum();
    // A directory is the same for all: the root, the base, the environment and one instance layer.
    assert_eq!(built, 4);
    assert_eq!(bench.ran("-m venv"), 1);
    assert_eq!(bench.ran("pip install -e ."), 2, "once, and once without an index");
    let again = bench.images().ensure(&tasks[0]).await.unwrap();
    assert_eq!(again.built, 0);
    assert_eq!(bench.store.resolve("image-of-a"), Some((again.key, TagOrigin::Built)));
}

#[tokio::test]
async fn a_failure_names_step_and_log_and_is_remembered() {
    let bench = Bench::new(|script| match script.contains("sed -i") {
        true => Reply::code(2, "first\nsed: cannot \x1b[31mread\n"),
        false => Reply::code(0, ""),
    });
    let images = bench.images();
    let task = bench.instance("a", false);
    let error = images.ensure(&task).await.unwrap_err();
    assert_eq!(error.reason(), "image_build_failed");
    let ImageError::Step { step, ended, log, tail, .. } = &error else { panic!("{error}") };
    assert_eq!((step.as_str(), ended.as_str()), ("install", "exited with status 2"));
    assert!(tail.ends_with("first\nsed: cannot [31mread"), "{tail:?}");
    assert!(fs::read_to_string(log).unwrap().contains("== step 2 of 4: install"));
    let calls = bench.scripts.lock().unwrap().len();
    assert!(images.ensure(&task).await.is_err());
    assert_eq!(bench.scripts.lock().unwrap().len(), calls, "it is not tried again");
    assert_eq!(bench.backend.alive(), 0);
}

#[tokio::test]
async fn a_time_out_is_told_as_one() {
    let bench = Bench::new(|_| Reply {
        status: Status::Killed(crate::model::KilledBy::TimedOut),
        ..Reply::code(0, "")
    });
    let error = bench.images().ensure(&bench.instance("a", false)).await.unwrap_err();
    assert!(error.to_string().contains("was ended after 1800 s"), "{error}");
}

#[tokio::test]
async fn force_builds_again_once_a_run() {
    let bench = Bench::new(fine);
    let task = bench.instance("a", true);
    bench.images().ensure(&task).await.unwrap();
    let images = bench.images_with(ImageOptions { force: true, ..bench.options() });
    assert_eq!(images.ensure(&task).await.unwrap().built, 4);
    assert_eq!(images.ensure(&task).await.unwrap().built, 0);
}

#[tokio::test]
async fn an_imported_image_goes_before_the_recipe() {
    let bench = Bench::new(fine);
    let task = bench.instance("a", true);
    let key = bench.images().plan(&task).unwrap().layers[0].key;
    bench.store.tag("image-of-a", &key.into(), TagOrigin::Imported).unwrap();
    let ready = bench.images().ensure(&task).await.unwrap();
    assert_eq!((ready.key, ready.built), (ImageKey::from(key), 0));
    assert_eq!(bench.scripts.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn without_image_and_recipe_the_error_says_what_to_do() {
    let bench = Bench::new(fine);
    let mut task = bench.instance("a", true);
    task.env = None;
    let error = bench.images().ensure(&task).await.unwrap_err();
    assert_eq!(error.reason(), "image_unknown");
    assert!(error.to_string().contains("configs/envs/"), "{error}");
}

#[tokio::test]
async fn the_watcher_is_told_in_order() {
    let bench = Bench::new(fine);
    let events: Arc<Mutex<Vec<String>>> = Arc::default();
    let sink = events.clone();
    let watcher = move |event: &ImageEvent| {
        sink.lock().unwrap().push(match event {
            ImageEvent::Started { log, .. } => format!("log {}", log.exists()),
            ImageEvent::Step { step, .. } => step.clone(),
            ImageEvent::Built { layer, .. } => format!("built {layer}"),
            ImageEvent::Failed { layer } => format!("failed {layer}"),
        });
    };
    let images =
        bench.images_with(ImageOptions { watcher: Some(Arc::new(watcher)), ..bench.options() });
    images.ensure(&bench.instance("a", false)).await.unwrap();
    let events = events.lock().unwrap().clone();
    assert_eq!(events[..3], ["log true", "built host", "log true"]);
    assert_eq!(events.last().unwrap(), "built a");
}

#[test]
fn a_plan_says_what_is_there() {
    let bench = Bench::new(fine);
    let mut task = bench.instance("a", true);
    assert_eq!(bench.images().plan(&task).unwrap().missing(), 0);
    let spec = EnvSpec {
        base_packages: vec!["x".to_owned()],
        base: RootSource::Debian("sid".into()),
        ..spec()
    };
    task.env = Some(Arc::new(spec));
    assert_eq!(bench.images().plan(&task).unwrap().missing(), 4);
    let archive =
        EnvSpec { base: RootSource::Archive(PathBuf::from("/nowhere.tar")), ..self::spec() };
    task.env = Some(Arc::new(archive));
    let error = bench.images().plan(&task).unwrap_err();
    assert_eq!(error.reason(), "image_root_unavailable");
    assert!(error.to_string().contains("/nowhere.tar"), "{error}");
    let digest = Digest::of("other");
    assert_ne!(digest, bench.images().plan(&bench.instance("b", true)).unwrap().key().0);
}
