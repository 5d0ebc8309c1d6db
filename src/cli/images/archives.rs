//! `evalrun images import` and `evalrun images export`: images to and from archives, a Docker daemon
//! and registries.

use super::find;
use crate::cli::Session;
use crate::cli::args::{ExportArgs, ImportArgs};
use crate::cli::exit::{self, Failure};
use crate::cli::settings::Settings;
use crate::layers::{self, ImageKey, Squeeze, Store, TagOrigin};
use crate::sandbox::docker::DockerBackend;
use anyhow::anyhow;
use serde_json::json;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What stands before the name of an image of a daemon's.
const DAEMON: &str = "docker-daemon:";

async fn daemon(settings: &Settings) -> Result<Arc<DockerBackend>, Failure> {
    let options = settings.docker_options();
    DockerBackend::connect(options).await.map_err(Failure::broken)
}

pub(super) async fn import(args: &ImportArgs, session: &Session) -> Result<u8, Failure> {
    let store = session.settings.store()?;
    let _in_use = store.use_lock().map_err(Failure::broken)?;
    let mut kept = None;
    let path = match args.source.strip_prefix(DAEMON) {
        Some(name) => {
            let file = store.scratch_file().map_err(Failure::broken)?;
            daemon(&session.settings)
                .await?
                .save(name, file.path())
                .await
                .map_err(Failure::broken)?;
            let path = file.path().to_owned();
            kept = Some(file);
            path
        }
        None => PathBuf::from(&args.source),
    };
    let imported = layers::import_image(&store, &path).map_err(Failure::broken)?;
    drop(kept);
    let own = args.source.strip_prefix(DAEMON).map(str::to_owned);
    let names = match &args.name {
        Some(name) => vec![name.clone()],
        None => own.map_or(imported.names, |name| vec![name]),
    };
    for name in &names {
        store.tag(name, &imported.key, TagOrigin::Imported).map_err(Failure::broken)?;
    }
    if session.terminal.json {
        session.terminal.print_json(&json!({ "key": imported.key, "names": names }));
    } else {
        let short = imported.key.0.short();
        session.terminal.print(&format!("{short}  {}\n", names.join(", ")));
    }
    if names.is_empty() {
        session.terminal.note("it has no name; --name gives it one");
    }
    Ok(exit::FINISHED)
}

/// Where an image goes.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    /// An archive for `docker load` and OCI tools; `-` is standard output.
    Archive(PathBuf),
    /// The root file system alone.
    RootFs(PathBuf),
    Daemon(String),
    Registry(String),
}

impl Target {
    fn parse(text: &str) -> Result<Self, Failure> {
        let after = |prefix: &str| text.strip_prefix(prefix).map(str::to_owned);
        if let Some(name) = after(DAEMON) {
            return Ok(Self::Daemon(name));
        }
        if let Some(name) = after("registry:").or_else(|| after("docker://")) {
            return Ok(Self::Registry(name));
        }
        if let Some(path) = after("rootfs:") {
            return Ok(Self::RootFs(path.into()));
        }
        let path = after("archive:").unwrap_or_else(|| text.to_owned());
        if path != text
            || path == "-"
            || Path::new(&path).extension().is_some_and(|end| end == "tar")
        {
            return Ok(Self::Archive(path.into()));
        }
        let failure = Failure::input(anyhow!("`{text}` is no place for an image"));
        Err(failure.hint(
            "--to takes FILE.tar (docker load, OCI), rootfs:FILE, docker-daemon:NAME or \
             registry:HOST/NAME:TAG",
        ))
    }
}

