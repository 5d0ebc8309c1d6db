//! Our pid 1 for containers of any image: the program, its loader and its libraries, in a volume
//! that all containers of this process see read-only. Below `/dev`, which is the container's own: an
//! image made of the container has no trace of it.

use super::daemon::{Daemon, failed};
use super::owner::{self, Names};
use crate::layers::ImageKey;
use crate::sandbox::SandboxError;
use crate::sandbox::native::{find_helpers, inside};
use bollard::models::{ContainerCreateBody, HostConfig, VolumeCreateRequest};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, RemoveVolumeOptionsBuilder,
    UploadToContainerOptionsBuilder,
};
use bytes::Bytes;
use std::path::{Path, PathBuf};
use tokio::sync::OnceCell;

const PLACE: &str = "/dev/evalrun";
const PROGRAM: &str = "program";

/// The volume, made when it is needed first.
pub(super) struct Helper {
    program: Option<PathBuf>,
    names: Names,
    made: OnceCell<Made>,
}

/// A volume, and how what is in it is started.
#[derive(Clone)]
pub(super) struct Made {
    volume: String,
    pub(super) entrypoint: Vec<String>,
}

impl Made {
    pub(super) fn bind(&self) -> String {
        format!("{}:{PLACE}:ro", self.volume)
    }
}

impl Helper {
    pub(super) fn new(program: Option<PathBuf>, names: Names) -> Self {
        Self { program, names, made: OnceCell::new() }
    }

    /// The volume; `image` is any that there is.
    pub(super) async fn get(
        &self,
        daemon: &Daemon,
        image: &ImageKey,
    ) -> Result<Made, SandboxError> {
        self.made.get_or_try_init(|| self.make(daemon, image)).await.cloned()
    }

    /// Takes the volume away. What still uses it keeps it, and it is swept later.
    pub(super) async fn remove(&self, daemon: &Daemon) {
        if let Some(made) = self.made.get() {
            let _ = remove_volume(daemon, &made.volume).await;
        }
    }

    async fn make(&self, daemon: &Daemon, image: &ImageKey) -> Result<Made, SandboxError> {
        let helpers = find_helpers(self.program.as_deref())?;
        let helper = helpers.into_iter().next().expect("there is one, or an error");
        let packed = tokio::task::spawn_blocking(move || pack(&helper)).await;
        let packed = packed.map_err(|error| SandboxError::Protocol(error.to_string()))?;
        let Packed { tar, loader } = packed.map_err(SandboxError::step("read the helper"))?;

        let volume = self.names.fresh();
        let request = VolumeCreateRequest {
            name: Some(volume.clone()),
            labels: Some(owner::labels()),
            ..VolumeCreateRequest::default()
        };
        let made = daemon.ask(|docker| {
            let request = request.clone();
            async move { docker.create_volume(request).await }
        });
        made.await.map_err(|error| failed("make a volume", error))?;
        let filled = fill(daemon, image, (&volume, &self.names.fresh()), tar).await;
        if let Err(error) = filled {
            let _ = remove_volume(daemon, &volume).await;
            return Err(error);
        }
        let program = format!("{PLACE}/{PROGRAM}");
        let mut entrypoint = Vec::new();
        if let Some(loader) = loader {
            let loader = format!("{PLACE}/{loader}");
            entrypoint = vec![loader, "--library-path".to_owned(), PLACE.to_owned()];
        }
        entrypoint.extend([program, inside::WORD.to_owned()]);
        Ok(Made { volume, entrypoint })
    }
}

