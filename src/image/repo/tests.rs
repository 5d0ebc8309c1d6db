//! Repositories made by the `git` command, as users have them.

use super::mirror::find_clone;
use super::{
    Mirrors, WorkTree, digest_of_path, requirements_text, work_tree, work_tree_of_directory,
};
use crate::image::scratch::Scratch;
use fs_err as fs;
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

fn git(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .arg("-C")
        .arg(dir)
        .args(args)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_AUTHOR_NAME", "a")
        .env("GIT_AUTHOR_EMAIL", "a@a")
        .env("GIT_COMMITTER_NAME", "a")
        .env("GIT_COMMITTER_EMAIL", "a@a")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    text.trim_end().to_owned()
}

fn scratch(home: &tempfile::TempDir) -> Scratch {
    Scratch::new(home.path()).unwrap()
}

struct Upstream {
    home: tempfile::TempDir,
    clone: PathBuf,
    base: String,
    later: String,
}

/// Ten commits; the eighth is the base. Tags: `v1` (annotated) on the second, `now` on the base,
/// `v2` (annotated) on the last, `side` on a branch that left before the base.
fn upstream(name: &str) -> Upstream {
    let home = tempfile::tempdir().unwrap();
    let clone = home.path().join("clones").join(name);
    fs::create_dir_all(&clone).unwrap();
    git(&clone, &["init", "-q", "-b", "trunk"]);
    let mut ids = Vec::new();
    for n in 0..10 {
        if n == 3 {
            git(&clone, &["checkout", "-q", "-b", "topic"]);
            fs::write(clone.join("side"), "side").unwrap();
            git(&clone, &["add", "-A"]);
            git(&clone, &["commit", "-qm", "side"]);
            git(&clone, &["tag", "side"]);
            git(&clone, &["checkout", "-q", "trunk"]);
        }
        fs::write(clone.join("file"), format!("line {n}\n").repeat(50 + n)).unwrap();
        fs::create_dir_all(clone.join("dir")).unwrap();
        fs::write(clone.join(format!("dir/{n}")), n.to_string()).unwrap();
        if n == 5 {
            fs::write(clone.join("run"), "#!/bin/sh\n").unwrap();
            fs::set_permissions(clone.join("run"), std::fs::Permissions::from_mode(0o755)).unwrap();
            fs_err::os::unix::fs::symlink("file", clone.join("link")).unwrap();
            fs::write(clone.join("requirements.txt"), "one==1\n-e .\n").unwrap();
            fs::write(clone.join("dos.bat"), "echo\r\n").unwrap();
            fs::write(clone.join(".gitattributes"), "*.bat text eol=crlf\n").unwrap();
        }
        git(&clone, &["add", "-A"]);
        git(&clone, &["commit", "-qm", &format!("commit {n}")]);
        ids.push(git(&clone, &["rev-parse", "HEAD"]));
        match n {
            1 => drop(git(&clone, &["tag", "-am", "one", "v1"])),
            7 => drop(git(&clone, &["tag", "now"])),
            9 => drop(git(&clone, &["tag", "-am", "two", "v2"])),
            _ => {}
        }
    }
    Upstream { home, clone, base: ids[7].clone(), later: ids[9].clone() }
}

impl Upstream {
    fn mirrors(&self) -> Mirrors {
        let nowhere = format!("file://{}/nowhere", self.home.path().display());
        let clones = Some(self.home.path().join("clones"));
        Mirrors::new(self.home.path().join("cache"), clones, nowhere)
    }

    async fn check_out(&self, commit: &str) -> WorkTree {
        let mirror = self.mirrors().with("owner/name", &[commit]).await.unwrap();
        work_tree(&mirror, commit, scratch(&self.home)).await.unwrap()
    }
}

fn objects(dir: &Path) -> BTreeSet<String> {
    let all = git(dir, &["cat-file", "--batch-all-objects", "--batch-check=%(objectname)"]);
    all.lines().map(str::to_owned).collect()
}

