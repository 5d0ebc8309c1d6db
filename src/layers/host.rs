//! This machine's own programs as an image: nothing is downloaded and little is copied.

use super::{ImageConfig, ImageKey, LayerKey, Store, StoreError};
use crate::model::DigestBuilder;

/// The command path of every sandbox on a host image.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a host image says of its processes: the standard command path and nothing of this
/// machine's own environment.
#[must_use]
pub fn config() -> ImageConfig {
    let env = [("PATH", PATH), ("HOME", "/root"), ("LANG", "C.UTF-8")];
    ImageConfig {
        env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        ..ImageConfig::default()
    }
}

/// Makes the host image. Blocks.
///
/// # Errors
/// Trouble with files.
pub fn import(store: &Store, key: LayerKey, config: &ImageConfig) -> Result<ImageKey, StoreError> {
    let _ = (store, key, config);
    Err(StoreError::source_error("host", "not landed yet"))
}

/// The key of the host image for tasks that use these programs: it changes with the release of
/// the operating system, its packages and the programs.
#[must_use]
pub fn host_key(tools: &[String]) -> LayerKey {
    LayerKey(DigestBuilder::new("evalrun host layer v1").list("tool", tools).finish())
}
