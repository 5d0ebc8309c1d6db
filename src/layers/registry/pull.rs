//! From a name to an image in the store.

use super::blob::{self, Blob};
use super::http::{Ask, Patience};
use super::place::Place;
use super::{Inner, PullEvent, Registry, RegistryError, blocking};
use crate::layers::oci::{self, Config, Descriptor, Index, Manifest};
use crate::layers::{ImageConfig, ImageHold, ImageKey, LayerKey, Store, StoreError, TagOrigin};
use crate::layers::{lock, platform};
use crate::model::Digest;
use bytes::Bytes;
use futures_util::future;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// Bytes of one layer, as it comes.
const MAX_LAYER: u64 = 64 << 30;
/// How often a layer is downloaded that comes damaged.
const TRIES: u32 = 3;
/// How long to wait before a lock of another process is tried again.
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// The documents that are understood, in the order in which they are wanted.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json";

/// An image that was pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// Its key: the digest of its config, which Docker calls the image's id.
    pub key: ImageKey,
    /// The name that was asked for.
    pub name: String,
    /// The digest of its manifest.
    pub manifest: Digest,
    /// How many of its layers were downloaded for this call.
    pub layers: usize,
    /// Bytes that were downloaded for this call.
    pub bytes: u64,
}

impl Registry {
    /// Makes sure that the store has what a name stands for at its registry now, under that name.
    /// Layers that are there already are not downloaded.
    ///
    /// # Errors
    /// [`RegistryError`]; layers that were complete stay and are not downloaded again.
    pub async fn pull(&self, name: &str) -> Result<Pulled, RegistryError> {
        self.pull_held(name).await.map(|(pulled, _)| pulled)
    }

    /// The same, and keeps the image in its place.
    ///
    /// # Errors
    /// Those of [`pull`](Self::pull).
    pub async fn pull_held(&self, name: &str) -> Result<(Pulled, ImageHold), RegistryError> {
        let inner = &self.0;
        let place = Arc::new(Place::new(name, &inner.options)?);
        let store = inner.store.clone();
        // No layer that is found to be here may be pruned before the image is written down.
        let _using = blocking(move || store.prune_lock()).await?;
        let (digest, manifest) = inner.manifest(&place).await?;
        let (id, config) = inner.config(&place, &manifest).await?;
        let (key, store) = (LayerKey(id), inner.store.clone());
        let here = blocking(move || store.hold(&key.into())).await?;
        let counts = Counts::default();
        let hold = match here {
            Some(hold) => hold,
            None => {
                let layers = inner.layers(&place, &manifest, &config, &counts).await?;
                let store = inner.store.clone();
                let config = config.image_config(&ImageConfig::default());
                blocking(move || register(&store, key, layers, config)).await?
            }
        };
        let (store, named) = (inner.store.clone(), place.name.clone());
        blocking(move || store.tag(&named, &key.into(), TagOrigin::Pulled)).await?;
        let pulled = Pulled {
            key: key.into(),
            name: place.name.clone(),
            manifest: digest,
            layers: counts.layers.load(Ordering::Relaxed),
            bytes: counts.bytes.load(Ordering::Relaxed),
        };
        Ok((pulled, hold))
    }
}

/// Writes an image down and keeps it.
fn register(
    store: &Store,
    key: LayerKey,
    layers: Vec<(LayerKey, ImageHold)>,
    config: ImageConfig,
) -> Result<ImageHold, StoreError> {
    let keys = layers.iter().map(|(key, _)| *key).collect();
    let image = oci::register(store, key, keys, config)?;
    // Its layers are kept until the image is.
    store.hold(&image)?.ok_or(StoreError::NoSuchImage(image))
}

/// What a pull has downloaded.
#[derive(Default)]
struct Counts {
    layers: AtomicUsize,
    bytes: AtomicU64,
}

/// A layer that is wanted, and the layers of its image.
struct Wanted {
    blob: Blob,
    diff_id: Digest,
    with: Arc<[LayerKey]>,
}

/// What a document says of itself.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kind {
    #[serde(default)]
    schema_version: u32,
    #[serde(default)]
    media_type: String,
}

