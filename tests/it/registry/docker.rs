//! The same image by Docker and by evalrun, entry by entry.

use super::{Bench, Store};
use evalrun::layers::export_image;
use evalrun::model::Digest;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;
use std::process::Command;

/// What tells an entry from another.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    kind: u8,
    mode: u32,
    owner: (u64, u64),
    mtime: u64,
    xattrs: BTreeMap<String, Vec<u8>>,
    link: Vec<u8>,
    content: Digest,
}

type Entries = BTreeMap<Vec<u8>, Entry>;

/// What `docker create` itself puts into a container.
const OF_CONTAINERS: [&str; 11] = [
    ".dockerenv",
    "dev",
    "dev/console",
    "dev/pts",
    "dev/shm",
    "etc/hostname",
    "etc/hosts",
    "etc/mtab",
    "etc/resolv.conf",
    "proc",
    "sys",
];

/// The entries of a tar and the groups of names that are one file.
fn entries(tar: impl Read) -> (Entries, BTreeSet<BTreeSet<Vec<u8>>>) {
    let mut all = Entries::new();
    let mut groups: BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>> = BTreeMap::new();
    for entry in tar::Archive::new(tar).entries().unwrap() {
        let mut entry = entry.unwrap();
        let plain = |name: &[u8]| {
            let name = name.strip_prefix(b"./").unwrap_or(name);
            let name = name.strip_prefix(b"/").unwrap_or(name);
            name.strip_suffix(b"/").unwrap_or(name).to_vec()
        };
        let name = plain(&entry.path_bytes());
        let link = entry.link_name_bytes().map(|link| link.to_vec()).unwrap_or_default();
        if entry.header().entry_type().is_hard_link() {
            let first = plain(&link);
            all.insert(name.clone(), all[&first].clone());
            groups.entry(first.clone()).or_default().extend([first, name]);
            continue;
        }
        let mut xattrs = BTreeMap::new();
        for extension in entry.pax_extensions().unwrap().into_iter().flatten() {
            let extension = extension.unwrap();
            if let Some(name) = extension.key().unwrap().strip_prefix("SCHILY.xattr.") {
                xattrs.insert(name.to_owned(), extension.value_bytes().to_vec());
            }
        }
        let header = entry.header().clone();
        let kind = match header.entry_type().as_byte() {
            0 => b'0',
            kind => kind,
        };
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let ids = (header.uid().unwrap(), header.gid().unwrap());
        let is_link = header.entry_type().is_symlink();
        let found = Entry {
            kind,
            mode: if is_link { 0 } else { header.mode().unwrap() & 0o7777 },
            owner: ids,
            // A directory that a container was made from has been written to.
            mtime: if kind == b'5' { 0 } else { header.mtime().unwrap() },
            xattrs,
            link: if is_link { link } else { Vec::new() },
            content: Digest::of(&content),
        };
        all.insert(name, found);
    }
    OF_CONTAINERS.iter().for_each(|name| drop(all.remove(name.as_bytes())));
    all.remove(&b""[..]);
    (all, groups.into_values().collect())
}

fn docker(args: &[&str], folder: &Path) -> String {
    let output = Command::new("docker").args(args).current_dir(folder).output().unwrap();
    assert!(
        output.status.success(),
        "docker {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Busybox, and a file with a capability.
fn base(busybox: &Path) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |name: &str, kind: tar::EntryType, content: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_size(content.len() as u64);
        header.set_mtime(1_000_000_000);
        if name == "bin/ping" {
            let mut capability = [0_u8; 20];
            capability[..6].copy_from_slice(&[1, 0, 0, 2, 0, 0x20]);
            tar.append_pax_extensions([("SCHILY.xattr.security.capability", &capability[..])])
                .unwrap();
        }
        tar.append_data(&mut header, name, content).unwrap();
    };
    add("bin", tar::EntryType::Directory, b"");
    add("bin/busybox", tar::EntryType::Regular, &fs_err::read(busybox).unwrap());
    add("bin/ping", tar::EntryType::Regular, b"ping");
    // Else containers have it, and the image does not.
    add("etc", tar::EntryType::Directory, b"");
    tar.into_inner().unwrap()
}

const DOCKERFILE: &str = r#"
RUN ["/bin/busybox","--install","-s","/bin"]
RUN mkdir -p /etc /tree/deep/er /gone/in /opaque/old /links /var/tmp && for n in 1 2 3 4 5 6 7 8; do echo file $n > /tree/deep/f$n; echo x$n > /opaque/old/x$n; done && echo a > /gone/in/a && echo b > /gone/b
RUN chmod 4755 /bin/busybox && echo suid > /tree/suid && chmod 6711 /tree/suid && mkdir -m 1777 /tree/sticky && chown 1000:70000 /tree/deep/f1 && chown 65534:4000000 /tree/sticky
RUN echo linked > /links/a && ln /links/a /links/b && ln /links/a /tree/c && ln -s ../links/a /links/s && ln -s /nowhere /links/dangling && chown -h 12:34 /links/s
RUN rm /tree/deep/f2 /gone/b && rm -r /opaque && mkdir /opaque && echo new > /opaque/new
RUN rm -r /gone && mkdir -p "/odd/a b" && echo n > "/odd/a b/$(printf 'new\nline')" && echo u > /odd/ü && mkfifo /odd/pipe && touch -d '2001-02-03 04:05:06' /odd/old && chmod 000 /odd/old
RUN echo changed > /tree/deep/f4 && mv /tree/deep/f5 /tree/deep/f9 && rm -r /tree/deep/er && echo file > /tree/deep/er && dd if=/dev/zero of=/tree/sparse bs=1 count=1 seek=3000000 2>/dev/null
RUN ln -s /tree /odd/dir && chmod 0700 /odd && i=0; while [ $i -lt 300 ]; do echo $i > /tree/sticky/$i; i=$((i+1)); done
RUN rm /links/b && touch /tree/deep/f6
ENV A=1 B="two words"
WORKDIR /tree
"#;

