//! The root file system of a Debian suite, made by mmdebstrap or debootstrap on this machine.
//!
//! The mirror is that of this machine's own apt sources where it is a Debian, else Debian's. A suite
//! that has left the mirrors is looked for in Debian's archive. Nothing of this machine's proxy or
//! certificate settings stays in the root.

use super::ImageError;
use crate::layers::LayerKey;
use crate::model::DigestBuilder;
use fs_err as fs;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;

const MIRROR: &str = "http://deb.debian.org/debian";
const SECURITY: &str = "http://deb.debian.org/debian-security";
/// What an ordinary user lacks as a rule.
const UNPRIVILEGED: &str = " (an ordinary user needs the package uidmap, and a range of ids in \
                            /etc/subuid and /etc/subgid; or build once as root, or use the `host` base)";
const ARCHIVE: &str = "http://archive.debian.org/debian";

/// The key of such a root: suite, packages, architecture and format version. The day is not part of
/// it: a root stays as it was made until it is removed or built again by force.
pub(super) fn key(suite: &str, packages: &[String]) -> LayerKey {
    let digest = DigestBuilder::new("evalrun debian root 1")
        .field("suite", suite)
        .field("arch", std::env::consts::ARCH)
        .list("package", packages)
        .finish();
    LayerKey(digest)
}

/// A root that was made, in a scratch directory of the caller's.
pub(super) enum Made {
    /// A tar file.
    Tar(PathBuf),
    /// A directory.
    Directory(PathBuf),
}

