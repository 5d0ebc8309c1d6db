//! The store as one process sees it.

use super::*;
use crate::layers::{ImageConfig, TagOrigin};
use crate::model::Digest;

fn key(text: &str) -> LayerKey {
    LayerKey(Digest::of(text))
}

fn new_image(text: &str, parent: Option<ImageKey>) -> NewImage {
    NewImage { key: key(text), parent, config: ImageConfig::default(), binds: Vec::new() }
}

fn store() -> (tempfile::TempDir, Store) {
    let home = tempfile::tempdir().unwrap();
    let store = Store::open(home.path()).unwrap();
    (home, store)
}

#[test]
fn layers_stack_and_names_resolve() {
    let (home, store) = store();
    let base = store.begin().unwrap();
    fs_err::write(base.root().join("file"), "base").unwrap();
    let mut image = new_image("base", None);
    image.binds.push("/usr".into());
    let base = base.commit(image).unwrap();

    let upper = home.path().join("upper");
    fs_err::create_dir(&upper).unwrap();
    fs_err::write(upper.join("more"), "top").unwrap();
    let top = store.adopt(&upper, new_image("top", Some(base))).unwrap();
    assert!(!upper.exists());

    let stored = store.image(&top).unwrap().unwrap();
    assert_eq!(stored.layers, [key("base"), key("top")]);
    assert_eq!(stored.binds, [PathBuf::from("/usr")]);
    assert!(stored.size > 0);
    assert_eq!(fs_err::read(store.layer_dir(&key("top")).join("more")).unwrap(), b"top");

    store.tag("swebench/x", &top, TagOrigin::Built).unwrap();
    assert_eq!(store.resolve("docker.io/swebench/x:latest"), Some((top, TagOrigin::Built)));
    assert_eq!(store.resolve("swebench/y"), None);
    assert_eq!(store.images().unwrap().len(), 2);
    store.forget(&top).unwrap();
    assert!(!store.contains(&top));
    assert_eq!(store.resolve("swebench/x"), None);
}

#[test]
fn the_first_layer_of_a_key_stays() {
    let (_home, store) = store();
    for text in ["first", "second"] {
        let layer = store.begin().unwrap();
        fs_err::write(layer.root().join("file"), text).unwrap();
        layer.commit(new_image("same", None)).unwrap();
    }
    let file = store.layer_dir(&key("same")).join("file");
    assert_eq!(fs_err::read(file).unwrap(), b"first");
    let missing = ImageKey(Digest::of("missing"));
    let layer = store.begin().unwrap();
    let refused = layer.commit(new_image("child", Some(missing)));
    assert!(matches!(refused, Err(StoreError::NoSuchImage(key)) if key == missing));
}

#[test]
fn a_layer_that_was_not_synced_before_the_machine_stopped_is_not_there() {
    let (home, store) = store();
    let upper = home.path().join("upper");
    fs_err::create_dir(&upper).unwrap();
    let image = store.adopt_unsynced(&upper, new_image("x", None)).unwrap();
    assert!(store.contains(&image));
    let path = store.layer_home(&key("x")).join("layer.json");
    let mut record: LayerRecord = record::read(&path).unwrap().unwrap();
    record.unsynced_boot = Some("another boot".to_owned());
    record::write(&path, &record).unwrap();
    assert!(!store.contains(&image));
    let again = store.begin().unwrap();
    fs_err::write(again.root().join("again"), "").unwrap();
    again.commit(new_image("x", None)).unwrap();
    assert!(store.layer_dir(&key("x")).join("again").exists());
}

#[test]
fn what_dead_processes_left_is_swept_and_what_lives_is_not() {
    let (home, store) = store();
    let living = store.begin().unwrap();
    let left = home.path().join("layers-v1/.making-1-dead");
    fs_err::create_dir_all(left.join("layer-0/fs")).unwrap();
    let other = Store::open(home.path()).unwrap();
    assert_eq!(other.sweep().unwrap(), 1);
    assert!(!left.exists());
    assert!(living.root().exists());
}

/// An image of one layer with these files: path, content, seconds of its time.
fn image_of(store: &Store, name: &str, files: &[(&str, &str, i64)]) -> ImageKey {
    let layer = store.begin().unwrap();
    for (path, content, seconds) in files {
        let path = layer.root().join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, content.repeat(2000)).unwrap();
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds.unsigned_abs());
        fs_err::File::options().write(true).open(&path).unwrap().file().set_modified(time).unwrap();
    }
    layer.commit(new_image(name, None)).unwrap()
}