impl Inner {
    /// The manifest of the image for the platform, and its digest.
    async fn manifest(&self, place: &Place) -> Result<(Digest, Manifest), RegistryError> {
        let bad = |why: String| RegistryError::Senseless { what: place.name.clone(), why };
        let version = place.version().to_owned();
        let wanted = version.strip_prefix("sha256:").map(str::parse).transpose();
        let mut wanted: Option<Digest> =
            wanted.map_err(|_| bad(format!("`{version}` is no digest")))?;
        let mut version = version;
        // An index points to manifests; one that points to indexes is nobody's.
        for _ in 0..2 {
            let what = format!("{}: manifest {version}", place.name);
            let (bytes, kind) =
                self.document(place, &format!("manifests/{version}"), (MANIFESTS, &what)).await?;
            let found = Digest::of(&bytes);
            if let Some(wanted) = wanted.filter(|wanted| *wanted != found) {
                let what = format!("{}: manifest sha256:{wanted}", place.name);
                return Err(RegistryError::Layer {
                    what: what.clone(),
                    source: StoreError::Corrupt { what: "it".to_owned(), found },
                });
            }
            let said: Kind = oci::parse("its manifest", &bytes).map_err(bad)?;
            let kind = if said.media_type.is_empty() { kind } else { said.media_type };
            if said.schema_version != 2 {
                let why = "its manifest is of Docker's first form, which no digest protects; push \
                           the image again with a newer Docker";
                return Err(bad(why.to_owned()));
            }
            if !(kind.contains("image.index") || kind.contains("manifest.list")) {
                return Ok((found, oci::parse("its manifest", &bytes).map_err(bad)?));
            }
            let index: Index = oci::parse("its index", &bytes).map_err(bad)?;
            let chosen = platform::choose(index, &self.options.platform).map_err(bad)?;
            let digest = chosen.digest().map_err(bad)?;
            version = format!("sha256:{digest}");
            wanted = Some(digest);
        }
        Err(bad("its index points to an index".to_owned()))
    }

    /// The config of an image, and its digest.
    async fn config(
        &self,
        place: &Place,
        manifest: &Manifest,
    ) -> Result<(Digest, Config), RegistryError> {
        let bad = |why: String| RegistryError::Senseless { what: place.name.clone(), why };
        let descriptor = &manifest.config;
        let kind = descriptor.media_type.as_str();
        let known = [
            "",
            "application/vnd.oci.image.config.v1+json",
            "application/vnd.docker.container.image.v1+json",
            "application/octet-stream",
        ];
        if !known.contains(&kind) {
            return Err(bad(format!("it is no image but `{}`", kind.escape_debug())));
        }
        let digest = descriptor.digest().map_err(bad)?;
        let what = format!("{}: config sha256:{digest}", place.name);
        let path = format!("blobs/sha256:{digest}");
        for _ in 0..TRIES {
            let (bytes, _) = self.document(place, &path, ("*/*", &what)).await?;
            if Digest::of(&bytes) == digest {
                let config: Config = oci::parse("its config", &bytes).map_err(bad)?;
                let (own, wanted) = (&config.platform, &self.options.platform);
                if !own.is(wanted) {
                    // As Docker does: what images say of themselves is not always right.
                    tracing::warn!("{} is for {own}, and {wanted} is wanted", place.name);
                }
                return Ok((digest, config));
            }
        }
        Err(RegistryError::Senseless {
            what,
            why: "it is damaged: its digest is another".to_owned(),
        })
    }

