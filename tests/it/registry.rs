//! Images pulled from a real registry and pushed to it. Needs Debian's `docker-registry` (and, where a
//! test says so, a Docker daemon and a static busybox); where they are not there the tests say so and
//! pass, with `CI=true` they fail.

mod budget;
mod docker;
mod gate;
mod keys;
mod proxy;

use evalrun::layers::{
    ImageConfig, ImageKey, LayerKey, NewImage, Platform, Registry, RegistryError, RegistryOptions,
    Store, TagOrigin, export_image,
};
use evalrun::model::Digest;
use proxy::{Proxy, Weather};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A registry of its own on a port of its own, and a folder for everything.
pub(crate) struct Bench {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) address: SocketAddr,
    registry: Child,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = self.registry.kill();
        let _ = self.registry.wait();
    }
}

impl Bench {
    pub(crate) fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..5 {
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let registry = serve(folder.path(), address, "")?;
            let Some(registry) = answering(registry, address) else { continue };
            return Some(Self { folder, address, registry });
        }
        panic!("docker-registry does not start")
    }

    /// Starts the registry anew, with passwords.
    fn lock(&mut self, htpasswd: &str) {
        let _ = self.registry.kill();
        let _ = self.registry.wait();
        let file = self.folder.path().join("htpasswd");
        fs_err::write(&file, htpasswd).unwrap();
        let auth = format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", file.display());
        let registry = serve(self.folder.path(), self.address, &auth).unwrap();
        self.registry = answering(registry, self.address).unwrap();
    }

    pub(crate) fn store(&self, name: &str) -> Store {
        Store::open(&self.folder.path().join(name)).unwrap()
    }

    pub(crate) fn registry(&self, store: &Store) -> Registry {
        Registry::new(store.clone(), RegistryOptions::default()).unwrap()
    }

    /// An image of several layers of some hundred kilobytes each, with what layers can say.
    fn make(&self, store: &Store, name: &str) -> ImageKey {
        let mut parent = None;
        for number in 0..5_u32 {
            let layer = store.begin().unwrap();
            let root = layer.root();
            fs_err::create_dir_all(root.join(format!("d{number}"))).unwrap();
            for file in 0..4_u32 {
                // No two alike, and hardly to be compressed.
                let content: String = (0..2500_u32)
                    .map(|at| Digest::of(format!("{number} {file} {at}")).to_string())
                    .collect();
                fs_err::write(root.join(format!("d{number}/f{file}")), content).unwrap();
            }
            fs_err::hard_link(root.join(format!("d{number}/f0")), root.join("link")).unwrap();
            fs_err::os::unix::fs::symlink("link", root.join(format!("s{number}"))).unwrap();
            let key = LayerKey(Digest::of(format!("made {name} {number}")));
            let config = ImageConfig { workdir: "/d0".to_owned(), ..ImageConfig::default() };
            parent = Some(layer.commit(NewImage { key, parent, config, binds: vec![] }).unwrap());
        }
        let image = parent.unwrap();
        store.tag(name, &image, TagOrigin::Imported).unwrap();
        image
    }

    /// Makes an image, pushes it and returns its tree.
    async fn publish(&self, name: &str) -> Vec<u8> {
        let store = self.store("made");
        let image = self.make(&store, name);
        let full = format!("{}/{name}", self.address);
        self.registry(&store).push(&image, &full).await.unwrap();
        tree(&store, &image)
    }
}

/// Starts a registry; none if there is no such program.
fn serve(folder: &Path, address: SocketAddr, more: &str) -> Option<Child> {
    let config = folder.join("registry.yml");
    let text = format!(
        "version: 0.1\nlog: {{level: error}}\nhttp: {{addr: {address}}}\n\
         storage: {{filesystem: {{rootdirectory: {}/registry}}}}\n{more}",
        folder.display()
    );
    fs_err::write(&config, text).unwrap();
    let mut command = Command::new("docker-registry");
    command.arg("serve").arg(&config).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(registry) = command.spawn() else {
        assert!(std::env::var_os("CI").is_none(), "needs docker-registry");
        eprintln!("skipped, needs docker-registry");
        return None;
    };
    Some(registry)
}

