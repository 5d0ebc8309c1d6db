//! The store from outside: saved images of every form, the kernel's view of their layers, Docker's.

use evalrun::layers::{self, ImageConfig, ImageKey, LayerKey, Marks, Store, StoreError};
use evalrun::model::Digest;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A tar of these entries: `d/` a directory, `n->t` a symbolic link, `n=t` a hard link, else a file
/// that holds its own name.
fn tar_of(entries: &[&str]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for entry in entries {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        header.set_uid(7);
        header.set_size(0);
        if let Some((name, target)) = entry.split_once("->") {
            header.set_entry_type(tar::EntryType::Symlink);
            tar.append_link(&mut header, name, target).unwrap();
        } else if let Some((name, target)) = entry.split_once('=') {
            header.set_entry_type(tar::EntryType::Link);
            tar.append_link(&mut header, name, target).unwrap();
        } else if entry.ends_with('/') {
            header.set_entry_type(tar::EntryType::Directory);
            tar.append_data(&mut header, entry, &[][..]).unwrap();
        } else {
            header.set_size(entry.len() as u64);
            tar.append_data(&mut header, entry, entry.as_bytes()).unwrap();
        }
    }
    tar.into_inner().unwrap()
}

/// Three layers with whiteouts, an opaque directory, and things put where others were.
fn layers() -> Vec<Vec<u8>> {
    vec![
        tar_of(&[
            "bin->usr/bin",
            "usr/",
            "usr/bin/",
            "usr/bin/sh",
            "a/",
            "a/gone",
            "a/kept",
            "o/",
            "o/old",
            "f",
            "t/",
            "t/x",
        ]),
        tar_of(&[
            "a/",
            "a/.wh.gone",
            "a/new",
            "o/",
            "o/.wh..wh..opq",
            "o/new",
            ".wh.t",
            "h1",
            "h2=h1",
        ]),
        tar_of(&["f/", "f/inner", "t/", "t/y", "a/.wh.new", "a/gone"]),
    ]
}

const SEEN: [&str; 16] = [
    "a",
    "a/gone",
    "a/kept",
    "bin",
    "f",
    "f/inner",
    "h1",
    "h2",
    "o",
    "o/new",
    "t",
    "t/y",
    "usr",
    "usr/bin",
    "usr/bin/sh",
    "",
];

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn config_of(layers: &[Vec<u8>]) -> Vec<u8> {
    let ids: Vec<_> = layers.iter().map(|layer| format!("sha256:{}", Digest::of(layer))).collect();
    serde_json::to_vec(&serde_json::json!({
        "architecture": "amd64", "os": "linux",
        "config": {"Env": ["A=b=c"], "WorkingDir": "/a", "Cmd": null},
        "rootfs": {"type": "layers", "diff_ids": ids},
    }))
    .unwrap()
}

/// The files of a `docker save` archive.
fn docker_files(layers: &[Vec<u8>]) -> Vec<(String, Vec<u8>)> {
    let config = config_of(layers);
    let config_name = format!("{}.json", Digest::of(&config));
    let names: Vec<_> =
        layers.iter().map(|layer| format!("{}/layer.tar", Digest::of(layer))).collect();
    let manifest =
        serde_json::json!([{"Config": config_name, "RepoTags": ["x:1"], "Layers": names}]);
    let files = names.iter().cloned().zip(layers.iter().cloned());
    let mut files: Vec<_> = files.collect();
    files.push((config_name, config));
    files.push(("manifest.json".to_owned(), manifest.to_string().into_bytes()));
    files
}

