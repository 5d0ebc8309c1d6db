//! Images: what is written in a sandbox stays in it, and a snapshot hands it on.

use super::bench::{Bench, layer, printed, shell};
use evalrun::layers::{ImageConfig, ImageKey, host};
use evalrun::model::Status;
use evalrun::sandbox::{Command, SandboxError, SandboxOptions, Upper};

pub(super) async fn an_unknown_image_is_refused(bench: &Bench) {
    let unknown = ImageKey::from(layer("nobody made this"));
    assert!(!bench.backend.contains(&unknown).await.unwrap());
    let refused = bench.backend.create(&unknown, &SandboxOptions::default()).await;
    assert!(matches!(refused.err(), Some(SandboxError::NoSuchImage(key)) if key == unknown));
}

pub(super) async fn writes_never_reach_the_image(bench: &Bench) {
    let sandbox = bench.sandbox().await;
    printed(&*sandbox, "echo mine > /written; cat /written").await;
    let other = bench.sandbox().await;
    assert_ne!(shell(&*other, "cat /written").await.0.status, Status::Code(0));
    drop(sandbox);
    let later = bench.sandbox().await;
    assert_ne!(shell(&*later, "cat /written").await.0.status, Status::Code(0));
}

pub(super) async fn a_snapshot_is_an_image(bench: &Bench) {
    let config = host::config();
    let create = |image: ImageKey| async move {
        bench.backend.create(&image, &SandboxOptions::default()).await.unwrap()
    };
    let sandbox = bench.sandbox().await;
    printed(&*sandbox, "echo one > /file").await;
    let key = layer("of one that goes on");
    let running = sandbox.snapshot(Some(key), &config, false).await.unwrap();
    assert_eq!(running, ImageKey::from(key));
    printed(&*sandbox, "echo two > /file").await;
    let last = sandbox.snapshot(None, &config, true).await.unwrap();
    assert!(matches!(sandbox.exec(&Command::new(["true"])).await, Err(SandboxError::Gone)));
    for (image, text) in [(running, "one"), (last, "two")] {
        assert!(bench.backend.contains(&image).await.unwrap());
        let child = create(image).await;
        assert_eq!(printed(&*child, "cat /file").await, text);
        printed(&*child, "echo another > /file").await;
        let sibling = create(image).await;
        assert_eq!(printed(&*sibling, "cat /file").await, text, "no child changes the image");
    }
    bench.backend.remove(&last).await.unwrap();
    assert!(!bench.backend.contains(&last).await.unwrap());
}

pub(super) async fn snapshots_keep_what_a_file_system_has(bench: &Bench) {
    for upper in [Upper::Disk, Upper::Memory] {
        let options = SandboxOptions { upper, ..SandboxOptions::default() };
        let sandbox = bench.sandbox_with(&options).await;
        let config = ImageConfig { workdir: "/kept".to_owned(), ..host::config() };
        printed(&*sandbox, "mkdir /kept; echo one > /kept/file; rm -r /media; chmod 4711 /kept/file; ln /kept/file /kept/same").await;
        printed(&*sandbox, "rm -r /srv && mkdir /srv && touch /srv/new").await;
        let busy = sandbox.exec(&Command::new(["sleep", "1"])).await.unwrap();
        let key = layer(&format!("running {upper:?}"));
        let running = sandbox.snapshot(Some(key), &config, false).await.unwrap();
        assert_eq!(busy.wait().await.unwrap().status, Status::Code(0), "it goes on");
        printed(&*sandbox, "echo two > /kept/file; chmod 4711 /kept/file").await;
        let last = sandbox.snapshot(None, &config, true).await.unwrap();
        for (image, text) in [(running, "one"), (last, "two")] {
            let child = bench.backend.create(&image, &SandboxOptions::default()).await.unwrap();
            let line =
                "pwd; cat same; stat -c %a:%h file; test ! -e /media && ls /srv && rm file same";
            assert_eq!(printed(&*child, line).await, format!("/kept\n{text}\n4711:2\nnew"));
        }
    }
    let fresh = bench.sandbox().await;
    assert_eq!(printed(&*fresh, "ls -d /media").await, "/media");
}
