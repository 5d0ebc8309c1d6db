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
