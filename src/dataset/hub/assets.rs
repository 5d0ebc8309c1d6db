//! Files that instances name by address, downloaded once and kept in the cache.

use super::client::Client;
use super::download::{Expected, Remote, download};
use crate::dataset::{Dataset, DatasetError, LoadOptions};
use crate::model::{AssetSource, Digest};
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// What could be had of the files that instances name by address.
#[derive(Debug, Default)]
pub struct FetchedAssets {
    /// Where each file is, by its address.
    pub files: HashMap<String, PathBuf>,
    /// What could not be had, and why. The instances that need it have no verdict.
    pub failures: Vec<DatasetError>,
}

/// Downloads what the instances of a data set name by address, into `<cache>/assets/`. A file that
/// is there is not asked for again: what tests compare with does not change.
///
/// # Errors
/// The cache cannot be written.
pub async fn fetch_assets(
    dataset: &Dataset,
    options: &LoadOptions,
) -> Result<FetchedAssets, DatasetError> {
    let assets = dataset.instances.iter().flat_map(|instance| &instance.image_assets);
    let addresses: BTreeSet<&str> = assets
        .filter_map(|asset| match &asset.source {
            AssetSource::Url(url) => Some(url.as_str()),
            AssetSource::File(_) => None,
        })
        .collect();
    let mut fetched = FetchedAssets::default();
    if addresses.is_empty() {
        return Ok(fetched);
    }
    let folder = options.cache.join("assets");
    fs_err::create_dir_all(&folder)?;
    let _lock = super::lock(&folder).await?;
    for url in addresses {
        let target = folder.join(Digest::of(url).to_string());
        match fetch(url, &target, options.offline).await {
            Ok(()) => drop(fetched.files.insert(url.to_owned(), target)),
            Err(error) => fetched.failures.push(error),
        }
    }
    Ok(fetched)
}

async fn fetch(url: &str, target: &Path, offline: bool) -> Result<(), DatasetError> {
    if target.exists() {
        return Ok(());
    }
    if offline {
        return Err(DatasetError::Hub {
            what: format!("{url} is not in the cache, and evalrun works offline"),
            hint: "run it once without --offline".to_owned(),
        });
    }
    let (host, path) = split(url);
    // The token is the hub's; it goes nowhere else.
    let client = Client::new(host, None)?;
    let expected = Expected { size: None, sha256: None, blob: None };
    download(Remote { client: &client, path, id: url }, target, &expected).await
}

/// Server and path of an address.
fn split(url: &str) -> (&str, &str) {
    let host = url.find("://").map_or(0, |at| at + 3);
    match url[host..].find('/') {
        Some(slash) => url.split_at(host + slash),
        None => (url, "/"),
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn addresses_are_split_behind_the_host() {
        assert_eq!(split("https://a.b/c/d?e=f"), ("https://a.b", "/c/d?e=f"));
        assert_eq!(split("http://127.0.0.1:80"), ("http://127.0.0.1:80", "/"));
    }
}
