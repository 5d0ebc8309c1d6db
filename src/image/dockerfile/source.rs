//! Where a build takes files from: its context, stages, images, archives and addresses.

use super::mounts::{Mount, Sharing};
use super::tree::{Bytes, Tree};
use super::{Builder, place};
use crate::image::ImageError;
use crate::layers::{self, ImageKey};
use crate::model::Digest;
use fs_err as fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long a server may be silent.
const DOWNLOAD_PATIENCE: Duration = Duration::from_secs(60);

impl Builder<'_> {
    /// What the build sees of its context; read once.
    pub(super) async fn context(&self) -> Result<Arc<Tree>, ImageError> {
        let read = || async {
            let tree = Tree::of_context(&self.wanted.context, &self.ignored);
            tree.map(Arc::new).map_err(ImageError::file("read the build's context"))
        };
        self.context.get_or_try_init(read).await.cloned()
    }

    /// The stage or image that `--from` names.
    pub(super) async fn from(
        &self,
        name: &str,
        stage: usize,
        line: usize,
    ) -> Result<ImageKey, ImageError> {
        match self.named_stage(name, stage) {
            Some(at) => Ok(self.of_stage(at).image),
            None => Ok(self.named_image(name, line).await?.0),
        }
    }

    /// All files of an image; read once.
    pub(super) async fn files(&self, image: ImageKey) -> Result<Arc<Tree>, ImageError> {
        let mut trees = self.trees.lock().await;
        if let Some(tree) = trees.get(&image) {
            return Ok(tree.clone());
        }
        let stream = self.inner.backend.export(&image).await;
        let mut stream = stream.map_err(ImageError::sandbox(&self.wanted.name))?;
        let path = self.scratch_path(&format!("image-{image}.tar"));
        let failed = || ImageError::file("read the files of an image");
        let mut file = tokio::fs::File::create(&path).await.map_err(failed())?;
        tokio::io::copy(&mut stream, &mut file).await.map_err(failed())?;
        file.sync_data().await.map_err(failed())?;
        let tree = Arc::new(Tree::of_tar(&path).map_err(failed())?);
        trees.insert(image, tree.clone());
        Ok(tree)
    }

    /// A file that `ADD` unpacks, as the tree in it; nothing if it is no archive.
    pub(super) fn unpacked(&self, bytes: &Bytes) -> Result<Option<Tree>, ImageError> {
        let failed = || ImageError::file("unpack an archive of the build's context");
        let mut head = Vec::new();
        let opened = layers::plain_stream(bytes.open().map_err(failed())?);
        let Ok(mut plain) = opened else { return Ok(None) };
        // What cannot be unpacked is no archive of a kind that is known.
        if plain.by_ref().take(512).read_to_end(&mut head).is_err() || !is_tar(&head) {
            return Ok(None);
        }
        let path = self.scratch_path(&format!("archive-{}.tar", self.next()));
        let mut file = fs::File::create(&path).map_err(failed())?;
        io::copy(&mut head.as_slice().chain(plain), &mut file).map_err(failed())?;
        Tree::of_tar(&path).map(Some).map_err(failed())
    }

    /// Downloads an address into a file.
    pub(super) async fn download(&self, url: &str, line: usize) -> Result<PathBuf, ImageError> {
        let wrong = |why: String| self.wrong((line, format!("{url}: {why}")));
        // Another part of the process may have chosen a provider already: that one will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let get = || async {
            let client = reqwest::Client::builder().read_timeout(DOWNLOAD_PATIENCE).build()?;
            client.get(url).send().await?.error_for_status()?.bytes().await
        };
        let bytes = get().await.map_err(|error| wrong(error.without_url().to_string()))?;
        let path = self.scratch_path(&format!("download-{}", self.next()));
        fs::write(&path, bytes).map_err(ImageError::file("keep a download"))?;
        Ok(path)
    }

    /// A number that is new in this build.
    pub(super) fn next(&self) -> u64 {
        self.names.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
    }

    /// What a mount shows, as it counts in a layer's key; nothing for what does not count.
    pub(super) async fn mount_identity(
        &self,
        mount: &Mount,
        stage: usize,
        line: usize,
    ) -> Result<String, ImageError> {
        let Mount::Bind { from, source, .. } = mount else { return Ok(String::new()) };
        match from {
            Some(name) => Ok(self.from(name, stage, line).await?.to_string()),
            None => Ok(self.bound_tree(None, source, stage, line).await?.1.to_string()),
        }
    }

    /// Part of the context or of an image, and its digest.
    async fn bound_tree(
        &self,
        from: Option<&str>,
        source: &str,
        stage: usize,
        line: usize,
    ) -> Result<(Tree, Digest), ImageError> {
        let tree = match from {
            Some(name) => self.files(self.from(name, stage, line).await?).await?,
            None => self.context().await?,
        };
        let items = place::select(&tree, source, &super::Ignored::default());
        let item = items.map_err(|why| self.wrong((line, why)))?.into_iter().next();
        let tree = item.map(|item| item.tree).unwrap_or_default();
        let digest = tree.digest().map_err(ImageError::file("read what a mount shows"))?;
        Ok((tree, digest))
    }

    /// The path on this machine that a mount shows, and a lock to hold meanwhile.
    pub(super) async fn mount_source(
        &self,
        mount: &Mount,
        stage: usize,
        line: usize,
    ) -> Result<Option<(PathBuf, Option<fs::File>)>, ImageError> {
        let failed = || ImageError::file("make what a mount shows");
        let fresh = self.scratch_path(&format!("mount-{}", self.next()));
        match mount {
            Mount::Tmpfs { .. } => {
                fs::create_dir(&fresh).map_err(failed())?;
                set_mode(&fresh, 0o1777).map_err(failed())?;
                Ok(Some((fresh, None)))
            }
            Mount::Cache { sharing: Sharing::Private, mode, owner, .. } => {
                fs::create_dir(&fresh).map_err(failed())?;
                give(&fresh, *mode, *owner).map_err(failed())?;
                Ok(Some((fresh, None)))
            }
            Mount::Cache { id, sharing, mode, owner, .. } => {
                let caches = self.inner.options.home.join("cache-v1/dockerfile");
                let path = caches.join(Digest::of(id).to_string());
                if !path.exists() {
                    fs::create_dir_all(&path).map_err(failed())?;
                    give(&path, *mode, *owner).map_err(failed())?;
                }
                let lock = match sharing {
                    Sharing::Locked => {
                        let lock = crate::image::once::lock(&path.with_extension("lock")).await;
                        Some(lock.map_err(failed())?)
                    }
                    Sharing::Shared | Sharing::Private => None,
                };
                Ok(Some((path, lock)))
            }
            Mount::Secret { target, id, required, mode, .. } => {
                let Some(secret) = self.wanted.secrets.get(id) else {
                    if *required {
                        let why = format!("the secret {id} was not given (--secret id={id},src=…)");
                        return Err(self.wrong((line, why)));
                    }
                    return Ok(None);
                };
                if target.is_none() {
                    return Ok(None);
                }
                let bytes = fs::read(secret).map_err(ImageError::file("read a secret"))?;
                fs::write(&fresh, bytes).map_err(failed())?;
                set_mode(&fresh, *mode).map_err(failed())?;
                Ok(Some((fresh, None)))
            }
            Mount::Bind { from, source, .. } => {
                let (tree, _) = self.bound_tree(from.as_deref(), source, stage, line).await?;
                lay_out(&tree, &fresh).map_err(failed())?;
                Ok(Some((fresh, None)))
            }
        }
    }
}

