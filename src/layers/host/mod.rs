//! This machine's own programs as an image: nothing is downloaded and little is copied.
//!
//! The image is one small layer, the *skeleton*, and binds. `/usr` is bound read-only, and so are
//! those of `/bin`, `/sbin` and `/lib*` that are no links into it. Of `/etc` an allow-list is
//! copied (see `etc.rs`); accounts and name services are written anew. `/root`, `/home`, `/opt`,
//! `/var` and the like are there and empty, so that tasks may write to them.

mod etc;
mod key;

pub use key::{host_key, missing_tools};

use super::{ImageConfig, ImageKey, LayerKey, NewImage, Store, StoreError};
use rustix::fs::Mode;
use std::path::{Path, PathBuf};

/// The command path of every sandbox on a host image.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Directories that may be links into `/usr` or directories of their own.
const PROGRAMS: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// Empty directories of the skeleton, parents first.
const EMPTY: [(&str, u32); 21] = [
    ("boot", 0o755),
    ("dev", 0o755),
    ("etc", 0o755),
    ("home", 0o755),
    ("media", 0o755),
    ("mnt", 0o755),
    ("opt", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("run/lock", 0o1777),
    ("srv", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("var", 0o755),
    ("var/cache", 0o755),
    ("var/lib", 0o755),
    ("var/log", 0o755),
    ("var/mail", 0o755),
    ("var/spool", 0o755),
    ("var/tmp", 0o1777),
];

/// What a host image says of its processes: the standard command path and nothing of this
/// machine's own environment.
#[must_use]
pub fn config() -> ImageConfig {
    let env = [("PATH", PATH), ("HOME", "/root"), ("LANG", "C.UTF-8")];
    ImageConfig {
        env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        ..ImageConfig::default()
    }
}

/// Makes the host image; done already: no work. Where `config` names no `PATH`, the standard one
/// is set. Blocks.
///
/// # Errors
/// Trouble with files.
pub fn import(store: &Store, key: LayerKey, config: &ImageConfig) -> Result<ImageKey, StoreError> {
    let image = ImageKey::from(key);
    if store.contains(&image) {
        return Ok(image);
    }
    let layer = store.begin()?;
    let binds = skeleton(Path::new("/"), layer.root())?;
    let mut config = config.clone();
    for (name, value) in self::config().env {
        config.env.entry(name).or_insert(value);
    }
    layer.commit(NewImage { key, parent: None, config, binds })
}

/// Fills `root` with the skeleton for the machine whose root is `host`; returns the binds.
fn skeleton(host: &Path, root: &Path) -> Result<Vec<PathBuf>, StoreError> {
    for (name, mode) in EMPTY {
        make_directory(&root.join(name), mode)?;
    }
    for (name, target) in [("var/run", "/run"), ("var/lock", "/run/lock")] {
        fs_err::os::unix::fs::symlink(target, root.join(name))?;
    }
    let mut binds = vec![PathBuf::from("/usr")];
    make_directory(&root.join("usr"), 0o755)?;
    for name in PROGRAMS {
        let path = host.join(name);
        match fs_err::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_symlink() => {
                fs_err::os::unix::fs::symlink(fs_err::read_link(&path)?, root.join(name))?;
            }
            Ok(metadata) if metadata.is_dir() => {
                make_directory(&root.join(name), 0o755)?;
                binds.push(Path::new("/").join(name));
            }
            _ => {}
        }
    }
    etc::copy(&host.join("etc"), &root.join("etc"))?;
    etc::write_own(host, &root.join("etc"))?;
    Ok(binds)
}

/// Makes a directory with exactly these permissions, whatever the umask.
fn make_directory(path: &Path, mode: u32) -> Result<(), StoreError> {
    fs_err::create_dir(path)?;
    rustix::fs::chmod(path, Mode::from_raw_mode(mode)).map_err(StoreError::call("chmod", path))
}

/// Writes a file with exactly these permissions, whatever the umask.
fn write_file(path: &Path, bytes: &[u8], mode: u32) -> Result<(), StoreError> {
    fs_err::write(path, bytes)?;
    rustix::fs::chmod(path, Mode::from_raw_mode(mode)).map_err(StoreError::call("chmod", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_skeleton_links_where_the_machine_links_and_binds_where_it_does_not() {
        let host = tempfile::tempdir().unwrap();
        let root = tempfile::tempdir().unwrap();
        for name in ["usr", "sbin", "etc"] {
            fs_err::create_dir(host.path().join(name)).unwrap();
        }
        fs_err::os::unix::fs::symlink("usr/bin", host.path().join("bin")).unwrap();
        let binds = skeleton(host.path(), root.path()).unwrap();
        assert_eq!(binds, [PathBuf::from("/usr"), PathBuf::from("/sbin")]);
        assert_eq!(fs_err::read_link(root.path().join("bin")).unwrap(), Path::new("usr/bin"));
        assert!(root.path().join("sbin").is_dir());
        assert!(!root.path().join("lib64").exists());
    }

    #[test]
    fn a_host_image_is_small_and_holds_no_secret() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(home.path()).unwrap();
        let key = host_key(&["sh".to_owned()]);
        let image = import(&store, key, &ImageConfig::default()).unwrap();
        let stored = store.image(&image).unwrap().unwrap();
        assert_eq!(stored.config.env["PATH"], PATH);
        assert!(stored.size < 64 << 20, "{}", stored.size);
        let root = store.layer_dir(&key);
        for absent in ["etc/shadow", "etc/machine-id", "etc/ssh", "etc/sudoers", "etc/ssl/private"]
        {
            assert!(fs_err::symlink_metadata(root.join(absent)).is_err(), "{absent}");
        }
        for entry in walkdir::WalkDir::new(&root) {
            let entry = entry.unwrap();
            if entry.file_type().is_file() {
                let bytes = fs_err::read(entry.path()).unwrap();
                let found = memchr::memmem::find(&bytes, b"PRIVATE KEY-----").is_some();
                assert!(!found, "{}", entry.path().display());
            }
        }
        assert_eq!(import(&store, key, &ImageConfig::default()).unwrap(), image);
    }
}
