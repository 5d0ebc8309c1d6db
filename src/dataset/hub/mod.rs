//! The Hugging Face hub: which files a data set has at a revision, and a cached copy of those
//! wanted.
//!
//! `<cache>/<owner>__<name>/` holds `refs/<revision>` (the commit a branch or tag was resolved to),
//! `<commit>.json` (the list of files) and `<commit>/…` (the files). What a commit holds never
//! changes, so what is there is used without asking again.

mod assets;
mod client;
mod download;

pub use assets::{FetchedAssets, fetch_assets};

use super::error::{DatasetError, Problem};
use super::load::splits;
use super::names::HubId;
use super::read::Format;
use super::{LoadOptions, is_repo};
use client::Client;
use globset::{Glob, GlobBuilder, GlobMatcher};
use serde::{Deserialize, Serialize};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// The hub, where nothing else is said.
const ENDPOINT: &str = "https://huggingface.co";
/// Where data sets keep the files of a split by custom, best first.
const CUSTOM: [&str; 11] = [
    "data/{split}-*.parquet",
    "data/{split}.parquet",
    "{split}-*.parquet",
    "{split}.parquet",
    "*/{split}-*.parquet",
    "data/{split}.jsonl",
    "{split}.jsonl",
    "data/{split}.json",
    "{split}.json",
    "data/{split}.csv",
    "{split}.csv",
];

/// The files of a data set at a commit, as the hub tells them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Listing {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    /// Its git object id; for files outside LFS.
    #[serde(rename = "blobId")]
    blob_id: Option<String>,
    lfs: Option<Lfs>,
}

/// What git LFS knows of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Lfs {
    sha256: Option<String>,
    size: Option<u64>,
}

/// The files of a split on disk, downloaded where they are not there yet.
pub(super) async fn fetch(
    wanted: &HubId,
    split: &str,
    options: &LoadOptions,
) -> Result<Vec<PathBuf>, DatasetError> {
    if !is_repo(&wanted.id) {
        let problem = Problem::new(&wanted.id, "is no id of the hub");
        return Err(problem.hint("an id of the hub is `owner/name`").into());
    }
    let folder = options.cache.join(wanted.id.replace('/', "__"));
    fs_err::create_dir_all(folder.join("refs"))?;
    let _lock = lock(&folder).await?;
    let client = match options.offline {
        true => None,
        false => Some(Client::new(
            options.hf_endpoint.as_deref().unwrap_or(ENDPOINT),
            options.hf_token.as_deref(),
        )?),
    };
    let hub = Hub { id: &wanted.id, folder: &folder, client };
    let listing = hub.listing(wanted, options.revision.as_deref()).await?;
    let chosen = choose(&listing, wanted, split)?;
    let root = folder.join(&listing.sha);
    let mut files = Vec::with_capacity(chosen.len());
    for sibling in chosen {
        files.push(hub.file(&listing.sha, &root, sibling).await?);
    }
    Ok(files)
}

/// One data set of the hub, and where its copy is.
struct Hub<'a> {
    id: &'a str,
    folder: &'a Path,
    /// None: offline.
    client: Option<Client>,
}

impl Hub<'_> {
    /// The list of files: of the commit noted, unless the user asks for a revision by name, which
    /// is then resolved anew.
    async fn listing(&self, wanted: &HubId, asked: Option<&str>) -> Result<Listing, DatasetError> {
        let revision = asked.unwrap_or(&wanted.revision);
        let note = self.folder.join("refs").join(revision.replace('/', "%2F"));
        let noted = match is_commit(revision) {
            true => Some(revision.to_owned()),
            false => fs_err::read_to_string(&note).ok().filter(|sha| is_file_name(sha)),
        };
        let fixed = is_commit(revision) || asked.is_none() || self.client.is_none();
        if let Some(sha) = noted.filter(|_| fixed)
            && let Ok(text) = fs_err::read(self.folder.join(format!("{sha}.json")))
            && let Ok(listing) = serde_json::from_slice::<Listing>(&text)
        {
            return Ok(listing);
        }
        let Some(client) = &self.client else { return Err(self.offline(revision)) };
        let path = format!(
            "/api/datasets/{}/revision/{}?blobs=true",
            self.id,
            revision.replace('/', "%2F")
        );
        let listing: Listing = client.json(&path, self.id).await?;
        if !is_file_name(&listing.sha) {
            return Err(client.odd(&path, "the answer names no commit"));
        }
        let text = serde_json::to_vec_pretty(&listing).map_err(std::io::Error::from)?;
        write_whole(&self.folder.join(format!("{}.json", listing.sha)), &text)?;
        if !is_commit(revision) {
            write_whole(&note, listing.sha.as_bytes())?;
        }
        Ok(listing)
    }

    /// One file, from the cache or the hub.
    async fn file(
        &self,
        sha: &str,
        root: &Path,
        sibling: &Sibling,
    ) -> Result<PathBuf, DatasetError> {
        let target = root.join(&sibling.rfilename);
        let size = sibling.lfs.as_ref().and_then(|lfs| lfs.size).or(sibling.size);
        if let Ok(meta) = fs_err::metadata(&target)
            && size.is_none_or(|size| size == meta.len())
        {
            return Ok(target);
        }
        let Some(client) = &self.client else { return Err(self.offline(sha)) };
        let path = format!("/datasets/{}/resolve/{sha}/{}", self.id, escaped(&sibling.rfilename));
        if let Some(parent) = target.parent() {
            fs_err::create_dir_all(parent)?;
        }
        let expected = download::Expected {
            size,
            sha256: sibling.lfs.as_ref().and_then(|lfs| lfs.sha256.clone()),
            blob: sibling.blob_id.clone().filter(|_| sibling.lfs.is_none()),
        };
        let remote = download::Remote { client, path: &path, id: self.id };
        download::download(remote, &target, &expected).await?;
        Ok(target)
    }

    fn offline(&self, what: &str) -> DatasetError {
        DatasetError::Hub {
            what: format!("{} at {what} is not in the cache, and evalrun works offline", self.id),
            hint: "load it once without --offline, or name a file of its rows on disk".to_owned(),
        }
    }
}