fn is_tar(head: &[u8]) -> bool {
    head.get(257..262) == Some(b"ustar")
}

fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

fn give(path: &Path, mode: u32, (uid, gid): (u32, u32)) -> io::Result<()> {
    set_mode(path, mode)?;
    match (uid, gid) {
        (0, 0) => Ok(()),
        (uid, gid) => std::os::unix::fs::chown(path, Some(uid), Some(gid)),
    }
}

/// Makes the files of a tree on this machine.
fn lay_out(tree: &Tree, to: &Path) -> io::Result<()> {
    let mut bytes = Vec::new();
    let single =
        tree.entries.len() == 1 && !tree.entries.values().all(super::tree::Entry::is_directory);
    if single {
        let entry = tree.entries.values().next().expect("there is one");
        if let super::tree::Kind::File(content) = &entry.kind {
            io::copy(&mut content.open()?, &mut fs::File::create(to)?)?;
            return set_mode(to, entry.mode);
        }
    }
    let mut below = tree.clone();
    below.entries.remove(&b""[..]);
    place::write_tar(&below, &mut bytes)?;
    fs::create_dir(to)?;
    let mut archive = tar::Archive::new(bytes.as_slice());
    archive.set_preserve_permissions(true);
    archive.set_preserve_ownerships(rustix::process::geteuid().is_root());
    archive.set_unpack_xattrs(true);
    archive.unpack(to)
}
