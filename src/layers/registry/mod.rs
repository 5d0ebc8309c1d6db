//! Images from registries, and to them.
//!
//! A pull reads the manifest, chooses the image for the platform, and downloads the layers that are
//! not in the store, several at a time, each straight from the network into its directory. Nothing
//! is believed that has a digest: manifest, config, the layer as it came and as it was unpacked. A
//! download that breaks goes on where it broke. A layer is downloaded once, however many images
//! need it, in this process or another.
//!
//! What the client library does not have is done here: caps on what is read, patience with limits
//! on requests, and ranges. It gives names, tokens and pushes.

mod blob;
mod error;
mod http;
mod keys;
mod place;
mod pull;
mod push;

pub use error::RegistryError;
pub use place::Mirror;
pub use pull::Pulled;

use super::{LayerKey, Platform, Store};
use http::Client;
use keys::Keys;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tokio::sync::Semaphore;

/// What we call ourselves.
const USER_AGENT: &str = concat!("evalrun/", env!("CARGO_PKG_VERSION"));

/// How registries are reached.
#[derive(Clone)]
pub struct RegistryOptions {
    /// Docker's `config.json`, for credentials.
    pub docker_config: Option<PathBuf>,
    /// Registries (`host`, `host:port`) that are spoken to without TLS, besides those on this
    /// machine.
    pub plain_http: Vec<String>,
    /// Asked before the registries that they stand for, in this order.
    pub mirrors: Vec<Mirror>,
    /// Which image of an index is wanted.
    pub platform: Platform,
    /// Layers that are downloaded at a time, whatever the number of images.
    pub downloads: usize,
    /// Told how it goes; must return at once.
    pub watcher: Option<PullWatcher>,
}

impl Default for RegistryOptions {
    fn default() -> Self {
        Self {
            docker_config: None,
            plain_http: Vec::new(),
            mirrors: Vec::new(),
            platform: Platform::here(),
            downloads: 6,
            watcher: None,
        }
    }
}

/// Told of what happens while images are pulled.
pub type PullWatcher = Arc<dyn Fn(&PullEvent) + Send + Sync>;

/// What happens while images are pulled.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PullEvent {
    /// A layer is about to be downloaded.
    Layer {
        /// The image that needs it.
        image: String,
        /// Its bytes, as they come.
        bytes: u64,
    },
    /// So many bytes of layers have come.
    Bytes(u64),
    /// A layer came damaged; its bytes are downloaded again.
    Again {
        /// Image and blob.
        what: String,
        /// Its bytes.
        bytes: u64,
    },
}

/// A way to registries. Cheap to clone; clones share their tokens and downloads.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    store: Store,
    options: RegistryOptions,
    client: Client,
    turns: Arc<Semaphore>,
    /// Layers that this process is about to have: the others wait.
    layers: Mutex<HashMap<LayerKey, Arc<tokio::sync::Mutex<()>>>>,
}

impl Registry {
    /// Images of registries for this store.
    ///
    /// # Errors
    /// [`RegistryError::Failed`] if no client can be made, for want of root certificates for one.
    pub fn new(store: Store, options: RegistryOptions) -> Result<Self, RegistryError> {
        // Another part of the process may have chosen a provider already: that one will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let failed = |why: String| RegistryError::Failed { what: "registries".to_owned(), why };
        let keys =
            Keys::new(options.docker_config.clone()).map_err(|error| failed(error.to_string()))?;
        let client = Client::new(keys).map_err(|error| failed(error.to_string()))?;
        let turns = Arc::new(Semaphore::new(options.downloads.max(1)));
        Ok(Self(Arc::new(Inner { store, options, client, turns, layers: Mutex::default() })))
    }

    /// The store that images are pulled into.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.0.store
    }
}

impl Inner {
    fn tell(&self, event: PullEvent) {
        if let Some(watcher) = &self.options.watcher {
            watcher(&event);
        }
    }
}

/// Does what blocks in a thread that may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, super::StoreError> + Send + 'static,
) -> Result<T, RegistryError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        Err(error) => Err(super::StoreError::Io(std::io::Error::other(error)).into()),
    }
}
