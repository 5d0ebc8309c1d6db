//! Images in files: root-fs tars, `docker save` archives, OCI archives and OCI layout directories.

use super::oci::{self, Config, Index, Manifest};
use super::unpack::{self, TarFile};
use super::{ImageConfig, ImageKey, LayerKey, Platform, Store, StoreError};
use super::{decompress, import_tar, platform};
use crate::model::Digest;
use fs_err::File;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Indexes that point to indexes, at most.
const MAX_NESTING: usize = 4;

/// Imports whatever the path holds.
pub(super) fn import(
    store: &Store,
    key: LayerKey,
    config: &ImageConfig,
    path: &Path,
) -> Result<ImageKey, StoreError> {
    if fs_err::metadata(path)?.is_dir() {
        let saved = Saved { files: Files::Directory(path.to_owned()), store, path };
        return Ok(saved.import(Some(key), config)?.key);
    }
    let file = File::open(path)?;
    if !holds_images(&file)? {
        return import_tar(store, key, config, file);
    }
    let files = Files::Archive(Archive::open(store, file)?);
    Ok(Saved { files, store, path }.import(Some(key), config)?.key)
}

/// An image that was taken from an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Its key: of a saved image its id, the digest of its config, as when it is pulled.
    pub key: ImageKey,
    /// The names it was saved under.
    pub names: Vec<String>,
}

/// An image from a root-fs tar, a `docker save` archive, an OCI archive or an OCI layout directory,
/// under a key that its content gives. Blocks.
///
/// # Errors
/// The archive cannot be read, makes no sense or meets a cap; it holds several images; trouble
/// with the store.
pub fn import_image(store: &Store, path: &Path) -> Result<Imported, StoreError> {
    let config = ImageConfig::default();
    if fs_err::metadata(path)?.is_dir() {
        return Saved { files: Files::Directory(path.to_owned()), store, path }
            .import(None, &config);
    }
    let file = File::open(path)?;
    if holds_images(&file)? {
        let files = Files::Archive(Archive::open(store, file)?);
        return Saved { files, store, path }.import(None, &config);
    }
    let layer = store.begin()?;
    let mut plain = super::hashing::Hashing::new(decompress::reader(file)?);
    super::import::fill(&layer, &mut plain, false, store)?;
    let key = oci::layer_key(plain.finish().0);
    let key = layer.commit(super::NewImage { key, parent: None, config, binds: Vec::new() })?;
    Ok(Imported { key, names: Vec::new() })
}

/// Whether a tar holds saved images rather than a root file system, by the names at its top: a
/// root file system has others, and they come early.
fn holds_images(file: &File) -> Result<bool, StoreError> {
    let whole = Part { file, at: 0, end: file.metadata()?.len() };
    let mut decided = false;
    unpack::index(decompress::reader(whole)?, |found| {
        let name = found.path.split('/').next().unwrap_or_default();
        decided = matches!(name, "manifest.json" | "index.json" | "oci-layout");
        let stem = name.trim_end_matches(".json").trim_end_matches(".tar");
        !decided
            && (matches!(name, "" | "blobs" | "repositories") || stem.parse::<Digest>().is_ok())
    })?;
    Ok(decided)
}

/// A part of a file, read without moving its position.
struct Part<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let want = left.min(buffer.len());
        let read = self.file.file().read_at(&mut buffer[..want], self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// A tar and where its files are in it.
struct Archive {
    file: File,
    names: BTreeMap<String, TarFile>,
}

impl Archive {
    /// Takes a tar's index; a compressed one is unpacked into the store's workshop first, because
    /// its files are read in another order than they stand in.
    fn open(store: &Store, file: File) -> Result<Self, StoreError> {
        let mut start = [0; 8];
        let read = file.file().read_at(&mut start, 0)?;
        let file = match decompress::detect(&start[..read]) {
            decompress::Compression::None => file,
            _ => plain(store, &file)?,
        };
        let mut names = BTreeMap::new();
        let whole = Part { file: &file, at: 0, end: file.metadata()?.len() };
        unpack::index(BufReader::with_capacity(128 << 10, whole), |found| {
            names.insert(found.path.clone(), found);
            true
        })?;
        Ok(Self { file, names })
    }

    /// A file of the archive; links (old versions of Docker link equal layers) are followed.
    fn find(&self, name: &str) -> Option<&TarFile> {
        let mut name = name.to_owned();
        for _ in 0..8 {
            let found = self.names.get(&name)?;
            let Some(target) = &found.link else { return Some(found) };
            name = join(&name, target);
        }
        None
    }
}

/// A copy of a compressed file without its compression, which nobody else sees.
fn plain(store: &Store, file: &File) -> Result<File, StoreError> {
    let path = store.fresh("archive")?;
    let mut copy =
        fs_err::OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
    fs_err::remove_file(&path)?;
    let whole = Part { file, at: 0, end: file.metadata()?.len() };
    let limit = unpack::Caps::default().bytes;
    let copied = io::copy(&mut decompress::reader(whole)?.take(limit), &mut copy)?;
    if copied == limit {
        return Err(unpack::UnpackError::Cap { what: "bytes", limit }.into());
    }
    Ok(copy)
}

/// The target of a link in the directory of `name`, by text alone.
fn join(name: &str, target: &str) -> String {
    let mut parts: Vec<&str> = name.split('/').collect();
    if target.starts_with('/') {
        parts.clear();
    }
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Files by name.
enum Files {
    Directory(PathBuf),
    Archive(Archive),
}

impl Files {
    fn open(&self, name: &str) -> Result<Option<Box<dyn Read + '_>>, StoreError> {
        match self {
            Self::Directory(directory) => {
                if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
                    return Ok(None);
                }
                match File::open(directory.join(name)) {
                    Ok(file) => Ok(Some(Box::new(file))),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                    Err(error) => Err(error.into()),
                }
            }
            Self::Archive(archive) => Ok(archive.find(name).map(|found| {
                let (at, end) = (found.at, found.at + found.size);
                Box::new(Part { file: &archive.file, at, end }) as Box<dyn Read>
            })),
        }
    }
}

