//! A task repository of swebench 5, its images built from its Dockerfiles on an image of a registry.
//! Needs `docker-registry`, a static busybox and sandboxes; without them it says so and passes, with
//! `CI=true` it fails.

use crate::cli::evalrun;
use crate::mini::sandboxes_work;
use crate::registry::Bench;
use evalrun::layers::{ImageConfig, LayerKey, NewImage};
use evalrun::model::Digest;
use serde_json::{Value, json};
use std::path::Path;

/// An image of busybox alone at the registry; its name.
async fn base(bench: &Bench) -> Option<String> {
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].map(Path::new);
    let Some(busybox) = busybox.into_iter().find(|path| path.exists()) else {
        assert!(std::env::var_os("CI").is_none(), "needs busybox-static");
        eprintln!("skipped, needs a static busybox");
        return None;
    };
    let store = bench.store("made");
    let layer = store.begin().unwrap();
    let bin = layer.root().join("bin");
    fs_err::create_dir(&bin).unwrap();
    fs_err::copy(busybox, bin.join("busybox")).unwrap();
    for name in ["sh", "cat"] {
        fs_err::os::unix::fs::symlink("busybox", bin.join(name)).unwrap();
    }
    let key = LayerKey(Digest::of("busybox"));
    let config = ImageConfig::default();
    let image = layer.commit(NewImage { key, parent: None, config, binds: vec![] }).unwrap();
    let name = format!("{}/base:1", bench.address);
    bench.registry(&store).push(&image, &name).await.unwrap();
    Some(name)
}

/// A task whose image has two steps of its repository's and one of its own.
fn task(repo: &Path, number: u32, base: &str, own: &str) {
    let folder = repo.join(format!("tasks/o__r-{number}"));
    fs_err::create_dir_all(&folder).unwrap();
    let write = |name: &str, text: &str| fs_err::write(folder.join(name), text).unwrap();
    write(
        "Dockerfile",
        &format!(
            "FROM {base}\nRUN echo base >/base\nRUN cat /base >/env\nCOPY own.txt /testbed/\n\
             RUN echo {own} >>/testbed/own.txt\n"
        ),
    );
    write("own.txt", &format!("{number}\n"));
    write(
        "task.yaml",
        &format!(
            "base_commit: 0123abc\ndatasets:\n- o/Set\neval_type: pass_and_fail\n\
             image: o/image-{number}:latest\ninstance_id: o__r-{number}\n\
             log_parser: parse_log_pytest\nrepo: o/r\nsplit: test\nversion: '1.0'\n"
        ),
    );
    write("tests.json", &json!({ "FAIL_TO_PASS": ["a"], "PASS_TO_PASS": [] }).to_string());
    write("gold.patch", "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n");
    write("test.patch", "");
    write("problem_statement.md", "It does not work.\n");
    write("eval.sh", "#!/bin/sh\n: '>>>>> Start Test Output'\ntrue\n: '>>>>> End Test Output'\n");
}

/// Builds all images; how many layers were built now.
fn built(home: &Path, repo: &Path) -> u64 {
    let repo = repo.to_str().unwrap();
    let output = evalrun(home, &["images", "build", "--dataset", repo, "--json"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let images: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(images.len(), 2, "{said}");
    images.iter().map(|image| image["layers_built"].as_u64().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn images_of_a_task_repository_are_built_and_what_they_share_once() {
    let Some(bench) = Bench::new() else { return };
    let home = bench.folder.path().join("home");
    if !sandboxes_work(&home) {
        return;
    }
    let Some(base) = base(&bench).await else { return };
    let repo = bench.folder.path().join("repo");
    fs_err::create_dir(&repo).unwrap();
    fs_err::write(repo.join("sweb.yaml"), "datasets:\n- o/Set\n").unwrap();
    task(&repo, 1, &base, "one");
    task(&repo, 2, &base, "two");
    let plan = ["images", "build", "--dry-run", "--json", "--dataset", repo.to_str().unwrap()];
    let plan = evalrun(&home, &plan);
    assert!(plan.status.success(), "{}", String::from_utf8_lossy(&plan.stderr));
    let plan: Vec<Value> = serde_json::from_slice(&plan.stdout).unwrap();
    assert_eq!((&plan[0]["instructions"], &plan[1]["bases"]), (&json!(4), &json!([base])));
    assert_eq!(built(&home, &repo), 2 + 2 + 2, "two of both, two of each");
    assert_eq!(built(&home, &repo), 0);
    task(&repo, 2, &base, "other");
    assert_eq!(built(&home, &repo), 1);
    let archive = bench.folder.path().join("root.tar");
    let to = format!("rootfs:{}", archive.display());
    let output = evalrun(&home, &["images", "export", "o/image-2:latest", "--to", &to]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut tar = tar::Archive::new(fs_err::File::open(&archive).unwrap());
    let mut found = String::new();
    for entry in tar.entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.path().unwrap().ends_with("testbed/own.txt") {
            std::io::Read::read_to_string(&mut entry, &mut found).unwrap();
        }
    }
    assert_eq!(found, "2\nother\n");
    let verified = evalrun(&home, &["images", "verify"]);
    assert!(verified.status.success());
}