    /// A small file from the first address that has it, and what the answer says it is.
    async fn document(
        &self,
        place: &Place,
        path: &str,
        (accept, what): (&'static str, &str),
    ) -> Result<(Bytes, String), RegistryError> {
        let last = place.endpoints.len() - 1;
        for (number, endpoint) in place.endpoints.iter().enumerate() {
            let ask = Ask { endpoint, path, accept, what };
            let mut patience = Patience::default();
            match self.client.document(&ask, oci::MAX_DOCUMENT, &mut patience).await {
                Ok((bytes, headers)) => {
                    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
                    return Ok((bytes, kind.unwrap_or_default().to_owned()));
                }
                Err(error) if number < last => tracing::info!("{error}; asking elsewhere"),
                Err(error) => return Err(error),
            }
        }
        unreachable!("the last address returns")
    }

    /// Makes sure of all layers, several at a time, and keeps them; the bottom one first.
    async fn layers(
        &self,
        place: &Place,
        manifest: &Manifest,
        config: &Config,
        counts: &Counts,
    ) -> Result<Vec<(LayerKey, ImageHold)>, RegistryError> {
        let bad = |why: String| RegistryError::Senseless { what: place.name.clone(), why };
        let diff_ids = config.diff_ids().map_err(bad)?;
        let (stated, found) = (diff_ids.len(), manifest.layers.len());
        if stated != found {
            return Err(bad(format!("it has {found} layers, and its config {stated}")));
        }
        let mut wanted = Vec::new();
        for (descriptor, diff_id) in manifest.layers.iter().zip(diff_ids) {
            wanted.push((layer_blob(descriptor).map_err(bad)?, diff_id));
        }
        let keys: Vec<_> = wanted.iter().map(|(_, diff_id)| oci::layer_key(*diff_id)).collect();
        let with: Arc<[LayerKey]> = keys.into();
        let all = wanted.into_iter().map(|(blob, diff_id)| {
            let wanted = Wanted { blob, diff_id, with: with.clone() };
            async move { self.layer(place, &wanted, counts).await }
        });
        future::try_join_all(all).await
    }

    /// Makes sure of one layer and keeps it. Who else needs it, here or in another process, waits.
    async fn layer(
        &self,
        place: &Place,
        wanted: &Wanted,
        counts: &Counts,
    ) -> Result<(LayerKey, ImageHold), RegistryError> {
        let (key, blob) = (oci::layer_key(wanted.diff_id), &wanted.blob);
        let mine = {
            let mut layers = self.layers.lock().expect("no holder panics");
            layers.entry(key).or_default().clone()
        };
        let _mine = mine.lock().await;
        if let Some(hold) = self.keep(key).await? {
            return Ok((key, hold));
        }
        let locks = self.store.home().join("locks-v1");
        let lock = locks.join(key.to_string());
        blocking(move || Ok(fs_err::create_dir_all(locks)?)).await?;
        let _ours = loop {
            let lock = lock.clone();
            match blocking(move || lock::try_exclusive(&lock)).await? {
                Some(guard) => break guard,
                // Waiting by trying again leaves no thread behind when the wait is given up.
                None => tokio::time::sleep(LOCK_PAUSE).await,
            }
        };
        if let Some(hold) = self.keep(key).await? {
            return Ok((key, hold));
        }
        self.tell(PullEvent::Layer { image: place.name.clone(), bytes: blob.size });
        let mut tried = 1;
        loop {
            match self.fetch(place, wanted, counts).await {
                Ok(hold) => {
                    counts.layers.fetch_add(1, Ordering::Relaxed);
                    return Ok((key, hold));
                }
                Err(RegistryError::Layer { what, source: StoreError::Corrupt { .. } })
                    if tried < TRIES =>
                {
                    tracing::info!("{what} came damaged; downloading it again");
                    self.tell(PullEvent::Again { what, bytes: blob.size });
                    tried += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Keeps a layer, if it is here.
    async fn keep(&self, key: LayerKey) -> Result<Option<ImageHold>, RegistryError> {
        let store = self.store.clone();
        blocking(move || oci::kept(&store, key)).await
    }

    /// Downloads a layer and unpacks it while it comes.
    async fn fetch(
        &self,
        place: &Place,
        Wanted { blob, diff_id, with }: &Wanted,
        counts: &Counts,
    ) -> Result<ImageHold, RegistryError> {
        let turn = self.turns.clone().acquire_owned().await;
        let turn = turn.expect("the semaphore is never closed");
        let (sender, reader) = blob::pipe(blob.size, turn);
        let (store, digest) = (self.store.clone(), blob.digest);
        let (diff_id, with) = (*diff_id, with.clone());
        let unpacking = tokio::task::spawn_blocking(move || {
            oci::ensure_layer(&store, diff_id, Some(digest), &with, || Ok(reader))
        });
        let tell = |bytes| {
            counts.bytes.fetch_add(bytes, Ordering::Relaxed);
            self.tell(PullEvent::Bytes(bytes));
        };
        let downloading = blob::download(&self.client, place, blob, sender, &tell);
        let (downloaded, unpacked) = tokio::join!(downloading, unpacking);
        let unpacked =
            unpacked.unwrap_or_else(|panic| Err(StoreError::Io(std::io::Error::other(panic))));
        match (downloaded, unpacked) {
            (_, Ok(hold)) => Ok(hold),
            // A download that failed ends what reads it: its error is the cause of the other. Unless
            // nobody reads on because there is no room.
            (Err(error), Err(found)) if !matches!(found, StoreError::OverBudget { .. }) => {
                Err(error)
            }
            (_, Err(source)) => {
                let what = format!("{}: blob sha256:{}", place.name, blob.digest);
                Err(RegistryError::Layer { what, source })
            }
        }
    }
}

/// The blob of a layer.
fn layer_blob(descriptor: &Descriptor) -> Result<Blob, String> {
    let kind = &descriptor.media_type;
    let readable = kind.is_empty() || kind.contains("tar") || kind == "application/octet-stream";
    if !readable || kind.ends_with("+encrypted") {
        return Err(format!("one of its layers is of the kind `{}`", kind.escape_debug()));
    }
    let digest = descriptor.digest()?;
    let size = descriptor
        .size
        .ok_or_else(|| format!("the size of layer sha256:{digest} is not stated"))?;
    if size > MAX_LAYER {
        return Err(format!("layer sha256:{digest} has {size} bytes, more than {MAX_LAYER}"));
    }
    Ok(Blob { digest, size, urls: descriptor.urls.clone() })
}
