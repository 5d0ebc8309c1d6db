//! One file of the hub onto disk: resumed where it broke off, checked, renamed into place.

use super::client::{Client, Retries};
use crate::dataset::DatasetError;
use crate::model::Digest;
use reqwest::header::{CONTENT_RANGE, HeaderMap};
use reqwest::{Response, StatusCode};
use sha2::{Digest as _, Sha256};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

/// What is known of a file beforehand.
pub(super) struct Expected {
    pub(super) size: Option<u64>,
    pub(super) sha256: Option<String>,
    /// Its git object id.
    pub(super) blob: Option<String>,
}

/// A file of the hub.
#[derive(Clone, Copy)]
pub(super) struct Remote<'a> {
    pub(super) client: &'a Client,
    /// Its path on the hub.
    pub(super) path: &'a str,
    /// The data set it belongs to.
    pub(super) id: &'a str,
}

/// Downloads a file to `target`, through `<target>.part`.
pub(super) async fn download(
    remote: Remote<'_>,
    target: &Path,
    expected: &Expected,
) -> Result<(), DatasetError> {
    let part = part_of(target);
    let mut retries = Retries::default();
    let mut again = true;
    loop {
        transfer(remote, &part, expected, &mut retries).await?;
        match check(&part, expected)? {
            None => break,
            // A part kept from before may be what is wrong: once more, from the start.
            Some(_) if again => again = false,
            Some(what) => {
                fs_err::remove_file(&part)?;
                return Err(remote.client.odd(remote.path, &what));
            }
        }
        fs_err::remove_file(&part)?;
    }
    fs_err::File::open(&part)?.sync_all()?;
    fs_err::rename(&part, target)?;
    Ok(())
}

/// Brings the part to its full length.
async fn transfer(
    remote: Remote<'_>,
    part: &Path,
    expected: &Expected,
    retries: &mut Retries,
) -> Result<(), DatasetError> {
    let Remote { client, path, id } = remote;
    loop {
        let have = fs_err::metadata(part).map(|meta| meta.len()).unwrap_or(0);
        if expected.size == Some(have) && (have > 0 || part.exists()) {
            return Ok(());
        }
        if expected.size.is_some_and(|size| have > size) {
            fs_err::remove_file(part)?;
            continue;
        }
        let mut response = client.get(path, id, have, retries).await?;
        let mut file = match position(&response, have) {
            Position::Resumed => fs_err::OpenOptions::new().append(true).open(part)?,
            Position::FromStart => fs_err::File::create(part)?,
            Position::Odd => {
                // What we have does not fit what the hub has: begin again, but not forever.
                fs_err::remove_file(part)?;
                retries.pause(client.odd(path, "the hub answers for another range")).await?;
                continue;
            }
        };
        let mut written = file.metadata()?.len();
        loop {
            match response.chunk().await {
                Ok(Some(bytes)) => {
                    retries.progress();
                    file.write_all(&bytes)?;
                    written += bytes.len() as u64;
                    if expected.size.is_some_and(|size| written > size) {
                        return Err(client.odd(path, "the file is longer than the hub says"));
                    }
                }
                Ok(None) if expected.size.is_none_or(|size| size == written) => return Ok(()),
                Ok(None) => {
                    let what = format!("the answer ends after {written} bytes");
                    retries.pause(client.odd(path, &what)).await?;
                    break;
                }
                Err(error) => {
                    file.flush()?;
                    retries.pause(client.network(path, error)).await?;
                    break;
                }
            }
        }
    }
}

/// Where an answer begins.
enum Position {
    Resumed,
    FromStart,
    Odd,
}

fn position(response: &Response, have: u64) -> Position {
    match response.status() {
        StatusCode::PARTIAL_CONTENT if range_start(response.headers()) == Some(have) => {
            Position::Resumed
        }
        StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => Position::Odd,
        // A server that knows no ranges sends the whole.
        _ => Position::FromStart,
    }
}

/// The first byte of `Content-Range: bytes 7-99/100`.
fn range_start(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    text.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}

/// What is wrong with a finished part.
fn check(part: &Path, expected: &Expected) -> Result<Option<String>, DatasetError> {
    let size = fs_err::metadata(part)?.len();
    if let Some(wanted) = expected.size.filter(|wanted| *wanted != size) {
        return Ok(Some(format!("the file has {size} bytes, not {wanted}")));
    }
    if let Some(wanted) = &expected.sha256 {
        let found = sha256(part)?;
        let same = wanted.parse::<Digest>().is_ok_and(|wanted| wanted == found);
        return Ok((!same).then(|| format!("the file has the digest {found}, not {wanted}")));
    }
    if let Some(wanted) = &expected.blob {
        let found = git2::Oid::hash_file(git2::ObjectType::Blob, part)
            .map_err(|error| std::io::Error::other(error.to_string()))?;
        let same = found.to_string() == wanted.to_lowercase();
        return Ok((!same).then(|| format!("the file has the git object id {found}, not {wanted}")));
    }
    Ok(None)
}

fn sha256(path: &Path) -> Result<Digest, DatasetError> {
    let mut file = fs_err::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(Digest::from_bytes(hasher.finalize().into()));
        }
        hasher.update(&buffer[..count]);
    }
}

fn part_of(target: &Path) -> PathBuf {
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    target.with_file_name(name)
}