pub(super) async fn export(args: &ExportArgs, session: &Session) -> Result<u8, Failure> {
    let Session { settings, terminal } = session;
    let target = Target::parse(&args.to)?;
    let store = settings.store()?;
    let _in_use = store.use_lock().map_err(Failure::broken)?;
    let key = find(&store, &args.name)?;
    // A key is no name under which others would look for it.
    let named = store.resolve(&args.name).is_some().then_some(args.name.as_str());
    match target {
        Target::Archive(path) => {
            to_file(&path, |writer| {
                layers::export_archive(&store, &key, named, Squeeze::Small, writer)
            })?;
        }
        Target::RootFs(path) => {
            to_file(&path, |writer| layers::export_image(&store, &key, writer, true))?;
        }
        Target::Daemon(name) => {
            to_daemon(settings, (&store, &key), &given_or_own(name, named)?).await?;
        }
        Target::Registry(name) => {
            let name = given_or_own(name, named)?;
            let digest = settings.registries(&store, None)?.push(&key, &name).await;
            let digest = digest.map_err(Failure::broken)?;
            terminal.print(&format!("sha256:{digest}  {name}\n"));
        }
    }
    Ok(exit::FINISHED)
}

/// The name that an image gets elsewhere: the one that is given, else the one it has here.
fn given_or_own(given: String, own: Option<&str>) -> Result<String, Failure> {
    match (given.is_empty(), own) {
        (false, _) => Ok(given),
        (true, Some(own)) => Ok(own.to_owned()),
        (true, None) => {
            let failure = Failure::input(anyhow!("a key is no name for an image elsewhere"));
            Err(failure.hint("--to docker-daemon:NAME or registry:HOST/NAME:TAG gives it one"))
        }
    }
}

async fn to_daemon(
    settings: &Settings,
    (store, key): (&Store, &ImageKey),
    name: &str,
) -> Result<(), Failure> {
    let daemon = daemon(settings).await?;
    let mut file = store.scratch_file().map_err(Failure::broken)?;
    let last = name.rsplit('/').next().unwrap_or(name);
    let name = if last.contains(':') { name.to_owned() } else { format!("{name}:latest") };
    let mut writer = BufWriter::new(file.as_file_mut());
    layers::export_archive(store, key, Some(&name), Squeeze::Quick, &mut writer)
        .map_err(Failure::broken)?;
    writer.flush().map_err(Failure::broken)?;
    drop(writer);
    daemon.load_archive(file.path()).await.map_err(Failure::broken)
}

/// Writes a file that is whole or not there; `-` is standard output.
fn to_file(
    path: &Path,
    write: impl FnOnce(&mut dyn io::Write) -> Result<(), layers::StoreError>,
) -> Result<(), Failure> {
    if path == Path::new("-") {
        let mut out = BufWriter::new(io::stdout().lock());
        write(&mut out).map_err(Failure::broken)?;
        return out.flush().map_err(Failure::broken);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let file = tempfile::Builder::new()
        .prefix(".export-")
        .tempfile_in(folder.unwrap_or(Path::new(".")))
        .map_err(Failure::input)?;
    let mut writer = BufWriter::with_capacity(128 << 10, file);
    write(&mut writer).map_err(Failure::broken)?;
    let file = writer.into_inner().map_err(|error| Failure::broken(error.into_error()))?;
    file.persist(path).map_err(|error| Failure::broken(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Target, given_or_own};

    #[test]
    fn an_image_keeps_its_name_elsewhere_unless_another_is_given() {
        let name = |given: &str, own| given_or_own(given.to_owned(), own).ok();
        assert_eq!(name("", Some("a:1")), Some("a:1".into()));
        assert_eq!(name("b:2", Some("a:1")), Some("b:2".into()));
        assert_eq!(name("", None), None);
    }

    #[test]
    fn places_are_told_apart() {
        let target = |text: &str| Target::parse(text).ok();
        assert_eq!(target("a/b.tar"), Some(Target::Archive("a/b.tar".into())));
        assert_eq!(target("archive:x"), Some(Target::Archive("x".into())));
        assert_eq!(target("-"), Some(Target::Archive("-".into())));
        assert_eq!(target("docker-daemon:a:1"), Some(Target::Daemon("a:1".into())));
        assert_eq!(target("registry:h:5/a:1"), Some(Target::Registry("h:5/a:1".into())));
        assert_eq!(target("rootfs:x"), Some(Target::RootFs("x".into())));
        assert_eq!(target("localhost:5000/a"), None);
    }
}
