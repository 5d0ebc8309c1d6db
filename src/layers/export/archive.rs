//! An image as one archive that both `docker load` and the tools of the Open Container Initiative
//! read: an OCI layout, with Docker's `manifest.json` beside it.

use super::pack::{MANIFEST_TYPE, Packed, Squeeze, name, pack};
use super::writer::{Meta, TarWriter};
use crate::layers::{ImageKey, Store, StoreError};
use crate::model::Digest;
use serde_json::json;
use std::collections::BTreeSet;
use std::io::{Read, Write};

/// Writes an image, under a name if it has one, as a tar that `docker load` and OCI tools read.
/// Blocks.
///
/// # Errors
/// [`StoreError::NoSuchImage`]; a layer cannot be read; the writer's own.
pub fn export_archive(
    store: &Store,
    key: &ImageKey,
    image_name: Option<&str>,
    squeeze: Squeeze,
    writer: impl Write,
) -> Result<(), StoreError> {
    let packed = pack(store, key, squeeze)?;
    let mut tar = Archive(TarWriter::new(writer));
    tar.directory("blobs/")?;
    tar.directory("blobs/sha256/")?;
    let mut written = BTreeSet::new();
    for layer in &packed.layers {
        // The same layer may stand in an image twice, and in an archive once.
        if written.insert(layer.digest) {
            tar.file(&blob(&layer.digest), layer.file.file(), layer.size)?;
        }
    }
    for document in [&packed.config, &packed.manifest] {
        tar.document(&blob(&Digest::of(document)), document)?;
    }
    let (index, manifest) = documents(&packed, image_name)?;
    tar.document("index.json", &index)?;
    tar.document("manifest.json", &manifest)?;
    tar.document("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    Ok(tar.0.finish()?)
}

/// `index.json` and Docker's `manifest.json`.
fn documents(packed: &Packed, image_name: Option<&str>) -> Result<(Vec<u8>, Vec<u8>), StoreError> {
    let annotations = image_name.map(|full| {
        let tag = full.rsplit_once(':').map_or("latest", |(_, tag)| tag);
        json!({ "io.containerd.image.name": full, "org.opencontainers.image.ref.name": tag })
    });
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{
            "mediaType": MANIFEST_TYPE,
            "digest": name(&Digest::of(&packed.manifest)),
            "size": packed.manifest.len(),
            "annotations": annotations.unwrap_or_else(|| json!({})),
        }],
    });
    let manifest = json!([{
        "Config": blob(&Digest::of(&packed.config)),
        "RepoTags": image_name.into_iter().collect::<Vec<_>>(),
        "Layers": packed.layers.iter().map(|layer| blob(&layer.digest)).collect::<Vec<_>>(),
    }]);
    let bytes = |value| serde_json::to_vec(&value).map_err(std::io::Error::from);
    Ok((bytes(index)?, bytes(manifest)?))
}

fn blob(digest: &Digest) -> String {
    format!("blobs/sha256/{digest}")
}

struct Archive<W: Write>(TarWriter<W>);

impl<W: Write> Archive<W> {
    fn directory(&mut self, path: &str) -> std::io::Result<()> {
        self.0.header(&Meta { flag: b'5', mode: 0o755, ..meta(path, 0) })
    }

    fn document(&mut self, path: &str, bytes: &[u8]) -> std::io::Result<()> {
        self.file(path, bytes, bytes.len() as u64)
    }

    fn file(&mut self, path: &str, content: impl Read, size: u64) -> std::io::Result<()> {
        self.0.header(&meta(path, size))?;
        self.0.content(content, size)
    }
}

fn meta(path: &str, size: u64) -> Meta<'_> {
    Meta {
        path: path.as_bytes(),
        flag: b'0',
        link: b"",
        mode: 0o644,
        uid: 0,
        gid: 0,
        mtime: (0, 0),
        size,
        xattrs: &[],
    }
}
