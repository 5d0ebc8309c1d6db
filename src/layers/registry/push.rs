//! From the store to a registry.
