//! An image as blobs: config, manifest and compressed layers, as registries and archives hold them.
//! The same image gives the same blobs wherever it is packed, so that others have shared layers once.

use super::{export_image, write_layer};
use crate::layers::hashing::Hashed;
use crate::layers::{Healthcheck, ImageConfig, ImageKey, Platform, Store, StoreError};
use crate::model::Digest;
use flate2::Compression;
use flate2::write::GzEncoder;
use fs_err::{File, OpenOptions};
use serde_json::{Value, json};
use std::io::{BufWriter, Seek as _, Write as _};

pub(in crate::layers) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// What layers are squeezed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Squeeze {
    /// For keeping and for the network.
    Small,
    /// For a reader on this machine, who unpacks them at once: not at all.
    Quick,
}

impl Squeeze {
    fn level(self) -> Compression {
        match self {
            Self::Small => Compression::new(4),
            Self::Quick => Compression::none(),
        }
    }
}

/// An image as blobs.
pub(in crate::layers) struct Packed {
    pub(in crate::layers) config: Vec<u8>,
    pub(in crate::layers) manifest: Vec<u8>,
    /// The bottom one first.
    pub(in crate::layers) layers: Vec<PackedLayer>,
}

/// One layer, compressed, in a file that has no name any more.
pub(in crate::layers) struct PackedLayer {
    pub(in crate::layers) digest: Digest,
    pub(in crate::layers) size: u64,
    diff_id: Digest,
    pub(in crate::layers) file: File,
}

/// Packs an image. What it shows of this machine is made a part of it, as its only layer.
pub(in crate::layers) fn pack(
    store: &Store,
    key: &ImageKey,
    squeeze: Squeeze,
) -> Result<Packed, StoreError> {
    let _using = store.use_lock()?;
    let image = store.need(key)?;
    let layers = match image.binds.is_empty() {
        true => {
            let each = image.layers.iter();
            each.map(|layer| pack_layer(store, squeeze, |writer| write_layer(store, layer, writer)))
                .collect()
        }
        false => {
            let whole = pack_layer(store, squeeze, |writer| export_image(store, key, writer, true));
            whole.map(|layer| vec![layer])
        }
    };
    let layers: Vec<PackedLayer> = layers?;
    let config = json!({
        "created": image.created.to_string(),
        "architecture": Platform::here().architecture,
        "os": "linux",
        "config": config(&image.config),
        "rootfs": { "type": "layers", "diff_ids": layers.iter().map(|one| name(&one.diff_id)).collect::<Vec<_>>() },
        "history": layers.iter().map(|_| json!({ "created_by": "evalrun" })).collect::<Vec<_>>(),
    });
    let config = serde_json::to_vec(&config).map_err(std::io::Error::from)?;
    let descriptor = |kind: &str, digest: &Digest, size: u64| json!({ "mediaType": kind, "digest": name(digest), "size": size });
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": descriptor(CONFIG_TYPE, &Digest::of(&config), config.len() as u64),
        "layers": layers.iter().map(|one| descriptor(LAYER_TYPE, &one.digest, one.size)).collect::<Vec<_>>(),
    });
    let manifest = serde_json::to_vec(&manifest).map_err(std::io::Error::from)?;
    Ok(Packed { config, manifest, layers })
}

fn pack_layer(
    store: &Store,
    squeeze: Squeeze,
    write: impl FnOnce(&mut Hashed<GzEncoder<Hashed<BufWriter<File>>>>) -> Result<(), StoreError>,
) -> Result<PackedLayer, StoreError> {
    let path = store.fresh("packed")?;
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
    fs_err::remove_file(&path)?;
    let compressed = Hashed::new(BufWriter::with_capacity(128 << 10, file));
    let mut plain = Hashed::new(GzEncoder::new(compressed, squeeze.level()));
    write(&mut plain)?;
    let (encoder, diff_id, _) = plain.finish();
    let (mut buffer, digest, size) = encoder.finish()?.finish();
    buffer.flush()?;
    let mut file = buffer.into_inner().map_err(std::io::IntoInnerError::into_error)?;
    file.rewind()?;
    Ok(PackedLayer { digest, size, diff_id, file })
}

/// A digest as documents write it.
pub(in crate::layers) fn name(digest: &Digest) -> String {
    format!("sha256:{digest}")
}

/// What an image says of its processes, in the words of its config.
fn config(config: &ImageConfig) -> Value {
    let env: Vec<_> = config.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let set = |names: &std::collections::BTreeSet<String>| -> Value {
        names.iter().map(|name| (name.clone(), json!({}))).collect::<serde_json::Map<_, _>>().into()
    };
    let all = [
        ("Env", json!(env)),
        ("WorkingDir", json!(config.workdir)),
        ("User", json!(config.user)),
        ("Entrypoint", json!(config.entrypoint)),
        ("Cmd", json!(config.cmd)),
        ("Labels", json!(config.labels)),
        ("ExposedPorts", set(&config.exposed_ports)),
        ("Volumes", set(&config.volumes)),
        ("StopSignal", json!(config.stop_signal)),
        ("Shell", json!(config.shell)),
        ("OnBuild", json!(config.on_build)),
        ("Healthcheck", config.healthcheck.as_ref().map_or(Value::Null, healthcheck)),
    ];
    let said = all.into_iter().filter(|(_, value)| match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        _ => true,
    });
    said.map(|(name, value)| (name.to_owned(), value)).collect::<serde_json::Map<_, _>>().into()
}

/// Docker counts time in nanoseconds.
fn healthcheck(check: &Healthcheck) -> Value {
    let nanos = |time: &Option<std::time::Duration>| {
        time.map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
    };
    let all = [
        ("Test", json!(check.test)),
        ("Interval", json!(nanos(&check.interval))),
        ("Timeout", json!(nanos(&check.timeout))),
        ("StartPeriod", json!(nanos(&check.start_period))),
        ("Retries", json!(check.retries)),
    ];
    let said = all.into_iter().filter(|(_, value)| !value.is_null());
    said.map(|(name, value)| (name.to_owned(), value)).collect::<serde_json::Map<_, _>>().into()
}