/// One entry of `manifest.json`, as `docker save` writes it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SavedImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// Saved images, in an archive or a directory.
struct Saved<'a> {
    files: Files,
    store: &'a Store,
    path: &'a Path,
}

/// Where one layer is: the name of its file, and its digest if that is stated.
type LayerFile = (String, Option<Digest>);

/// A config, layers and names.
type Parts = (Vec<u8>, Vec<LayerFile>, Vec<String>);

impl Saved<'_> {
    /// Imports the image under this key, or under its id.
    fn import(&self, key: Option<LayerKey>, over: &ImageConfig) -> Result<Imported, StoreError> {
        let (config, files, names) = match self.document("manifest.json")? {
            Some(bytes) => self.docker(&bytes)?,
            None => self.layout()?,
        };
        let key = key.unwrap_or_else(|| LayerKey(Digest::of(&config)));
        let config: Config = oci::parse("its config", &config).map_err(self.bad())?;
        let diff_ids = config.diff_ids().map_err(self.bad())?;
        if diff_ids.len() != files.len() {
            let (stated, found) = (diff_ids.len(), files.len());
            return Err(self.bad()(format!("it has {found} layers, and its config {stated}")));
        }
        let layers: Vec<LayerKey> = diff_ids.iter().copied().map(oci::layer_key).collect();
        let mut kept = Vec::new();
        for ((name, blob), diff_id) in files.into_iter().zip(diff_ids) {
            let open = || self.need(&name);
            kept.push(oci::ensure_layer(self.store, diff_id, blob, &layers, open)?);
        }
        let key = oci::register(self.store, key, layers, config.image_config(over))?;
        drop(kept);
        Ok(Imported { key, names })
    }

    /// The config, the layers and the names of a `docker save` archive.
    fn docker(&self, manifest: &[u8]) -> Result<Parts, StoreError> {
        let mut images: Vec<SavedImage> =
            oci::parse("manifest.json", manifest).map_err(self.bad())?;
        if images.len() != 1 {
            let names: Vec<_> =
                images.iter().flat_map(|one| one.repo_tags.iter().flatten().cloned()).collect();
            let why = format!("it holds {} images ({})", images.len(), names.join(", "));
            return Err(self.bad()(format!("{why}; save the one that is wanted alone")));
        }
        let image = images.remove(0);
        let config = self.must(&image.config)?;
        // Its name is its digest, in all versions of Docker.
        let name = image.config.rsplit('/').next().unwrap_or_default().trim_end_matches(".json");
        if name.parse::<Digest>().is_ok_and(|stated| stated != Digest::of(&config)) {
            return Err(self.bad()(format!("{} is damaged", image.config)));
        }
        let layers = image.layers.into_iter().map(|name| (name, None)).collect();
        Ok((config, layers, image.repo_tags.unwrap_or_default()))
    }

    /// The config, the layers and the names of an OCI layout.
    fn layout(&self) -> Result<Parts, StoreError> {
        let mut document = self.must("index.json")?;
        let mut names = Vec::new();
        for _ in 0..MAX_NESTING {
            let index: Index = oci::parse("its index", &document).map_err(self.bad())?;
            let chosen = platform::choose(index, &Platform::here()).map_err(self.bad())?;
            document = self.blob(chosen.digest().map_err(self.bad())?)?;
            // What stands in the usual annotation is a tag as often as a name.
            names.extend(chosen.annotations.get("io.containerd.image.name").cloned());
            if !chosen.is_index() {
                let manifest: Manifest =
                    oci::parse("its manifest", &document).map_err(self.bad())?;
                let config = self.blob(manifest.config.digest().map_err(self.bad())?)?;
                let layers = manifest.layers.iter().map(|layer| {
                    let digest = layer.digest().map_err(self.bad())?;
                    Ok((blob_name(digest), Some(digest)))
                });
                return Ok((config, layers.collect::<Result<_, StoreError>>()?, names));
            }
        }
        Err(self.bad()("its indexes do not end".to_owned()))
    }

    /// A document by its digest, which is verified.
    fn blob(&self, digest: Digest) -> Result<Vec<u8>, StoreError> {
        let bytes = self.must(&blob_name(digest))?;
        if Digest::of(&bytes) != digest {
            return Err(self.bad()(format!("blob sha256:{digest} is damaged")));
        }
        Ok(bytes)
    }

    fn must(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        self.document(name)?.ok_or_else(|| self.bad()(format!("{name} is missing")))
    }

    fn need(&self, name: &str) -> Result<Box<dyn Read + '_>, StoreError> {
        self.files.open(name)?.ok_or_else(|| self.bad()(format!("{name} is missing")))
    }

    /// A whole small file.
    fn document(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(reader) = self.files.open(name)? else { return Ok(None) };
        let mut bytes = Vec::new();
        reader.take(oci::MAX_DOCUMENT + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > oci::MAX_DOCUMENT {
            return Err(self.bad()(format!("{name} is larger than {} bytes", oci::MAX_DOCUMENT)));
        }
        Ok(Some(bytes))
    }

    /// For `map_err`: names what is imported.
    fn bad(&self) -> impl Fn(String) -> StoreError {
        |why| StoreError::source_error(self.path.display(), why)
    }
}

/// Where an OCI layout keeps a blob.
fn blob_name(digest: Digest) -> String {
    format!("blobs/sha256/{digest}")
}
