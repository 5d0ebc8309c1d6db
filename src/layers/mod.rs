//! The content-addressed store of root file system layers, and what fills it.
//!
//! Everything here blocks: asynchronous callers go through `tokio::task::spawn_blocking`.

mod archive;
mod budget;
mod contents;
mod cost;
mod decompress;
mod disk;
mod error;
mod export;
mod hashing;
mod hold;
pub mod host;
mod import;
mod key;
mod lock;
mod names;
mod oci;
pub(crate) mod owners;
mod pace;
mod place;
mod platform;
mod pool;
mod prune;
mod record;
mod registry;
mod remove;
mod store;
mod tags;
pub mod unpack;
mod usage;
mod verify;
mod workshop;

pub use archive::{Imported, import_image};
pub use budget::Room;
pub use cost::{ImageUsage, StoreUsage};
pub use decompress::reader as plain_stream;
pub use error::StoreError;
pub use export::{Squeeze, export_archive, export_image};
pub use hold::ImageHold;
pub use host::host_key;
pub use import::{import_archive, import_directory, import_tar};
pub use key::{Healthcheck, ImageConfig, ImageKey, LayerKey};
pub use lock::UseGuard;
pub(crate) use lock::for_a_moment;
pub use platform::Platform;
pub use prune::{Prune, Pruned};
pub use record::{ImageEntry, Marks, NewImage, StoredImage, TagOrigin};
pub use registry::{
    Mirror, PullEvent, PullWatcher, Pulled, Registry, RegistryError, RegistryOptions,
};
pub use remove::remove_tree;
pub use store::Store;
pub use verify::Fault;
pub use workshop::NewLayer;