/// The registry when it answers; none if it has ended, since somebody else may have taken the port.
fn answering(mut registry: Child, address: SocketAddr) -> Option<Child> {
    for _ in 0..600 {
        if TcpStream::connect(address).is_ok() {
            return Some(registry);
        }
        if registry.try_wait().unwrap().is_some() {
            return None;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let _ = registry.kill();
    let _ = registry.wait();
    None
}

/// All that an image holds, as one stream.
fn tree(store: &Store, image: &ImageKey) -> Vec<u8> {
    let mut tar = Vec::new();
    export_image(store, image, &mut tar, false).unwrap();
    tar
}

fn faults(store: &Store) -> Vec<String> {
    store.verify(true).unwrap().iter().map(|fault| format!("{fault:?}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_is_pulled_and_a_second_pull_downloads_nothing() {
    let Some(bench) = Bench::new() else { return };
    let wanted = bench.publish("a/b:1").await;
    let store = bench.store("pulled");
    let name = format!("{}/a/b:1", bench.address);
    let first = bench.registry(&store).pull(&name).await.unwrap();
    assert_eq!((first.layers, store.resolve(&name)), (5, Some((first.key, TagOrigin::Pulled))));
    assert!(tree(&store, &first.key) == wanted, "another tree");
    assert_eq!(store.image(&first.key).unwrap().unwrap().config.workdir, "/d0");
    let again = bench.registry(&store).pull(&name).await.unwrap();
    assert_eq!((again.key, again.layers, again.bytes), (first.key, 0, 0));
    let by_digest = format!("{}/a/b@sha256:{}", bench.address, first.manifest);
    assert_eq!(bench.registry(&store).pull(&by_digest).await.unwrap().key, first.key);
    assert_eq!(faults(&store), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_or_not_for_us_is_said() {
    let Some(bench) = Bench::new() else { return };
    bench.publish("a/b:1").await;
    let store = bench.store("pulled");
    let missing = bench.registry(&store).pull(&format!("{}/a/b:2", bench.address)).await;
    assert!(matches!(missing, Err(RegistryError::NotFound { .. })), "{missing:?}");
    let wrong = format!("{}/a/b@sha256:{}", bench.address, Digest::of("nothing"));
    assert!(bench.registry(&store).pull(&wrong).await.is_err());
    let platform: Platform = "linux/s390x".parse().unwrap();
    let options = RegistryOptions { platform, ..RegistryOptions::default() };
    // One image that is for another processor is pulled all the same, as Docker does.
    let other = Registry::new(store.clone(), options).unwrap();
    assert!(other.pull(&format!("{}/a/b:1", bench.address)).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn mirrors_go_first_and_the_registry_itself_stands_behind_them() {
    let Some(bench) = Bench::new() else { return };
    let wanted = bench.publish("cache/hub/a/b:1").await;
    let store = bench.store("pulled");
    let mirror = |text: String| vec![text.parse().unwrap()];
    let options = RegistryOptions {
        mirrors: mirror(format!("nowhere.invalid={}/cache/hub", bench.address)),
        ..RegistryOptions::default()
    };
    let registry = Registry::new(store.clone(), options).unwrap();
    let pulled = registry.pull("nowhere.invalid/a/b:1").await.unwrap();
    assert!(tree(&store, &pulled.key) == wanted);
    assert!(store.resolve("nowhere.invalid/a/b:1").is_some());
    let options = RegistryOptions {
        mirrors: mirror(format!("{0}={0}/not/there", bench.address)),
        ..RegistryOptions::default()
    };
    let other = bench.store("behind");
    let registry = Registry::new(other.clone(), options).unwrap();
    let name = format!("{}/cache/hub/a/b:1", bench.address);
    assert!(tree(&other, &registry.pull(&name).await.unwrap().key) == wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_is_downloaded_once_however_many_need_it() {
    let Some(bench) = Bench::new() else { return };
    let store = bench.store("made");
    let image = bench.make(&store, "one:1");
    for tag in ["a:1", "a:2", "b:1"] {
        let name = format!("{}/{tag}", bench.address);
        bench.registry(&store).push(&image, &name).await.unwrap();
    }
    let alone = bench.store("alone");
    let name = |tag: &str| format!("{}/{tag}", bench.address);
    let all = bench.registry(&alone).pull(&name("a:1")).await.unwrap().bytes;
    let pulled = bench.store("pulled");
    // Two that know nothing of each other, as two processes do.
    let (one, other) = (bench.registry(&pulled), bench.registry(&pulled));
    let (a, b, c) = (name("a:1"), name("a:2"), name("b:1"));
    let results = tokio::join!(one.pull(&a), one.pull(&b), other.pull(&c));
    let bytes = [results.0, results.1, results.2].map(|result| result.unwrap().bytes);
    assert_eq!(bytes.iter().sum::<u64>(), all);
}

/// Pulls through a network until it ended well, or not.
async fn pull_through(
    bench: &Bench,
    weather: Weather,
    seed: u64,
) -> (Result<Vec<u8>, RegistryError>, (u64, u64, u64), Vec<String>) {
    let proxy = Proxy::start(bench.address, weather, seed).await;
    let store = bench.store(&format!("pulled-{seed}-{}", weather.rotten));
    let name = format!("{}/a/b:1", proxy.address);
    let result = bench.registry(&store).pull(&name).await;
    let result = result.map(|pulled| tree(&store, &pulled.key));
    (result, proxy.counts(), faults(&store))
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_break_and_registries_that_are_busy_only_delay_a_pull() {
    let Some(bench) = Bench::new() else { return };
    let wanted = bench.publish("a/b:1").await;
    let (mut cut, mut busy) = (0, 0);
    for seed in 0..8 {
        let weather = Weather { cut: 0.5, busy: 0.2, ..Weather::default() };
        let (result, counts, faults) = pull_through(&bench, weather, seed).await;
        assert!(result.unwrap() == wanted, "seed {seed}: another tree");
        assert_eq!(faults, [""; 0]);
        cut += counts.0;
        busy += counts.1;
    }
    assert!(cut > 8 && busy > 2, "{cut} cut, {busy} busy: that was no bad network");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_says_when_to_come_again_is_not_asked_before() {
    let Some(bench) = Bench::new() else { return };
    let wanted = bench.publish("a/b:1").await;
    // The first asks how the registry knows its users, the second is for the manifest.
    let weather = Weather { first_busy: 2, again: 2, ..Weather::default() };
    let busy = Proxy::start(bench.address, weather, 0).await;
    let store = bench.store("patient");
    let registry = bench.registry(&store);
    let name = format!("{}/a/b:1", busy.address);
    let mut pull = std::pin::pin!(registry.pull(&name));
    // Whoever came before the two seconds are over would have it by now.
    assert!(tokio::time::timeout(Duration::from_millis(1500), &mut pull).await.is_err());
    let pulled = pull.await.unwrap();
    assert!(busy.counts().1 == 2 && tree(&store, &pulled.key) == wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_bytes_never_make_a_wrong_tree() {
    let Some(bench) = Bench::new() else { return };
    let wanted = bench.publish("a/b:1").await;
    let (mut failed, mut damaged) = (0, 0);
    for seed in 0..6 {
        let rotten = seed >= 4;
        let weather = Weather { cut: 0.2, damage: 0.7, rotten, ..Weather::default() };
        let (result, counts, faults) = pull_through(&bench, weather, seed).await;
        match result {
            Ok(tree) => assert!(tree == wanted && !rotten, "seed {seed}: another tree"),
            Err(error) => {
                failed += u32::from(rotten);
                let text = error.to_string();
                let names = ["blob sha256:", "config sha256:", "manifest "];
                assert!(names.iter().any(|name| text.contains(name)), "{text}");
            }
        }
        assert_eq!(faults, [""; 0]);
        damaged += counts.2;
    }
    assert!(damaged > 5 && failed == 2, "{damaged} damaged, {failed} failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_that_is_killed_leaves_nothing_wrong_and_the_next_carries_on() {
    let Some(bench) = Bench::new() else { return };
    let wanted = bench.publish("a/b:1").await;
    let slow = Weather { slow: 12, ..Weather::default() };
    let proxy = Proxy::start(bench.address, slow, 0).await;
    let name = format!("{}/a/b:1", proxy.address);
    let home = bench.folder.path().join("pulled");
    let pull = |home: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_evalrun"));
        command.args(["images", "pull", "--quiet", "--json", "--downloads", "2", &name]);
        command.arg("--home").arg(home).stdout(Stdio::piped()).stderr(Stdio::null());
        command
    };
    for round in 0..20_u64 {
        let mut child = pull(&home).spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(60 + 17 * round)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(faults(&bench.store("pulled")), [""; 0], "round {round}");
    }
    let output = tokio::task::spawn_blocking({
        let mut command = pull(&home);
        move || command.output().unwrap()
    });
    let output = output.await.unwrap();
    assert!(output.status.success());
    let store = bench.store("pulled");
    let (key, _) = store.resolve(&name).unwrap();
    assert!(tree(&store, &key) == wanted, "another tree");
    assert_eq!(faults(&store), [""; 0]);
    let left = fs_err::read_dir(home.join("layers-v1")).unwrap();
    let left = left.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with(".making-")
    });
    // That of the store that this test has opened to look is made only when it is needed.
    assert_eq!(left.count(), 0, "what the killed ones left is still there");
}