/// The files of an OCI layout; its layers are packed by `pack`.
fn oci_files(layers: &[Vec<u8>], pack: fn(&[u8]) -> Vec<u8>) -> Vec<(String, Vec<u8>)> {
    let mut files = vec![("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec())];
    let mut blob = |bytes: Vec<u8>, media: &str| {
        let digest = Digest::of(&bytes);
        let size = bytes.len();
        files.push((format!("blobs/sha256/{digest}"), bytes));
        serde_json::json!({"mediaType": media, "digest": format!("sha256:{digest}"), "size": size})
    };
    let config = blob(config_of(layers), "application/vnd.oci.image.config.v1+json");
    let packed: Vec<_> = layers
        .iter()
        .map(|layer| blob(pack(layer), "application/vnd.oci.image.layer.v1.tar+any"))
        .collect();
    let manifest = serde_json::json!({"schemaVersion": 2, "config": config, "layers": packed});
    let media = "application/vnd.oci.image.manifest.v1+json";
    let inner = blob(manifest.to_string().into_bytes(), media);
    let index = serde_json::json!({"schemaVersion": 2, "manifests": [inner]});
    let nested = blob(index.to_string().into_bytes(), "application/vnd.oci.image.index.v1+json");
    let top = serde_json::json!({"schemaVersion": 2, "manifests": [nested]});
    files.push(("index.json".to_owned(), top.to_string().into_bytes()));
    files
}

fn archive_of(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    tar.into_inner().unwrap()
}

fn write_files(directory: &Path, files: &[(String, Vec<u8>)]) {
    for (name, bytes) in files {
        let path = directory.join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, bytes).unwrap();
    }
}

struct Bench {
    temporary: tempfile::TempDir,
    store: Store,
}

impl Bench {
    fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let store = Store::open(&temporary.path().join("home")).unwrap();
        Self { temporary, store }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.temporary.path().join(name)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        fs_err::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    fn import(&self, path: &Path) -> Result<ImageKey, StoreError> {
        let key = LayerKey(Digest::of(path.as_os_str().as_encoded_bytes()));
        layers::import_archive(&self.store, key, &ImageConfig::default(), path)
    }

    fn export(&self, image: &ImageKey) -> Vec<u8> {
        let mut tar = Vec::new();
        layers::export_image(&self.store, image, &mut tar, false).unwrap();
        tar
    }
}

/// What a tar shows of each name: kind, mode, owner, and content or target. A hard link is what it
/// links to.
type Listing = BTreeMap<String, (char, u32, u64, u64, Vec<u8>)>;

fn listing(bytes: &[u8]) -> Listing {
    let mut found = Listing::new();
    for entry in tar::Archive::new(bytes).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let name = name.trim_start_matches("./").trim_end_matches('/').to_owned();
        let link = entry.link_name().unwrap().map(|link| link.display().to_string());
        let kind = entry.header().entry_type();
        if kind == tar::EntryType::Link {
            let target = found[link.unwrap().trim_start_matches("./")].clone();
            found.insert(name, target);
            continue;
        }
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let (letter, content) = match kind {
            tar::EntryType::Directory => ('d', content),
            tar::EntryType::Symlink => ('l', link.unwrap().into_bytes()),
            tar::EntryType::Fifo => ('p', content),
            _ => ('f', content),
        };
        let header = entry.header();
        let mode = if letter == 'l' { 0o777 } else { header.mode().unwrap() & 0o7777 };
        let (uid, gid) = (header.uid().unwrap(), header.gid().unwrap());
        found.insert(name, (letter, mode, uid, gid, content));
    }
    found
}

fn names(listing: &Listing) -> BTreeSet<&str> {
    listing.keys().map(String::as_str).collect()
}

#[test]
fn saved_images_of_every_form_are_one_image() {
    let bench = Bench::new();
    let docker = archive_of(&docker_files(&layers()));
    let directory = bench.path("layout");
    write_files(&directory, &oci_files(&layers(), <[u8]>::to_vec));
    let forms = [
        bench.file("save.tar", &docker),
        bench.file("save.tar.gz", &gzip(&docker)),
        directory,
        bench.file("oci.tar", &archive_of(&oci_files(&layers(), gzip))),
        bench.file(
            "oci.tar.zst",
            &zstd::encode_all(
                &archive_of(&oci_files(&layers(), |layer| zstd::encode_all(layer, 1).unwrap()))[..],
                1,
            )
            .unwrap(),
        ),
    ];
    let images: Vec<_> = forms.iter().map(|form| bench.import(form).unwrap()).collect();
    let first = bench.store.image(&images[0]).unwrap().unwrap();
    assert_eq!(first.layers.len(), 3);
    assert_eq!(first.config.env["A"], "b=c");
    assert_eq!(first.config.workdir, "/a");
    let exported = bench.export(&images[0]);
    assert_eq!(names(&listing(&exported)), SEEN.into());
    for image in &images {
        // Layers that are equal are one layer, wherever they came from.
        assert_eq!(bench.store.image(image).unwrap().unwrap().layers, first.layers);
        assert_eq!(bench.export(image), exported);
    }
    assert_eq!(bench.store.usage().unwrap().layers, 3);
    assert!(bench.store.verify(true).unwrap().is_empty());
}

