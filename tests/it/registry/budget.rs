//! Pulls under a disk budget.

use super::Bench;
use crate::store::on_disk;
use evalrun::layers::{ImageConfig, ImageKey, LayerKey, NewImage, RegistryError, StoreError};
use evalrun::model::Digest;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const BUDGET: u64 = 6 << 20;

/// Publishes an image of layers of a megabyte each that no other image has; returns its name.
async fn publish(bench: &Bench, name: &str, layers: u32) -> String {
    let store = bench.store("made");
    let mut image: Option<ImageKey> = None;
    for number in 0..layers {
        let layer = store.begin().unwrap();
        for file in 0..8_u32 {
            let content: String = (0..2048_u32)
                .map(|at| Digest::of(format!("{name} {number} {file} {at}")).to_string())
                .collect();
            fs_err::write(layer.root().join(format!("{number}-{file}")), content).unwrap();
        }
        let key = LayerKey(Digest::of(format!("{name} {number}")));
        let config = ImageConfig::default();
        let made = NewImage { key, parent: image, config, binds: vec![] };
        image = Some(layer.commit(made).unwrap());
    }
    let full = format!("{}/{name}", bench.address);
    bench.registry(&store).push(&image.unwrap(), &full).await.unwrap();
    full
}

/// The files of layers that are below a directory.
fn files(home: &Path) -> impl Iterator<Item = walkdir::DirEntry> {
    let is_of_a_layer = |entry: &walkdir::DirEntry| {
        entry.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() == 128 << 10)
    };
    walkdir::WalkDir::new(home).into_iter().flatten().filter(is_of_a_layer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_waits_for_what_is_held_and_never_exceeds_the_budget() {
    let Some(bench) = Bench::new() else { return };
    let first = publish(&bench, "first", 3).await;
    let second = publish(&bench, "second", 3).await;
    let large = publish(&bench, "large", 8).await;
    let home = bench.folder.path().join("small");
    let store = bench.store("small");
    store.set_budget(Some(BUDGET)).unwrap();
    let (ended, peak) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let watcher = std::thread::spawn({
        let (ended, peak) = (ended.clone(), peak.clone());
        move || {
            while !ended.load(Ordering::Relaxed) {
                peak.fetch_max(on_disk(&home), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    });
    let registry = bench.registry(&store);
    let held = registry.pull(&first).await.unwrap();
    let hold = store.hold(&held.key).unwrap().unwrap();
    let waits = tokio::spawn({
        let registry = bench.registry(&store);
        async move { registry.pull(&second).await }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!waits.is_finished(), "it does not wait: {:?}", waits.await);
    assert!(store.contains(&held.key));
    drop(hold);
    let pulled = waits.await.unwrap().unwrap();
    assert!(store.contains(&pulled.key) && !store.contains(&held.key));

    // With nothing to wait for it is told, and nothing of it is kept.
    let error = registry.pull(&large).await.unwrap_err();
    let RegistryError::Layer { source: StoreError::OverBudget { limit, .. }, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(limit, BUDGET);
    // What is unpacked beside the layer that failed ends by itself.
    for _ in 0..500 {
        store.make_room(BUDGET).unwrap();
        if files(store.home()).next().is_none() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    ended.store(true, Ordering::Relaxed);
    watcher.join().unwrap();
    let peak = peak.load(Ordering::Relaxed);
    assert!(peak > BUDGET / 2 && peak <= BUDGET, "{peak} bytes at most, {BUDGET} are allowed");
    let left: Vec<_> = files(store.home()).collect();
    assert!(left.is_empty(), "{left:?} are left");
}