/// Makes the root of a suite below `scratch`; all that the tools say goes to `log`.
pub(super) async fn make(
    suite: &str,
    packages: &[String],
    scratch: &Path,
    log: &fs::File,
) -> Result<Made, ImageError> {
    let refuse = |why: String| ImageError::Root { root: format!("debian:{suite}"), why };
    let good = |c: char| c.is_ascii_alphanumeric() || "-+.:".contains(c);
    if let Some(bad) = packages.iter().find(|p| p.is_empty() || !p.chars().all(good)) {
        return Err(refuse(format!("`{bad}` is no name of a Debian package")));
    }
    if suite.is_empty() || !suite.chars().all(good) {
        return Err(refuse("this is no name of a suite".to_owned()));
    }
    let (mirror, security) = host_mirrors(Path::new("/etc/apt"));
    let tar = scratch.join("root.tar");
    let mut first = None;
    for sources in attempts(suite, &mirror, &security) {
        let arguments = mmdebstrap_arguments(suite, packages, &sources);
        match run("mmdebstrap", &arguments, Some(&tar), log).await {
            Ok(true) => return Ok(Made::Tar(tar)),
            Ok(false) => {
                let said = super::build::tail(log.path());
                let elsewhere = lacks_the_suite(&said);
                first.get_or_insert(said);
                if !elsewhere {
                    break;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return debootstrap(suite, packages, &mirror, (scratch, log)).await;
            }
            Err(error) => return Err(refuse(format!("cannot start mmdebstrap: {error}"))),
        }
    }
    let said = first.unwrap_or_default();
    let remedy = if is_root() { "" } else { UNPRIVILEGED };
    Err(refuse(format!(
        "mmdebstrap failed{remedy}; all it said is in {}; the last lines of its first try:\n{said}",
        log.path().display()
    )))
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether apt failed because these sources do not have the suite: others may. A package that is
/// not there, or a network that is not, fails anywhere.
fn lacks_the_suite(said: &str) -> bool {
    said.contains("E: apt-get update") || said.contains("does not have a Release file")
}

async fn debootstrap(
    suite: &str,
    packages: &[String],
    mirror: &str,
    (scratch, log): (&Path, &fs::File),
) -> Result<Made, ImageError> {
    let refuse = |why: String| ImageError::Root { root: format!("debian:{suite}"), why };
    for mirror in [mirror, ARCHIVE] {
        let root = scratch.join("root");
        if root.exists() {
            fs::remove_dir_all(&root).map_err(ImageError::file("make room for a root"))?;
        }
        let arguments: Vec<OsString> = vec![
            "--variant=minbase".into(),
            format!("--include={}", packages.join(",")).into(),
            suite.into(),
            root.clone().into(),
            mirror.into(),
        ];
        match run("debootstrap", &arguments, None, log).await {
            Ok(true) => return Ok(Made::Directory(root)),
            Ok(false) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(refuse(
                    "neither mmdebstrap nor debootstrap is on this machine; install mmdebstrap \
                     (on Debian and Ubuntu: apt-get install mmdebstrap), or use another base, \
                     such as `host`, `archive:<root-fs tar>` or `image:<name>`"
                        .to_owned(),
                ));
            }
            Err(error) => return Err(refuse(format!("cannot start debootstrap: {error}"))),
        }
    }
    Err(refuse(format!("debootstrap failed; its last lines:\n{}", super::build::tail(log.path()))))
}

/// Lines of apt sources to try, best first, and whether their expiry date is to be ignored.
struct Sources {
    lines: Vec<String>,
    expired: bool,
}

fn attempts(suite: &str, mirror: &str, security: &str) -> Vec<Sources> {
    let main = format!("deb {mirror} {suite} main");
    let mut all = Vec::new();
    if !matches!(suite, "sid" | "unstable" | "experimental") {
        all.push(Sources {
            lines: vec![
                main.clone(),
                format!("deb {mirror} {suite}-updates main"),
                format!("deb {security} {suite}-security main"),
            ],
            expired: false,
        });
    }
    all.push(Sources { lines: vec![main], expired: false });
    all.push(Sources { lines: vec![format!("deb {ARCHIVE} {suite} main")], expired: true });
    all
}

fn mmdebstrap_arguments(suite: &str, packages: &[String], sources: &Sources) -> Vec<OsString> {
    // Left alone, mmdebstrap falls back on fakechroot, which breaks between two C libraries.
    let mode = if is_root() { "auto" } else { "unshare" };
    let mut arguments = vec![
        format!("--mode={mode}"),
        "--variant=minbase".to_owned(),
        "--format=tar".to_owned(),
        format!("--include={}", packages.join(",")),
        // Sandboxes may have a single user id, and no `_apt` to change to.
        r#"--aptopt=APT::Sandbox::User "root""#.to_owned(),
        r#"--aptopt=Acquire::Retries "3""#.to_owned(),
    ];
    if sources.expired {
        arguments.push(r#"--aptopt=Acquire::Check-Valid-Until "false""#.to_owned());
    }
    // What mmdebstrap was told of apt it would leave in the root; only the user stays there.
    arguments.push(
        r#"--customize-hook=echo 'APT::Sandbox::User "root";' >"$1/etc/apt/apt.conf.d/99mmdebstrap""#
            .to_owned(),
    );
    // mmdebstrap copies these two from the host. They are the sandbox's own affair.
    arguments.push(r#"--customize-hook=rm -f "$1/etc/resolv.conf" "$1/etc/hostname""#.to_owned());
    arguments.extend([suite.to_owned(), "-".to_owned()]);
    arguments.extend(sources.lines.iter().cloned());
    arguments.into_iter().map(Into::into).collect()
}

async fn run(
    program: &str,
    arguments: &[OsString],
    stdout: Option<&Path>,
    log: &fs::File,
) -> io::Result<bool> {
    use std::io::Write as _;
    let words: Vec<_> = arguments.iter().map(|word| word.to_string_lossy()).collect();
    let mut out = log;
    writeln!(out, "+ {program} {}", words.join(" "))?;
    let own = || -> io::Result<Stdio> { Ok(Stdio::from(log.file().try_clone()?)) };
    let stdout = match stdout {
        Some(path) => Stdio::from(fs::File::create(path)?.into_file()),
        None => own()?,
    };
    let status = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(own()?)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("LC_ALL", "C.UTF-8")
        .kill_on_drop(true)
        .status()
        .await?;
    Ok(status.success())
}

/// The mirrors that this machine's own apt uses for Debian, else Debian's.
fn host_mirrors(apt: &Path) -> (String, String) {
    let mut files = vec![apt.join("sources.list")];
    if let Ok(entries) = fs::read_dir(apt.join("sources.list.d")) {
        files.extend(entries.filter_map(|entry| Some(entry.ok()?.path())));
    }
    files.sort();
    let texts: String = files
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok())
        .collect::<Vec<_>>()
        .join("\n");
    let urls: Vec<&str> = texts
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(str::split_whitespace)
        .filter(|word| word.starts_with("http://") || word.starts_with("https://"))
        .map(|word| word.trim_end_matches('/'))
        .collect();
    let find = |end: &str, standard: &str| {
        let found = urls.iter().find(|url| url.ends_with(end));
        found.map_or_else(|| standard.to_owned(), |url| (*url).to_owned())
    };
    (find("/debian", MIRROR), find("/debian-security", SECURITY))
}

#[cfg(test)]
mod tests {
    use super::{attempts, host_mirrors, key, lacks_the_suite};
    use fs_err as fs;

    #[test]
    fn the_hosts_own_mirror_is_used() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sources.list.d")).unwrap();
        let (mirror, security) = host_mirrors(dir.path());
        assert_eq!(mirror, "http://deb.debian.org/debian");
        assert_eq!(security, "http://deb.debian.org/debian-security");
        fs::write(
            dir.path().join("sources.list"),
            "# deb http://old.example/debian x main\ndeb [arch=amd64] http://one.example/debian/ x main\n",
        )
        .unwrap();
        fs::write(
            dir.path().join("sources.list.d/a.sources"),
            "Types: deb\nURIs: https://two.example/debian-security\nSuites: x\n",
        )
        .unwrap();
        let (mirror, security) = host_mirrors(dir.path());
        assert_eq!(mirror, "http://one.example/debian");
        assert_eq!(security, "https://two.example/debian-security");
    }

    #[test]
    fn a_suite_that_left_the_mirrors_is_looked_for_in_the_archive() {
        let all = attempts("buster", "http://m/debian", "http://m/debian-security");
        assert_eq!(all.len(), 3);
        assert_eq!(all[2].lines, ["deb http://archive.debian.org/debian buster main"]);
        assert!(all[2].expired && !all[0].expired);
    }

    #[test]
    fn only_a_missing_suite_is_looked_for_elsewhere() {
        let gone =
            "E: The repository 'http://m/debian buster Release' does not have a Release file.";
        assert!(lacks_the_suite(gone));
        assert!(!lacks_the_suite("I: running apt-get update...\nE: Unable to locate package nope"));
    }

    #[test]
    fn the_key_knows_suite_and_packages() {
        let git = ["git".to_owned()];
        assert_eq!(key("bookworm", &git), key("bookworm", &git));
        assert_ne!(key("bookworm", &git), key("bullseye", &git));
        assert_ne!(key("bookworm", &git), key("bookworm", &[]));
    }
}