#[test]
fn the_kernel_shows_of_the_layers_what_an_export_holds() {
    let bench = Bench::new();
    if bench.store.marks() != Marks::Trusted {
        eprintln!("skipped: only root can mount an overlay to compare with");
        return;
    }
    let image =
        bench.import(&bench.file("save.tar", &archive_of(&docker_files(&layers())))).unwrap();
    let stored = bench.store.image(&image).unwrap().unwrap();
    let lower: Vec<_> = stored
        .layers
        .iter()
        .rev()
        .map(|layer| bench.store.layer_dir(layer).display().to_string())
        .collect();
    let merged = bench.path("merged");
    fs_err::create_dir(&merged).unwrap();
    let option = format!("lowerdir={}", lower.join(":"));
    let mount = Command::new("mount")
        .args(["-t", "overlay", "overlay", "-o", &option])
        .arg(&merged)
        .output()
        .unwrap();
    if !mount.status.success() {
        eprintln!("skipped: no overlay can be mounted: {}", String::from_utf8_lossy(&mount.stderr));
        return;
    }
    let key = LayerKey(Digest::of("merged"));
    let copied = layers::import_directory(&bench.store, key, &ImageConfig::default(), &merged);
    let unmounted = Command::new("umount").arg(&merged).status().unwrap();
    assert!(unmounted.success());
    assert_eq!(listing(&bench.export(&copied.unwrap())), listing(&bench.export(&image)));
}

#[test]
fn damaged_and_foreign_archives_are_refused_and_leave_nothing() {
    let bench = Bench::new();
    let change = |mut files: Vec<(String, Vec<u8>)>, part: &str, change: fn(&mut Vec<u8>)| {
        let found = files.iter_mut().find(|(name, _)| name.contains(part)).unwrap();
        change(&mut found.1);
        archive_of(&files)
    };
    let flip = |bytes: &mut Vec<u8>| bytes.push(b' ');
    let first = format!("{}/layer.tar", Digest::of(&layers()[0]));
    let first_blob = Digest::of(&layers()[0]).to_string();
    let mut without = docker_files(&layers());
    without.retain(|(name, _)| *name != first);
    let mut several = docker_files(&layers());
    several.last_mut().unwrap().1 = br#"[{"Config":"a","RepoTags":["x:1"],"Layers":[]},{"Config":"b","RepoTags":["y:2"],"Layers":[]}]"#.to_vec();
    let mut climbing = docker_files(&layers());
    climbing.last_mut().unwrap().1 = br#"[{"Config":"../../etc/passwd","Layers":[]}]"#.to_vec();
    let hostile = docker_files(&[tar_of(&["ok"]), b"no tar".repeat(512)]);
    let cases = [
        ("layer", change(docker_files(&layers()), &first, flip), "unpacked, is damaged"),
        ("blob", change(oci_files(&layers(), <[u8]>::to_vec), &first_blob, flip), "its digest is"),
        ("config", change(docker_files(&layers()), ".json", flip), "damaged"),
        ("missing", archive_of(&without), "layer.tar is missing"),
        ("several", archive_of(&several), "x:1, y:2"),
        ("climbing", archive_of(&climbing), "is missing"),
        ("hostile", archive_of(&hostile), "checksum"),
        ("no archive", b"x".repeat(4096), "checksum"),
        ("xz", b"\xfd7zXZ\0 and more".to_vec(), "lzma"),
    ];
    for (name, bytes, why) in cases {
        let error = bench.import(&bench.file(name, &bytes)).unwrap_err().to_string();
        assert!(error.contains(why), "{name}: {error}");
    }
    let missing = bench.import(&bench.path("nowhere")).unwrap_err().to_string();
    assert!(missing.contains("nowhere"), "{missing}");
    assert_eq!(bench.store.images().unwrap().len(), 0);
}

#[test]
fn a_root_file_system_is_told_from_saved_images() {
    let bench = Bench::new();
    let plain = tar_of(&["./", "blobs/", "blobs/x", "usr/", "usr/x", "manifest.json"]);
    let image = bench.import(&bench.file("rootfs.tar", &plain)).unwrap();
    let found = listing(&bench.export(&image));
    assert!(found.contains_key("usr/x") && found.contains_key("manifest.json"));
    assert_eq!(found["usr/x"].2, 7, "the owner");
    assert_eq!(bench.store.image(&image).unwrap().unwrap().layers.len(), 1);
}

