//! Files into and out of a container, as tar streams.

use super::{failed, is_not_found};
use crate::sandbox::{ByteStream, Content, Mount, SandboxError};
use bollard::Docker;
use bollard::query_parameters::{
    ContainerArchiveInfoOptionsBuilder, DownloadFromContainerOptionsBuilder,
    UploadToContainerOptionsBuilder,
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use std::io::Read as _;
use std::path::PathBuf;
use tokio_util::io::{ReaderStream, SyncIoBridge};

pub(super) fn bind(mount: &Mount) -> String {
    let mode = if mount.writable { "rw" } else { "ro" };
    format!("{}:{}:{mode}", mount.source.display(), mount.target)
}

/// A directory as a tar stream, made while it is read.
pub(super) fn tar_of_directory(path: PathBuf) -> ByteStream {
    let (reader, writer) = tokio::io::duplex(1 << 16);
    tokio::task::spawn_blocking(move || {
        let mut archive = tar::Builder::new(SyncIoBridge::new(writer));
        archive.follow_symlinks(false);
        // The daemon does not know the sparse form.
        archive.sparse(false);
        // A reader that finds the archive cut off reports it.
        if let Err(error) = archive.append_dir_all(".", path).and_then(|()| archive.finish()) {
            tracing::warn!("reading a root file system: {error}");
        }
    });
    Box::new(reader)
}

pub(super) async fn copy_in(
    docker: &Docker,
    id: &str,
    path: &str,
    content: Content,
) -> Result<(), SandboxError> {
    let relative = path.strip_prefix('/').ok_or_else(|| SandboxError::Path {
        path: path.to_owned(),
        why: "it is not absolute".to_owned(),
    })?;
    let (target, body) = match content {
        Content::File { bytes, mode } => {
            let tar =
                one_file(relative, &bytes, mode).map_err(SandboxError::step("pack a file"))?;
            ("/", bollard::body_full(tar))
        }
        Content::Tar(stream) => {
            make_directory(docker, id, path, relative).await?;
            (path, bollard::body_try_stream(ReaderStream::new(stream)))
        }
    };
    let options = UploadToContainerOptionsBuilder::new().path(target).build();
    docker
        .upload_to_container(id, Some(options), body)
        .await
        .map_err(|error| failed("copy into a container", error))
}

/// The daemon unpacks into directories that are there.
async fn make_directory(
    docker: &Docker,
    id: &str,
    path: &str,
    relative: &str,
) -> Result<(), SandboxError> {
    let options = ContainerArchiveInfoOptionsBuilder::new().path(path).build();
    match docker.get_container_archive_info(id, Some(options)).await {
        Ok(_) => return Ok(()),
        Err(error) if is_not_found(&error) => {}
        Err(error) => return Err(failed("look into a container", error)),
    }
    let tar = one_directory(relative).map_err(SandboxError::step("pack a directory"))?;
    let options = UploadToContainerOptionsBuilder::new().path("/").build();
    docker
        .upload_to_container(id, Some(options), bollard::body_full(tar))
        .await
        .map_err(|error| failed("make a directory in a container", error))
}

fn one_directory(path: &str) -> std::io::Result<Bytes> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_size(0);
    header.set_mode(0o755);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, path, std::io::empty())?;
    archive.into_inner().map(Bytes::from)
}

fn one_file(path: &str, bytes: &Bytes, mode: u32) -> std::io::Result<Bytes> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(mode);
    let mut archive = tar::Builder::new(Vec::with_capacity(bytes.len() + 2048));
    archive.append_data(&mut header, path, bytes.as_ref())?;
    archive.into_inner().map(Bytes::from)
}

pub(super) async fn copy_out(
    docker: &Docker,
    id: &str,
    path: &str,
    limit: u64,
) -> Result<Content, SandboxError> {
    let options = DownloadFromContainerOptionsBuilder::new().path(path).build();
    let mut stream = docker.download_from_container(id, Some(options));
    let mut tar = BytesMut::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| match is_not_found(&error) {
            true => SandboxError::Path {
                path: path.to_owned(),
                why: "there is no such file".to_owned(),
            },
            false => failed("copy out of a container", error),
        })?;
        tar.extend_from_slice(&chunk);
        // Headers and padding of a tar come on top of what it holds.
        if tar.len() as u64 > limit.saturating_add(1 << 20) {
            return Err(SandboxError::TooLarge { path: path.to_owned(), limit });
        }
    }
    unpack(tar.freeze(), path, limit)
}

/// A single file as itself, a directory as the archive it came as.
fn unpack(tar: Bytes, path: &str, limit: u64) -> Result<Content, SandboxError> {
    match first_file(&tar, path, limit)? {
        Some(file) => Ok(file),
        None => Ok(Content::Tar(Box::new(std::io::Cursor::new(tar)))),
    }
}

/// The file that an archive is about; `None` if it is about a directory.
fn first_file(tar: &[u8], path: &str, limit: u64) -> Result<Option<Content>, SandboxError> {
    let malformed = || SandboxError::step("read docker's archive");
    let mut archive = tar::Archive::new(tar);
    let first = archive.entries().map_err(malformed())?.next();
    let Some(mut entry) = first.transpose().map_err(malformed())? else {
        return Err(SandboxError::Path { path: path.to_owned(), why: "it is empty".to_owned() });
    };
    match entry.header().entry_type() {
        tar::EntryType::Directory => Ok(None),
        tar::EntryType::Regular if entry.size() > limit => {
            Err(SandboxError::TooLarge { path: path.to_owned(), limit })
        }
        tar::EntryType::Regular => {
            let mode = entry.header().mode().unwrap_or(0o644) & 0o7777;
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).map_err(malformed())?;
            Ok(Some(Content::File { bytes: bytes.into(), mode }))
        }
        other => Err(SandboxError::Path {
            path: path.to_owned(),
            why: format!("it is neither a file nor a directory ({other:?})"),
        }),
    }
}
