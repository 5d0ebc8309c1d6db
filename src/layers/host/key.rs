//! The key of the host image: what must change for its tasks to be built anew.

use super::PATH;
use crate::layers::{LayerKey, hashing};
use crate::model::{Digest, DigestBuilder};
use std::io;
use std::path::{Path, PathBuf};

/// Files that change with every installed, removed or upgraded package: those of dpkg, rpm, apk.
const PACKAGE_FILES: [&str; 7] = [
    "/var/lib/dpkg/status",
    "/var/lib/rpm/rpmdb.sqlite",
    "/var/lib/rpm/Packages",
    "/usr/lib/sysimage/rpm/rpmdb.sqlite",
    "/usr/lib/sysimage/rpm/Packages.db",
    "/lib/apk/db/installed",
    "/usr/lib/apk/db/installed",
];

/// A directory with one entry `name-version` a package: pacman's.
const PACKAGE_DIRECTORIES: [&str; 1] = ["/var/lib/pacman/local"];

/// The key of the host image for tasks that use these programs. It covers the processor, the
/// release of the operating system, its package database and, by content, the programs that the
/// names lead to on the standard command path (a program outside of packages would else go
/// unnoticed). Blocks.
#[must_use]
pub fn host_key(tools: &[String]) -> LayerKey {
    let release = fs_err::read("/etc/os-release").unwrap_or_default();
    let mut builder = DigestBuilder::new("evalrun host layer v1")
        .field("arch", std::env::consts::ARCH)
        .field("release", release);
    for path in PACKAGE_FILES {
        if let Ok(digest) = digest_file(Path::new(path)) {
            builder = builder.field(path, digest.to_string());
        }
    }
    for path in PACKAGE_DIRECTORIES {
        let Ok(entries) = fs_err::read_dir(path) else { continue };
        let mut names: Vec<_> =
            entries.flatten().map(|entry| entry.file_name().into_encoded_bytes()).collect();
        names.sort();
        builder = builder.list(path, names);
    }
    let mut tools: Vec<_> = tools.iter().map(String::as_str).collect();
    tools.sort_unstable();
    tools.dedup();
    for tool in tools {
        let found = match find(tool) {
            Some(path) => {
                digest_file(&path).map_or_else(|_| "unreadable".into(), |d| d.to_string())
            }
            None => "missing".to_owned(),
        };
        builder = builder.field(tool, found);
    }
    LayerKey(builder.finish())
}

/// Those of the programs that are not on the standard command path, the only one that sandboxes
/// of a host image have.
#[must_use]
pub fn missing_tools(tools: &[String]) -> Vec<String> {
    tools.iter().filter(|tool| find(tool).is_none()).cloned().collect()
}

/// Where a program is on the standard command path.
fn find(tool: &str) -> Option<PathBuf> {
    PATH.split(':').map(|directory| Path::new(directory).join(tool)).find(|path| path.is_file())
}

/// The digest of a file, read in pieces.
fn digest_file(path: &Path) -> io::Result<Digest> {
    hashing::digest(fs_err::File::open(path)?).map(|(digest, _)| digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(tools: &[&str]) -> LayerKey {
        host_key(&tools.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn the_key_is_stable_and_covers_the_tools() {
        assert_eq!(key(&["sh", "ls"]), key(&["ls", "sh", "sh"]));
        assert_ne!(key(&["sh"]), key(&["ls"]));
        assert_ne!(key(&[]), key(&["no-such-tool"]));
        assert_eq!(missing_tools(&["sh".into(), "no-such-tool".into()]), ["no-such-tool"]);
    }
}