/// The files of a split.
fn choose<'a>(
    listing: &'a Listing,
    wanted: &HubId,
    split: &str,
) -> Result<Vec<&'a Sibling>, DatasetError> {
    let own = wanted.files.iter().map(String::as_str);
    // The registry's own patterns belong together; of the customary ones the first counts.
    let own: Vec<_> = own.filter_map(|pattern| matcher(pattern, split)).collect();
    let groups = std::iter::once(own)
        .chain(CUSTOM.iter().map(|pattern| matcher(pattern, split).into_iter().collect()));
    for group in groups {
        let fits = |file: &&Sibling| {
            group.iter().any(|glob: &GlobMatcher| glob.is_match(&file.rfilename))
                && is_below(&file.rfilename)
        };
        let mut found: Vec<_> = listing.siblings.iter().filter(fits).collect();
        if !found.is_empty() {
            found.sort_by(|one, other| one.rfilename.cmp(&other.rfilename));
            return Ok(found);
        }
    }
    let names = listing.siblings.iter().map(|file| &file.rfilename);
    let names = names.filter(|name| is_below(name)).map(PathBuf::from);
    let data: Vec<_> = names.filter(|name| Format::of(name).is_some()).collect();
    let splits: Vec<_> = splits(&data).into_iter().collect();
    let hint = match splits.as_slice() {
        [] => "the data set has no .parquet, .jsonl, .json or .csv file".to_owned(),
        splits => format!("its files are of {}: name one with --split", splits.join(", ")),
    };
    let what = format!("has no file of the split `{split}` at {}", listing.sha);
    Err(Problem::new(&wanted.id, what).hint(hint).into())
}

fn matcher(pattern: &str, split: &str) -> Option<GlobMatcher> {
    let split = globset::escape(split);
    let glob =
        GlobBuilder::new(&pattern.replace("{split}", &split)).literal_separator(true).build();
    glob.ok().map(|glob: Glob| glob.compile_matcher())
}

/// A whole commit id: it needs no looking up.
fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether what the hub calls a commit can be a directory's name.
fn is_file_name(sha: &str) -> bool {
    (1..=64).contains(&sha.len()) && sha.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn is_below(name: &str) -> bool {
    !name.contains('\\')
        && Path::new(name).components().all(|part| matches!(part, Component::Normal(_)))
}

/// A path as it stands in an address.
fn escaped(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temp = path.with_extension("tmp");
    fs_err::write(&temp, bytes)?;
    fs_err::rename(&temp, path)
}

/// One evalrun at a time works on the copy of a data set; the others wait.
async fn lock(folder: &Path) -> Result<std::fs::File, DatasetError> {
    let path = folder.join(".lock");
    let file = fs_err::OpenOptions::new().create(true).append(true).open(&path)?.into_file();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(std::fs::TryLockError::WouldBlock) => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(std::fs::TryLockError::Error(error)) => {
                return Err(std::io::Error::new(
                    error.kind(),
                    format!("failed to lock file `{}`: {error}", path.display()),
                )
                .into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(names: &[&str]) -> Listing {
        let sibling = |name: &&str| Sibling {
            rfilename: (*name).to_owned(),
            size: None,
            blob_id: None,
            lfs: None,
        };
        Listing { sha: "a".repeat(40), siblings: names.iter().map(sibling).collect() }
    }

    fn chosen(names: &[&str], files: &[&str], split: &str) -> Result<Vec<String>, String> {
        let wanted = HubId {
            id: "o/n".into(),
            revision: "main".into(),
            split: "test".into(),
            files: files.iter().map(|&file| file.to_owned()).collect(),
        };
        choose(&listing(names), &wanted, split)
            .map(|files| files.iter().map(|file| file.rfilename.clone()).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_files_of_a_split_are_found_and_no_others() {
        let names = [
            "README.md",
            "data/test-00001-of-00002.parquet",
            "data/test-00000-of-00002.parquet",
            "data/dev-00000-of-00001.parquet",
            "test.jsonl",
            "../data/test-x.parquet",
        ];
        let two = ["data/test-00000-of-00002.parquet", "data/test-00001-of-00002.parquet"];
        assert_eq!(chosen(&names, &[], "test").unwrap(), two);
        assert_eq!(chosen(&names, &["{split}.jsonl"], "test").unwrap(), ["test.jsonl"]);
        assert_eq!(chosen(&names, &["nothing"], "dev").unwrap(), [names[3]]);
        let said = chosen(&names, &[], "train").unwrap_err();
        assert!(said.contains("its files are of dev, test: name one with --split"), "{said}");
    }

    #[test]
    fn paths_are_escaped_and_kept_below() {
        assert_eq!(escaped("data/a b#ä.json"), "data/a%20b%23%C3%A4.json");
        assert!(!is_below("../x") && !is_below("/x") && !is_below("a\\..\\b") && is_below("a/b"));
    }
}