fn reachable(dir: &Path, from: &[&str]) -> BTreeSet<String> {
    let args = [&["rev-list", "--objects", "--no-object-names"], from].concat();
    git(dir, &args).lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn nothing_later_than_the_base_is_inside() {
    let upstream = upstream("owner__name");
    let tree = upstream.check_out(&upstream.base).await;
    let dir = tree.path();
    // Exactly what the base and the tag objects of its ancestors reach: no more, and no less.
    assert_eq!(objects(dir), reachable(&upstream.clone, &[&upstream.base, "v1", "now"]));
    assert!(!objects(dir).contains(&upstream.later));
    assert_eq!(git(dir, &["log", "--all", "--format=%s"]).lines().count(), 8);
    assert_eq!(git(dir, &["tag"]), "now\nv1");
    assert_eq!(git(dir, &["describe", "--tags", "--match", "v*"]).split('-').next(), Some("v1"));
    assert_eq!(git(dir, &["for-each-ref", "refs/heads", "refs/remotes"]).lines().count(), 1);
    assert_eq!(git(dir, &["remote"]), "");
    assert_eq!(git(dir, &["rev-parse", "HEAD"]), upstream.base);
    assert!(!dir.join(".git/logs").exists());
    assert!(!dir.join(".git/FETCH_HEAD").exists());
    git(dir, &["fsck", "--full", "--strict"]);
}

#[tokio::test]
async fn the_files_are_as_git_would_check_them_out() {
    let upstream = upstream("owner+name/repo");
    let tree = upstream.check_out(&upstream.base).await;
    let dir = tree.path();
    assert_eq!(git(dir, &["status", "--porcelain", "--ignored"]), "");
    assert_eq!(fs::read_link(dir.join("link")).unwrap(), Path::new("file"));
    assert_eq!(fs::metadata(dir.join("run")).unwrap().permissions().mode() & 0o111, 0o111);
    assert_eq!(fs::read(dir.join("dos.bat")).unwrap(), b"echo\r\n");
    assert!(!dir.join("dir/8").exists());
    let mut one = Vec::new();
    tree.write_tar(&mut one).unwrap();
    let mut names = BTreeSet::new();
    for entry in tar::Archive::new(&one[..]).entries().unwrap() {
        let entry = entry.unwrap();
        assert_eq!(
            (entry.header().uid().unwrap(), entry.header().mtime().unwrap()),
            (0, 946_684_800)
        );
        names.insert(entry.path().unwrap().into_owned());
    }
    assert!(names.contains(Path::new("dir/7")) && names.contains(Path::new(".git/HEAD")));
}

#[tokio::test]
async fn instances_of_one_line_share_their_packs() {
    let upstream = upstream("owner/name.git");
    let first = upstream.check_out(&upstream.base).await;
    let second = upstream.check_out(&upstream.later).await;
    let packs = |tree: &WorkTree| -> BTreeSet<_> {
        let folder = fs::read_dir(tree.path().join(".git/objects/pack")).unwrap();
        folder.map(|entry| entry.unwrap().file_name()).collect()
    };
    let shared = packs(&first).intersection(&packs(&second)).count();
    assert!(shared >= 4, "two packs and their indexes at least, not {shared}");
    assert_eq!(objects(second.path()), reachable(&upstream.clone, &["trunk", "v1", "v2", "now"]));
}

#[tokio::test]
async fn what_is_wanted_makes_one_chain_whatever_is_built_first() {
    let upstream = upstream("owner/name");
    let list = ["rev-list", "--reverse", "trunk"];
    let ids: Vec<String> = git(&upstream.clone, &list).lines().map(str::to_owned).collect();
    let mirrors = upstream.mirrors();
    // Among them one that is on no line with the others, and one that nobody has.
    let side = git(&upstream.clone, &["rev-parse", "side"]);
    let nowhere = "0123456789012345678901234567890123456789".to_owned();
    for id in [&ids[4], &ids[5], &ids[7], &ids[9], &side, &nowhere] {
        mirrors.expect("owner/name", id);
    }
    let mut packs = Vec::new();
    for id in [&ids[9], &side, &ids[7], &ids[5], &ids[4]] {
        let mirror = mirrors.with("owner/name", &[id]).await.unwrap();
        let tree = work_tree(&mirror, id, scratch(&upstream.home)).await.unwrap();
        let tags = git(tree.path(), &["tag"]);
        let from: Vec<&str> = tags.lines().chain([id.as_str()]).collect();
        assert_eq!(objects(tree.path()), reachable(&upstream.clone, &from));
        git(tree.path(), &["fsck", "--full", "--strict"]);
        let folder = fs::read_dir(tree.path().join(".git/objects/pack")).unwrap();
        let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        packs.push(names.filter(|name| name.ends_with(".pack")).collect::<BTreeSet<_>>());
    }
    // Each of a line has all the packs of the one before and its own, and maybe one of a point
    // between them; tags have a pack of theirs.
    for pair in [(4, 3), (3, 2), (2, 0)] {
        let more = packs[pair.1].difference(&packs[pair.0]).count();
        assert!((1..=3).contains(&more), "{pair:?}: {packs:?}");
        assert!(packs[pair.0].difference(&packs[pair.1]).count() <= 1, "{pair:?}: {packs:?}");
    }
    let kept = fs::read_dir(upstream.home.path().join("cache/owner__name.git/evalrun-packs"));
    let links = kept.unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir()).count();
    assert!((5..=8).contains(&links), "{links} links");
}

