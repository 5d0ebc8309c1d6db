//! From the store to a registry.

use super::keys::Use;
use super::place::Place;
use super::{Registry, RegistryError, blocking};
use crate::layers::ImageKey;
use crate::layers::export::pack::{self, MANIFEST_TYPE, Packed, PackedLayer, Squeeze};
use crate::model::Digest;
use futures_util::TryStreamExt as _;
use oci_client::Reference;
use oci_client::errors::OciDistributionError;
use reqwest::header::HeaderValue;
use tokio_util::io::ReaderStream;

impl Registry {
    /// Pushes an image of the store under a name; layers that are there are not sent again. Returns
    /// the digest of the manifest.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn push(&self, image: &ImageKey, name: &str) -> Result<Digest, RegistryError> {
        let inner = &self.0;
        let place = Place::new(name, &inner.options)?;
        if place.reference.digest().is_some() {
            let why = "an image is pushed under a tag; its digest follows from its content";
            return Err(RegistryError::Name { name: place.name, why: why.to_owned() });
        }
        let (store, image) = (inner.store.clone(), *image);
        let packed = blocking(move || pack::pack(&store, &image, Squeeze::Small)).await?;
        let endpoint = place.own();
        let reference = Reference::with_tag(
            endpoint.host.clone(),
            endpoint.repository.clone(),
            place.version().to_owned(),
        );
        let keys = &inner.client.keys;
        // The library takes credentials by registry, and gets its tokens itself.
        keys.client(endpoint)
            .store_auth_if_needed(&endpoint.host, &keys.credentials(&endpoint.host).await)
            .await;
        keys.header(endpoint, Use::Push).await.map_err(|error| failed(&place, "token", &error))?;
        self.send(&place, &reference, packed).await
    }

    async fn send(
        &self,
        place: &Place,
        reference: &Reference,
        packed: Packed,
    ) -> Result<Digest, RegistryError> {
        let client = self.0.client.keys.client(place.own());
        let there = |digest: String| async move {
            let exists = client.blob_exists(reference, &digest).await;
            exists.map_err(|error| failed(place, &digest, &error))
        };
        for PackedLayer { digest, size, file, .. } in packed.layers {
            let name = pack::name(&digest);
            if there(name.clone()).await? {
                continue;
            }
            let stream =
                ReaderStream::with_capacity(tokio::fs::File::from_std(file.into_file()), 128 << 10);
            let stream = stream.map_err(OciDistributionError::from);
            let sent = client.push_blob_stream(reference, stream, &name, Some(size)).await;
            sent.map_err(|error| failed(place, &name, &error))?;
        }
        let config = pack::name(&Digest::of(&packed.config));
        if !there(config.clone()).await? {
            let sent = client.push_blob(reference, packed.config, &config).await;
            sent.map_err(|error| failed(place, &config, &error))?;
        }
        let digest = Digest::of(&packed.manifest);
        let kind = HeaderValue::from_static(MANIFEST_TYPE);
        let sent = client.push_manifest_raw(reference, packed.manifest, kind).await;
        sent.map_err(|error| failed(place, "manifest", &error))?;
        Ok(digest)
    }
}

fn failed(place: &Place, blob: &str, error: &OciDistributionError) -> RegistryError {
    let what = format!("{}: {blob}", place.name);
    match error {
        OciDistributionError::UnauthorizedError { .. }
        | OciDistributionError::AuthenticationFailure(_) => RegistryError::Denied {
            what,
            host: place.own().host.clone(),
            status: 401,
            said: String::new(),
        },
        other => RegistryError::Failed { what, why: other.to_string() },
    }
}