#[test]
fn stores_opened_at_once_make_each_layer_once() {
    let bench = Bench::new();
    let path = bench.file("save.tar", &archive_of(&docker_files(&layers())));
    let home = bench.store.home();
    std::thread::scope(|scope| {
        for number in 0..6 {
            let path = &path;
            scope.spawn(move || {
                let store = Store::open(home).unwrap();
                let key = LayerKey(Digest::of(format!("image {}", number % 2)));
                let config = ImageConfig::default();
                layers::import_archive(&store, key, &config, path).unwrap();
                store.sweep().unwrap();
            });
        }
    });
    let usage = bench.store.usage().unwrap();
    assert_eq!((usage.layers, usage.images.len(), usage.unneeded), (3, 2, 0));
    assert!(bench.store.verify(true).unwrap().is_empty());
    assert_eq!(bench.store.sweep().unwrap(), 0);
}

/// An image that Docker builds, with one of everything that a layer can do to those below.
const DOCKERFILE: &str = "FROM scratch
COPY busybox /bin/busybox
RUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]
RUN mkdir -p /data/sub /data/opq && echo a > /data/a && echo b > /data/opq/b
RUN rm /data/a && echo new > /data/c
RUN rm -rf /data/opq && mkdir /data/opq && echo z > /data/opq/z
RUN echo h > /h1 && ln /h1 /h2 && ln -s /h1 /hs && cp /bin/busybox /bin/su2 && chmod 4755 /bin/su2
RUN mkdir /own && echo o > /own/f && chown -R 70000:1234 /own && chmod 1700 /own && mkfifo /own/pipe
RUN rm -rf /data/sub && echo file > /data/sub
RUN rm /data/sub && mkdir -p /data/sub/x && echo y > /data/sub/x/y
CMD [\"sh\"]
";

fn docker(arguments: &[&str]) -> Option<String> {
    let output = Command::new("docker")
        .args(arguments)
        .env("DOCKER_BUILDKIT", "0")
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

#[test]
fn docker_and_we_show_the_same_tree() {
    let busybox =
        ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists());
    let (Some(busybox), Some(_)) = (busybox, docker(&["info"])) else {
        assert!(std::env::var_os("CI").is_none(), "needs a Docker daemon and busybox-static");
        eprintln!("skipped: needs a Docker daemon and a static busybox");
        return;
    };
    let bench = Bench::new();
    if bench.store.marks() != Marks::Trusted {
        eprintln!("skipped: only root keeps owners on disk");
        return;
    }
    let context = bench.path("context");
    fs_err::create_dir(&context).unwrap();
    fs_err::copy(busybox, context.join("busybox")).unwrap();
    fs_err::write(context.join("Dockerfile"), DOCKERFILE).unwrap();
    let name = format!("evalrun-test-layers:{}", std::process::id());
    docker(&["build", "-q", "-t", &name, context.to_str().unwrap()]).expect("the image builds");
    let saved = bench.path("save.tar");
    let exported = bench.path("export.tar");
    docker(&["save", &name, "-o", saved.to_str().unwrap()]).unwrap();
    let container = docker(&["create", &name]).unwrap();
    docker(&["export", &container, "-o", exported.to_str().unwrap()]).unwrap();
    docker(&["rm", &container]).unwrap();
    docker(&["rmi", &name]).unwrap();
    let image = bench.import(&saved).unwrap();
    // What Docker puts into every container is not in the image.
    let own = |path: &str| {
        let top = path.split('/').next().unwrap();
        matches!(top, "" | "dev" | "proc" | "sys" | ".dockerenv" | "etc")
    };
    let mut docker = listing(&fs_err::read(exported).unwrap());
    let mut ours = listing(&bench.export(&image));
    docker.retain(|path, _| !own(path));
    ours.retain(|path, _| !own(path));
    assert_eq!(names(&ours), names(&docker));
    for (path, found) in &ours {
        assert_eq!(found, &docker[path], "{path}");
    }
    assert_eq!(ours["bin/su2"].1, 0o4755);
    assert_eq!(ours["own/f"].2, 70_000);
}