#[tokio::test]
async fn a_clone_may_lack_what_no_wanted_commit_reaches() {
    let upstream = upstream("owner/name");
    let objects = upstream.clone.join(".git/objects");
    let gone = |id: &str| fs::remove_file(objects.join(&id[..2]).join(&id[2..])).unwrap();
    gone(&upstream.later);
    gone(&git(&upstream.clone, &["rev-parse", "v2"]));
    let tree = upstream.check_out(&upstream.base).await;
    assert_eq!(git(tree.path(), &["tag"]), "now\nv1");
    git(tree.path(), &["fsck", "--full"]);
}

#[tokio::test]
async fn a_bare_clone_and_a_shallow_one_serve() {
    let upstream = upstream("source");
    let clones = upstream.home.path().join("clones");
    let source = format!("file://{}", upstream.clone.display());
    git(&clones, &["clone", "-q", "--bare", &source, "owner__name.git"]);
    let tree = upstream.check_out(&upstream.base).await;
    assert_eq!(git(tree.path(), &["log", "--format=%s"]).lines().count(), 8);

    git(&clones, &["clone", "-q", "--depth", "5", &source, "shallow/one"]);
    let mirror = upstream.mirrors().with("shallow/one", &[&upstream.base]).await.unwrap();
    let tree = work_tree(&mirror, &upstream.base, scratch(&upstream.home)).await.unwrap();
    assert_eq!(git(tree.path(), &["log", "--format=%s"]).lines().count(), 3);
    assert_eq!(git(tree.path(), &["status", "--porcelain"]), "");
    git(tree.path(), &["fsck", "--full"]);
}

#[tokio::test]
async fn a_url_is_asked_where_no_clone_is() {
    let upstream = upstream("served/owner/name");
    let url = format!("file://{}/clones/served", upstream.home.path().display());
    let mirrors = Mirrors::new(upstream.home.path().join("cache"), None, url);
    let mirror = mirrors.with("owner/name", &[&upstream.base]).await.unwrap();
    assert_eq!(
        requirements_text(&mirror, &upstream.base, &["requirements.txt".to_owned()]).unwrap(),
        "# requirements.txt\none==1\n"
    );
    // It is in the cache now: nothing is asked for any more.
    fs::remove_dir_all(&upstream.clone).unwrap();
    mirrors.with("owner/name", &[&upstream.base]).await.unwrap();
    let missing = "0123456789012345678901234567890123456789";
    let Err(error) = mirrors.with("owner/name", &[missing]).await else { panic!("it is missing") };
    assert!(error.to_string().contains(missing), "{error}");
}

#[tokio::test]
async fn locks_of_a_killed_fetch_do_not_stop_the_next() {
    let upstream = upstream("owner/name");
    let mirror = upstream.mirrors().with("owner/name", &[&upstream.base]).await.unwrap();
    let lock = mirror.path.join(format!("refs/evalrun/{}.lock", upstream.later));
    fs::write(&lock, "").unwrap();
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(120);
    fs::File::options().write(true).open(&lock).unwrap().set_modified(old).unwrap();
    upstream.mirrors().with("owner/name", &[&upstream.later]).await.unwrap();
    assert!(!lock.exists());
}

#[test]
fn clones_are_found_under_every_usual_name() {
    for name in ["o/n", "o__n", "o+n", "o__n.git", "o+n/repo", "o/n.git", "o+n/repo.git"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        fs::create_dir_all(&path).unwrap();
        assert_eq!(find_clone(dir.path(), "o/n"), None, "an empty directory is no clone");
        git(&path, &["init", "-q", "--bare"]);
        let found = find_clone(dir.path(), "o/n").unwrap();
        assert_eq!(found, fs::canonicalize(&path).unwrap(), "{name}");
    }
}

#[test]
fn a_directory_becomes_the_same_commit_every_time() {
    let home = tempfile::tempdir().unwrap();
    let source = home.path().join("source");
    fs::create_dir_all(source.join("sub/.git")).unwrap();
    fs::create_dir_all(source.join(".git")).unwrap();
    fs::write(source.join("sub/a"), "a").unwrap();
    fs::write(source.join(".gitignore"), "sub\n").unwrap();
    let digest = digest_of_path(&source).unwrap();
    let first = work_tree_of_directory(&source, scratch(&home)).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let second = work_tree_of_directory(&source, scratch(&home)).unwrap();
    let head = |tree: &WorkTree| git(tree.path(), &["rev-parse", "HEAD"]);
    assert_eq!(head(&first), head(&second));
    assert_eq!(git(first.path(), &["ls-files"]), ".gitignore\nsub/a", "ignored files are in too");
    assert_eq!(digest_of_path(&source).unwrap(), digest);
    fs::write(source.join("sub/a"), "b").unwrap();
    assert_ne!(digest_of_path(&source).unwrap(), digest);
    let third = work_tree_of_directory(&source, scratch(&home)).unwrap();
    assert_ne!(head(&first), head(&third));
}