/// Builds the image, pushes it, and returns its name and what Docker says is in it.
fn build(bench: &Bench, busybox: &Path) -> (String, Vec<u8>) {
    let folder = bench.folder.path();
    let tag = format!("evalrun-test-base-{}", bench.address.port());
    fs_err::write(folder.join("base.tar"), base(busybox)).unwrap();
    docker(&["import", "base.tar", &tag], folder);
    fs_err::create_dir(folder.join("context")).unwrap();
    let text = format!("FROM {tag}\n{DOCKERFILE}");
    fs_err::write(folder.join("context/Dockerfile"), text).unwrap();
    let name = format!("{}/t/ten:1", bench.address);
    docker(&["build", "-q", "--network", "none", "-t", &name, "context"], folder);
    docker(&["push", "-q", &name], folder);
    let layers = docker(&["inspect", "-f", "{{len .RootFS.Layers}}", &name], folder);
    assert_eq!(layers, "10");
    let container = docker(&["create", &name, "x"], folder);
    docker(&["export", "-o", "docker.tar", &container], folder);
    docker(&["rm", &container], folder);
    docker(&["rmi", "-f", &name, &tag], folder);
    (name, fs_err::read(folder.join("docker.tar")).unwrap())
}

/// The same image with its fourth layer compressed by Zstandard, under another tag.
async fn with_zstd(bench: &Bench) -> String {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::new();
    let base = format!("http://{}/v2/t/ten", bench.address);
    let get = |path: String, accept: &'static str| {
        let request = http.get(format!("{base}/{path}")).header("Accept", accept);
        async { request.send().await.unwrap().error_for_status().unwrap().bytes().await.unwrap() }
    };
    let kind = "application/vnd.docker.distribution.manifest.v2+json";
    let manifest = get("manifests/1".to_owned(), kind).await;
    let mut manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let layer = &mut manifest["layers"][3];
    let blob = get(format!("blobs/{}", layer["digest"].as_str().unwrap()), "*/*").await;
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(&blob[..]).read_to_end(&mut plain).unwrap();
    let blob = zstd::encode_all(&plain[..], 3).unwrap();
    let digest = format!("sha256:{}", Digest::of(&blob));
    *layer = serde_json::json!({
        "mediaType": "application/vnd.oci.image.layer.v1.tar+zstd",
        "size": blob.len(),
        "digest": digest,
    });
    manifest["mediaType"] = "application/vnd.oci.image.manifest.v1+json".into();
    manifest["config"]["mediaType"] = "application/vnd.oci.image.config.v1+json".into();
    for (number, layer) in manifest["layers"].as_array_mut().unwrap().iter_mut().enumerate() {
        if number != 3 {
            layer["mediaType"] = "application/vnd.oci.image.layer.v1.tar+gzip".into();
        }
    }
    let begun = http.post(format!("{base}/blobs/uploads/")).send().await.unwrap();
    let place = begun.headers()["location"].to_str().unwrap().to_owned();
    let joint = if place.contains('?') { '&' } else { '?' };
    let put = http.put(format!("{place}{joint}digest={digest}")).body(blob).send().await.unwrap();
    assert!(put.status().is_success(), "{}", put.status());
    let put = http
        .put(format!("{base}/manifests/zstd"))
        .header("Content-Type", "application/vnd.oci.image.manifest.v1+json")
        .body(manifest.to_string())
        .send()
        .await
        .unwrap();
    assert!(put.status().is_success(), "{}", put.text().await.unwrap());
    format!("{}/t/ten:zstd", bench.address)
}

fn exported(store: &Store, name: &str) -> (Entries, BTreeSet<BTreeSet<Vec<u8>>>) {
    let (key, _) = store.resolve(name).unwrap();
    let mut tar = Vec::new();
    export_image(store, &key, &mut tar, false).unwrap();
    entries(&tar[..])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pulled_image_holds_what_docker_exports_entry_by_entry() {
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].map(Path::new);
    let busybox = busybox.into_iter().find(|path| path.exists());
    let daemon = Command::new("docker").arg("version").output();
    let daemon = daemon.is_ok_and(|output| output.status.success());
    let (Some(busybox), true) = (busybox, daemon) else {
        assert!(std::env::var_os("CI").is_none(), "needs a Docker daemon and busybox-static");
        eprintln!("skipped, needs a Docker daemon and a static busybox");
        return;
    };
    let Some(bench) = Bench::new() else { return };
    let (name, docker) = build(&bench, busybox);
    let (wanted, links) = entries(&docker[..]);
    assert!(wanted.len() > 500 && links.len() == 1, "{} {links:?}", wanted.len());
    assert!(wanted.values().any(|entry| !entry.xattrs.is_empty()), "Docker lost the capability");
    let zstd = with_zstd(&bench).await;
    for name in [name, zstd] {
        // One after the other in stores of their own: no layer of the one serves the other.
        let store = bench.store(&name.replace(['/', ':'], "_"));
        bench.registry(&store).pull(&name).await.unwrap();
        let (found, found_links) = exported(&store, &name);
        let names: BTreeSet<_> = wanted.keys().chain(found.keys()).collect();
        for entry in names {
            let shown = entry.escape_ascii();
            assert_eq!(found.get(entry), wanted.get(entry), "{name}: {shown}");
        }
        assert_eq!(found_links, links, "{name}");
        assert_eq!(store.verify(true).unwrap().len(), 0);
    }
}
