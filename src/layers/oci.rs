//! Images as the Open Container Initiative describes them: documents, and the stack of layers that a
//! manifest makes in the store. Docker's own documents have the same fields.

use super::hashing::Hashing;
use super::pace::Paced;
use super::{
    Healthcheck, ImageConfig, ImageHold, LayerKey, NewImage, NewLayer, Platform, Store, StoreError,
};
use super::{decompress, import};
use crate::model::{Digest, DigestBuilder};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::time::Duration;

/// Bytes of a manifest, an index or a config; registries refuse larger ones too.
pub(super) const MAX_DOCUMENT: u64 = 8 << 20;

/// Layers of one image; overlayfs takes no more than 500.
const MAX_LAYERS: usize = 480;

/// A pointer to a blob.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    #[serde(default)]
    pub(super) media_type: String,
    pub(super) digest: String,
    /// Bytes.
    #[serde(default)]
    pub(super) size: Option<u64>,
    #[serde(default)]
    pub(super) platform: Option<Platform>,
    #[serde(default)]
    pub(super) annotations: BTreeMap<String, String>,
    /// Where else a layer is that registries may not give away.
    #[serde(default)]
    pub(super) urls: Vec<String>,
}

impl Descriptor {
    /// The SHA-256 digest it names, the only kind read here.
    pub(super) fn digest(&self) -> Result<Digest, String> {
        sha256(&self.digest)
    }

    /// Whether it points to an index or a list of manifests rather than to one manifest.
    pub(super) fn is_index(&self) -> bool {
        self.media_type.contains("image.index") || self.media_type.contains("manifest.list")
    }
}

/// Several manifests.
#[derive(Debug, Deserialize)]
pub(super) struct Index {
    pub(super) manifests: Vec<Descriptor>,
}

/// One image.
#[derive(Debug, Deserialize)]
pub(super) struct Manifest {
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
}

/// An image's config.
#[derive(Debug, Deserialize)]
pub(super) struct Config {
    #[serde(flatten)]
    pub(super) platform: Platform,
    #[serde(default)]
    config: Option<Process>,
    rootfs: RootFs,
}

#[derive(Debug, Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Option<Vec<String>>,
}

/// What a config says of processes; Docker writes null where it has nothing to say.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Process {
    env: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    working_dir: Option<String>,
    user: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    exposed_ports: Option<BTreeMap<String, IgnoredAny>>,
    volumes: Option<BTreeMap<String, IgnoredAny>>,
    stop_signal: Option<String>,
    healthcheck: Option<HealthConfig>,
    shell: Option<Vec<String>>,
    on_build: Option<Vec<String>>,
}

/// Docker's health check; times are in nanoseconds, 0 where nothing was said.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct HealthConfig {
    test: Vec<String>,
    interval: u64,
    timeout: u64,
    start_period: u64,
    retries: u32,
}

impl HealthConfig {
    fn healthcheck(&self) -> Healthcheck {
        let time = |nanoseconds: u64| (nanoseconds > 0).then(|| Duration::from_nanos(nanoseconds));
        Healthcheck {
            test: self.test.clone(),
            interval: time(self.interval),
            timeout: time(self.timeout),
            start_period: time(self.start_period),
            retries: (self.retries > 0).then_some(self.retries),
        }
    }
}

/// The names in a set that JSON writes as an object of empty objects.
fn names_of(set: Option<&BTreeMap<String, IgnoredAny>>) -> impl Iterator<Item = String> {
    set.into_iter().flat_map(|set| set.keys().cloned())
}

impl Config {
    /// The digests of the layers' tar streams, the bottom one first.
    pub(super) fn diff_ids(&self) -> Result<Vec<Digest>, String> {
        let ids = self.rootfs.diff_ids.as_deref().unwrap_or_default();
        if ids.len() > MAX_LAYERS {
            return Err(format!("it has {} layers, more than {MAX_LAYERS}", ids.len()));
        }
        ids.iter().map(|id| sha256(id)).collect()
    }

    /// What it says of processes, in our words, with `over` before it where that says something.
    pub(super) fn image_config(&self, over: &ImageConfig) -> ImageConfig {
        let empty = Process::default();
        let process = self.config.as_ref().unwrap_or(&empty);
        let own = process.env.iter().flatten().map(|pair| match pair.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (pair.clone(), String::new()),
        });
        let text = |over: &String, own: &Option<String>| {
            if over.is_empty() { own.clone().unwrap_or_default() } else { over.clone() }
        };
        let list = |over: &Vec<String>, own: &Option<Vec<String>>| {
            if over.is_empty() { own.clone().unwrap_or_default() } else { over.clone() }
        };
        let labels = process.labels.clone().unwrap_or_default();
        ImageConfig {
            env: own.chain(over.env.clone()).collect(),
            workdir: text(&over.workdir, &process.working_dir),
            user: text(&over.user, &process.user),
            entrypoint: list(&over.entrypoint, &process.entrypoint),
            cmd: list(&over.cmd, &process.cmd),
            labels: labels.into_iter().chain(over.labels.clone()).collect(),
            exposed_ports: names_of(process.exposed_ports.as_ref())
                .chain(over.exposed_ports.clone())
                .collect(),
            volumes: names_of(process.volumes.as_ref()).chain(over.volumes.clone()).collect(),
            stop_signal: text(&over.stop_signal, &process.stop_signal),
            healthcheck: over
                .healthcheck
                .clone()
                .or_else(|| process.healthcheck.as_ref().map(HealthConfig::healthcheck)),
            shell: list(&over.shell, &process.shell),
            on_build: list(&over.on_build, &process.on_build),
        }
    }
}