#[test]
fn equal_files_at_equal_paths_are_one() {
    use std::os::unix::fs::MetadataExt as _;
    let (_home, store) = store();
    let same = [("a/same", "text", 5), ("a/moved", "here", 5), ("a/time", "late", 5)];
    let one = image_of(&store, "one", &same);
    let apart = [("a/same", "text", 5), ("b/moved", "here", 5), ("a/time", "late", 6)];
    let two = image_of(&store, "two", &apart);
    let inode = |image: ImageKey, path: &str| {
        fs_err::metadata(store.layer_dir(&LayerKey(image.0)).join(path)).unwrap().ino()
    };
    assert_eq!(inode(one, "a/same"), inode(two, "a/same"));
    assert_ne!(inode(one, "a/moved"), inode(two, "b/moved"), "never two paths");
    assert_ne!(inode(one, "a/time"), inode(two, "a/time"));
    let usage = store.usage().unwrap();
    let of = |key| usage.images.iter().find(|image| image.key == key).unwrap();
    assert!(of(one).shared >= 8000 && of(one).unique >= 16_000, "{usage:?}");
    let unique = of(one).unique + of(two).unique;
    assert_eq!(usage.apart, unique + 2 * of(one).shared, "{usage:?}");
    assert_eq!(store.verify(true).unwrap().len(), 0);

    // The one that is left keeps what it shared; with it all goes.
    store.forget(&one).unwrap();
    let pruned = store.prune(&crate::layers::Prune::default()).unwrap();
    assert!(pruned.bytes >= 16_000 && pruned.images.len() == 1, "nobody named {two}: {pruned:?}");
    assert_eq!(store.pool().size().unwrap().unused, 0);
    assert_eq!(store.layer_keys().unwrap().len(), 0);
}

#[test]
fn what_was_changed_is_named_and_shared_no_more() {
    let (_home, store) = store();
    let files = [("etc/kept", "kept", 1), ("etc/bad", "good", 1)];
    let one = image_of(&store, "one", &files);
    let path = store.layer_dir(&LayerKey(one.0)).join("etc/bad");
    let time = fs_err::metadata(&path).unwrap().modified().unwrap();
    let file = fs_err::File::options().write(true).open(&path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(file.file(), b"evil", 0).unwrap();
    file.file().set_modified(time).unwrap();
    assert_eq!(store.verify(false).unwrap().len(), 0, "only a deep look sees content");
    let faults = store.verify(true).unwrap();
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].path.ends_with("etc/bad") && faults[0].why.contains("content"));
    // What is made from now on is whole, and the rest is still shared.
    let two = image_of(&store, "two", &files);
    let read = fs_err::read_to_string(store.layer_dir(&LayerKey(two.0)).join("etc/bad")).unwrap();
    assert!(read.starts_with("goodgood"));
    assert_eq!(store.verify(true).unwrap().len(), 1);
}

#[test]
fn a_pulled_image_that_is_held_is_not_evicted() {
    let (_home, store) = store();
    let made = image_of(&store, "made-one", &[("file", "made-one", 1)]);
    let layers = store.image(&made).unwrap().unwrap().layers;
    let pulled = store.register(new_image("its manifest's digest", None), layers).unwrap();
    store.forget(&made).unwrap();
    let hold = store.hold(&pulled).unwrap().unwrap();
    store.set_budget(Some(1)).unwrap();
    assert!(store.make_room(0).unwrap() > 0);
    assert!(store.contains(&pulled));
    drop(hold);
    store.make_room(0).unwrap();
    assert!(!store.contains(&pulled) && store.hold(&pulled).unwrap().is_none());
}

#[test]
fn a_budget_evicts_what_was_not_used_for_longest_and_never_what_is_held() {
    let (_home, store) = store();
    let make = |name: &str| {
        let image = image_of(&store, name, &[("file", name, 1)]);
        std::thread::sleep(std::time::Duration::from_millis(5));
        image
    };
    let (old, held, new) = (make("old-one-"), make("held-one"), make("new-one-"));
    let hold = store.hold(&held).unwrap().unwrap();
    drop(store.hold(&old).unwrap().unwrap());
    let used = store.bytes().unwrap();
    store.set_budget(Some(used + 30_000)).unwrap();
    let next = make("next-one");
    assert!(!store.contains(&new), "it was used before `old`");
    assert!(store.contains(&old) && store.contains(&held) && store.contains(&next));
    assert!(store.bytes().unwrap() <= used + 30_000);
    // What is held and what is new do not fit together.
    store.set_budget(Some(120_000)).unwrap();
    let layer = store.begin().unwrap();
    fs_err::write(layer.root().join("big"), vec![1; 40_000]).unwrap();
    let waits = std::thread::spawn(move || layer.commit(new_image("big", None)));
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(!waits.is_finished(), "it waits for what is held");
    drop(hold);
    let big = waits.join().unwrap().unwrap();
    assert!(store.contains(&big) && !store.contains(&held));
    let layer = store.begin().unwrap();
    fs_err::write(layer.root().join("huge"), vec![1; 80_000]).unwrap();
    let error = layer.commit(new_image("huge", None)).unwrap_err();
    assert!(matches!(error, StoreError::OverBudget { limit: 120_000, .. }), "{error}");
}
