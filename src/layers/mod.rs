//! The content-addressed store of root file system layers, and what fills it.

mod key;

pub use key::{ImageConfig, ImageKey, LayerKey};
