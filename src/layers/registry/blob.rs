//! One blob, straight from the network into whoever reads it: a download that goes on where it
//! broke off, and the end of it that blocks.

use super::RegistryError;
use super::http::{Ask, Client, Patience, network};
use super::place::Place;
use crate::model::Digest;
use bytes::Bytes;
use reqwest::header::CONTENT_RANGE;
use reqwest::{Response, StatusCode};
use std::io::{self, Read};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// How many pieces may wait to be read; a piece is what the network gives at a time, some 16 KiB.
const AHEAD: usize = 64;

/// A blob as a manifest describes it.
#[derive(Clone, Debug)]
pub(super) struct Blob {
    pub(super) digest: Digest,
    pub(super) size: u64,
    /// Where else it may be had.
    pub(super) urls: Vec<String>,
}

/// The two ends of a download. The turn ends when the reader is dropped: a layer that waits for the
/// disk does not keep the next from coming.
pub(super) fn pipe(size: u64, turn: OwnedSemaphorePermit) -> (mpsc::Sender<Bytes>, BlobReader) {
    let (sender, pieces) = mpsc::channel(AHEAD);
    (sender, BlobReader { pieces, piece: Bytes::new(), left: size, _turn: turn })
}

/// The end of a download that is read by a thread that may wait.
pub(super) struct BlobReader {
    pieces: mpsc::Receiver<Bytes>,
    piece: Bytes,
    left: u64,
    _turn: OwnedSemaphorePermit,
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.piece = piece,
                None if self.left == 0 => return Ok(0),
                // The download says why.
                None => return Err(io::Error::other("the download broke off")),
            }
        }
        let length = buffer.len().min(self.piece.len());
        buffer[..length].copy_from_slice(&self.piece.split_to(length));
        self.left -= length as u64;
        Ok(length)
    }
}

/// Downloads a blob into the pipe; a broken connection is made again and goes on where it broke.
/// Ends early, and well, if nobody reads any more. Its digest is verified by who reads.
pub(super) async fn download(
    client: &Client,
    place: &Place,
    blob: &Blob,
    sender: mpsc::Sender<Bytes>,
    tell: &(dyn Fn(u64) + Send + Sync),
) -> Result<(), RegistryError> {
    let what = format!("{}: blob sha256:{}", place.name, blob.digest);
    let mut download = Download { client, place, blob, what, at: 0, patience: Patience::default() };
    while download.at < blob.size {
        let response = download.open().await?;
        if !download.pass_on(response, &sender, tell).await? {
            break;
        }
    }
    Ok(())
}

struct Download<'a> {
    client: &'a Client,
    place: &'a Place,
    blob: &'a Blob,
    what: String,
    /// Bytes that were passed on.
    at: u64,
    patience: Patience,
}

impl Download<'_> {
    /// An answer from one of the addresses, the last failure if none has it.
    async fn open(&mut self) -> Result<Response, RegistryError> {
        let path = format!("blobs/sha256:{}", self.blob.digest);
        let last = self.place.endpoints.len() - 1;
        for (number, endpoint) in self.place.endpoints.iter().enumerate() {
            let ask = Ask { endpoint, path: &path, accept: "*/*", what: &self.what };
            let mut short = Patience::default();
            let patience = if number == last { &mut self.patience } else { &mut short };
            match self.client.get(&ask, self.at, patience).await {
                Err(RegistryError::NotFound { .. })
                    if number == last && !self.blob.urls.is_empty() => {}
                Err(error) if number < last => tracing::info!("{error}; asking elsewhere"),
                other => return other,
            }
        }
        // Layers that registries may not give away. Whoever wrote the manifest chose the address:
        // no token goes there, and what comes is believed for its digest alone.
        let mut failure = None;
        for url in self.blob.urls.iter().filter(|url| url.starts_with("https://")) {
            match self.client.get_elsewhere(url, &self.what, self.at).await {
                Ok(response) => return Ok(response),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| RegistryError::NotFound {
            what: self.what.clone(),
            said: String::new(),
        }))
    }

    /// Passes on what comes; false if nobody reads any more.
    async fn pass_on(
        &mut self,
        mut response: Response,
        sender: &mpsc::Sender<Bytes>,
        tell: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<bool, RegistryError> {
        // A server that does not know Range begins again.
        let mut known = if response.status() == StatusCode::PARTIAL_CONTENT {
            self.check_range(&response)?;
            0
        } else {
            self.at
        };
        loop {
            let mut piece = match response.chunk().await {
                Ok(Some(piece)) => piece,
                Ok(None) if self.at < self.blob.size => {
                    let why = format!("it ends after {} of {} bytes", self.at, self.blob.size);
                    let failure = RegistryError::Failed { what: self.what.clone(), why };
                    self.patience.pause(failure, None).await?;
                    return Ok(true);
                }
                Ok(None) => return Ok(true),
                Err(error) => {
                    self.patience.pause(network(&self.what, &error), None).await?;
                    return Ok(true);
                }
            };
            let skipped = known.min(piece.len() as u64);
            known -= skipped;
            let _ = piece.split_to(usize::try_from(skipped).expect("it is part of a piece"));
            if piece.is_empty() {
                continue;
            }
            let length = piece.len() as u64;
            self.at += length;
            if self.at > self.blob.size {
                let why = format!("it is longer than the {} bytes that are stated", self.blob.size);
                return Err(RegistryError::Senseless { what: self.what.clone(), why });
            }
            self.patience.progress();
            if sender.send(piece).await.is_err() {
                return Ok(false);
            }
            tell(length);
        }
    }

    fn check_range(&self, response: &Response) -> Result<(), RegistryError> {
        let range = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
        let wanted = format!("bytes {}-", self.at);
        if range.is_none_or(|range| range.starts_with(&wanted)) {
            return Ok(());
        }
        let range = range.unwrap_or_default().escape_debug().to_string();
        let why = format!("bytes from {} on were asked for, and {range} came", self.at);
        Err(RegistryError::Senseless { what: self.what.clone(), why })
    }
}