/// Files get into a volume through a container that sees it, which need not run.
async fn fill(
    daemon: &Daemon,
    image: &ImageKey,
    (volume, name): (&str, &str),
    tar: Bytes,
) -> Result<(), SandboxError> {
    let host_config = HostConfig {
        binds: Some(vec![format!("{volume}:{PLACE}")]),
        network_mode: Some("none".to_owned()),
        ..HostConfig::default()
    };
    let body = ContainerCreateBody {
        image: Some(super::image_name(image)),
        entrypoint: Some(vec!["/".to_owned()]),
        labels: Some(owner::labels()),
        host_config: Some(host_config),
        ..ContainerCreateBody::default()
    };
    let created = daemon.ask(|docker| {
        let options = CreateContainerOptionsBuilder::new().name(name).build();
        let body = body.clone();
        async move { docker.create_container(Some(options), body).await }
    });
    match created.await {
        Ok(_) => {}
        // Our own request of before, whose answer was lost.
        Err(error) if super::daemon::status(&error) == Some(409) => {}
        Err(error) if super::daemon::is_not_found(&error) => {
            return Err(SandboxError::NoSuchImage(*image));
        }
        Err(error) => return Err(failed("make a container", error)),
    }
    let filled =
        daemon.ask(|docker| {
            let options = UploadToContainerOptionsBuilder::new().path(PLACE).build();
            let (name, tar) = (name.to_owned(), tar.clone());
            async move {
                docker.upload_to_container(&name, Some(options), bollard::body_full(tar)).await
            }
        });
    let filled = filled.await.map_err(|error| failed("fill a volume", error));
    let removed = daemon.ask(|docker| {
        let options = RemoveContainerOptionsBuilder::new().force(true).build();
        let name = name.to_owned();
        async move { docker.remove_container(&name, Some(options)).await }
    });
    let _ = removed.await;
    filled
}

pub(super) async fn remove_volume(daemon: &Daemon, name: &str) -> Result<(), SandboxError> {
    let removed = daemon.ask(|docker| {
        let options = RemoveVolumeOptionsBuilder::new().force(true).build();
        let name = name.to_owned();
        async move { docker.remove_volume(&name, Some(options)).await }
    });
    match removed.await {
        Err(error) if !super::daemon::is_not_found(&error) => Err(failed("remove a volume", error)),
        _ => Ok(()),
    }
}

struct Packed {
    tar: Bytes,
    /// The name of the loader; none for a program that needs none.
    loader: Option<String>,
}

/// The program with all it is loaded with on this machine, so that it runs in any image.
fn pack(program: &Path) -> std::io::Result<Packed> {
    // The loader of every C library on Linux understands this, and tells instead of running.
    let told = std::process::Command::new(program)
        .env_clear()
        .env("LD_TRACE_LOADED_OBJECTS", "1")
        .stdin(std::process::Stdio::null())
        .output()?;
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let mut tar = tar::Builder::new(Vec::new());
    append(&mut tar, PROGRAM, program)?;
    let mut loader = None;
    for (name, path) in libraries(&told) {
        if name.starts_with("ld-") || name.starts_with("ld.") {
            loader = Some(name.clone());
        }
        append(&mut tar, &name, Path::new(&path))?;
    }
    Ok(Packed { tar: tar.into_inner()?.into(), loader })
}

fn append(tar: &mut tar::Builder<Vec<u8>>, name: &str, path: &Path) -> std::io::Result<()> {
    let bytes = fs_err::read(path)?;
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o755);
    tar.append_data(&mut header, name, &bytes[..])
}

/// Names and paths: `libc.so.6 => /lib/libc.so.6 (0x…)`, `/lib64/ld-linux-x86-64.so.2 (0x…)`.
fn libraries(told: &str) -> Vec<(String, String)> {
    let lines = told.lines().filter_map(|line| {
        let line = line.trim();
        let (line, _) = line.rsplit_once(" (0x")?;
        let (name, path) = line.split_once(" => ").unwrap_or((line, line));
        let name = name.rsplit('/').next()?;
        path.starts_with('/').then(|| (name.to_owned(), path.to_owned()))
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::libraries;

    #[test]
    fn what_the_loader_tells_is_understood() {
        let told = "\tlinux-vdso.so.1 (0x00007ffd)\n\
            \tlibgcc_s.so.1 => /lib/x86_64-linux-gnu/libgcc_s.so.1 (0x00007f)\n\
            \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\
            \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\nusage: something else\n";
        let found = libraries(told);
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["libgcc_s.so.1", "libc.so.6", "ld-linux-x86-64.so.2"]);
        assert_eq!(found[2].1, "/lib64/ld-linux-x86-64.so.2");
    }
}