/// Reads a document.
pub(super) fn parse<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| format!("{what} makes no sense: {error}"))
}

fn sha256(text: &str) -> Result<Digest, String> {
    text.strip_prefix("sha256:")
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| format!("`{}` is no SHA-256 digest", text.escape_debug()))
}

/// The key of a layer of an image that was not made here: its tar stream's digest alone, so that it
/// is one layer whatever lies below it.
pub(super) fn layer_key(diff_id: Digest) -> LayerKey {
    let builder = DigestBuilder::new("evalrun layer of a tar stream v2");
    LayerKey(builder.field("diff id", diff_id.to_string()).finish())
}

/// Makes sure of one layer: `open` gives its stream, compressed or not, if it is not here yet.
/// Its digests are verified before it takes its place. [`StoreError::Corrupt`]: the stream is not
/// the one that was asked for. `with`: all layers of its image. It is kept until the hold is dropped.
pub(super) fn ensure_layer<R: Read>(
    store: &Store,
    diff_id: Digest,
    blob: Option<Digest>,
    with: &[LayerKey],
    open: impl FnOnce() -> Result<R, StoreError>,
) -> Result<ImageHold, StoreError> {
    let key = layer_key(diff_id);
    if let Some(hold) = kept(store, key)? {
        return Ok(hold);
    }
    let layer = store.begin()?;
    let mut compressed = Hashing::new(open()?);
    let filled = fill(&layer, &mut compressed, store, with);
    if let Err(error @ StoreError::OverBudget { .. }) = filled {
        return Err(error);
    }
    // What stands behind the compressed stream belongs to the blob too; and of a stream that makes
    // no sense the rest is read to tell a damaged one from a bad one.
    let rest = std::io::copy(&mut compressed, &mut std::io::sink());
    let found = match (filled, rest) {
        (Ok(_), Err(error)) => return Err(error.into()),
        (Err(error), Err(_)) => return Err(error),
        (filled, Ok(_)) => {
            let (found, _) = compressed.finish();
            if let Some(blob) = blob.filter(|blob| *blob != found) {
                return Err(StoreError::Corrupt { what: format!("blob sha256:{blob}"), found });
            }
            filled?
        }
    };
    if found != diff_id {
        let what = format!("layer sha256:{diff_id}, unpacked,");
        return Err(StoreError::Corrupt { what, found });
    }
    layer.commit_layer(key, with)
}

/// Keeps a layer that is here and can be relied on.
pub(super) fn kept(store: &Store, key: LayerKey) -> Result<Option<ImageHold>, StoreError> {
    let hold = store.hold_layers(&[key])?;
    Ok(hold.filter(|_| store.layer(&key).is_ok_and(|layer| layer.is_some())))
}

/// Unpacks a stream into a layer; returns the digest of it without its compression.
fn fill(
    layer: &NewLayer,
    compressed: impl Read,
    store: &Store,
    with: &[LayerKey],
) -> Result<Digest, StoreError> {
    let mut refused = None;
    let paced = Paced::new(decompress::reader(compressed)?, store, with, &mut refused);
    let mut plain = Hashing::new(paced);
    let filled = import::fill(layer, &mut plain, true, store);
    let (digest, _) = plain.finish();
    refused.map_or(filled, Err)?;
    Ok(digest)
}

/// Writes an image of layers that are in place under a key of its own.
pub(super) fn register(
    store: &Store,
    key: LayerKey,
    layers: Vec<LayerKey>,
    config: ImageConfig,
) -> Result<super::ImageKey, StoreError> {
    let image = NewImage { key, parent: None, config, binds: Vec::new() };
    if layers.is_empty() {
        // An image of nothing still needs a layer to be mounted.
        return store.begin()?.commit(image);
    }
    store.register(image, each_once(layers))
}

/// A layer that stands in an image twice counts where it stands highest: what it says there hides
/// what it said below, and overlayfs takes no directory twice.
fn each_once(layers: Vec<LayerKey>) -> Vec<LayerKey> {
    let mut seen = BTreeSet::new();
    let mut kept: Vec<_> = layers.into_iter().rev().filter(|layer| seen.insert(*layer)).collect();
    kept.reverse();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_that_stands_twice_counts_where_it_stands_highest() {
        let [a, b, c] = ["a", "b", "c"].map(|name| layer_key(Digest::of(name)));
        assert_eq!(each_once(vec![a, b, a, c, b]), [a, c, b]);
    }

    #[test]
    fn a_config_is_read_and_overridden() {
        let text = r#"{"architecture":"amd64","os":"linux","config":{"Env":["PATH=/bin","A=1=2"],
            "Cmd":["sh"],"Entrypoint":null,"WorkingDir":"/w","User":"","Labels":null},
            "rootfs":{"type":"layers","diff_ids":[]}}"#;
        let config: Config = parse("config", text.as_bytes()).unwrap();
        let mut over = ImageConfig::default();
        over.env.insert("PATH".into(), "/usr/bin".into());
        let image = config.image_config(&over);
        assert_eq!(image.env["PATH"], "/usr/bin");
        assert_eq!(image.env["A"], "1=2");
        assert_eq!((image.workdir.as_str(), image.cmd.as_slice()), ("/w", &["sh".to_owned()][..]));
    }
}
