//! Task lists and predictions, from files as people have them.

use evalrun::dataset::{self, Dataset, DatasetError, LoadOptions};
use std::path::{Path, PathBuf};

/// Options that name nothing outside the project.
fn options(cache: &Path) -> LoadOptions {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    LoadOptions {
        split: None,
        registry: root.join("datasets/registry.toml"),
        envs: vec![root.join("configs/envs")],
        cache: cache.to_owned(),
        hf_endpoint: None,
        hf_token: None,
        revision: None,
        offline: true,
        known_parser: Some(evalrun::grade::is_parser),
    }
}

fn load(path: &Path) -> Result<Dataset, DatasetError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(dataset::load(path.to_str().unwrap(), &options(Path::new("/nowhere"))))
}

/// A file of the real data; none, with a message, where the data is not at hand.
fn data(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("EVALRUN_TEST_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
        PathBuf::from,
    );
    let path = folder.join(name);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is missing", path.display());
    eprintln!("skipped: {} is missing", path.display());
    None
}

#[test]
fn every_real_row_loads() {
    for (name, count) in [
        ("verified.jsonl", 500),
        ("verified.parquet", 500),
        ("lite.parquet", 300),
        ("multilingual.jsonl", 300),
        ("multimodal-dev.jsonl", 102),
    ] {
        let Some(path) = data(&format!("swebench/{name}")) else { return };
        let dataset = load(&path).unwrap();
        assert_eq!(dataset.instances.len(), count, "{name}");
        assert_eq!(dataset.ids.len(), count, "{name}");
    }
}
