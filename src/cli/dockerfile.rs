//! `evalrun images build CONTEXT`: an image from a Dockerfile.

use super::Session;
use super::args::{BuildArgs, DockerfileArgs};
use super::exit::{self, Failure};
use crate::image::{DockerfileBuild, Images, default_dockerfile};
use crate::layers::TagOrigin;
use anyhow::{Context as _, anyhow};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Whether these flags ask for a Dockerfile and not for a task list.
pub(super) fn is_wanted(args: &BuildArgs) -> bool {
    args.dockerfile.context.is_some() || args.dockerfile.file.is_some()
}

pub(super) async fn build(args: &BuildArgs, session: &Session) -> Result<u8, Failure> {
    let Session { settings, terminal } = session;
    let wanted = wanted(&args.dockerfile).map_err(Failure::input)?;
    let store = settings.store()?;
    let _in_use = store.use_lock().map_err(Failure::broken)?;
    let logs = store.home().join("logs");
    let backend = settings.backend(&store).await?;
    let images =
        Images::new(backend.clone(), store.clone(), settings.image_options(&store, &logs)?);
    let built = images.build_dockerfile(&wanted).await;
    backend.close().await;
    let image = built.map_err(|error| match error.is_bad_input() {
        true => Failure::input(error),
        false => Failure::broken(error),
    })?;
    for name in &args.dockerfile.tag {
        store.tag(name, &image.key, TagOrigin::Dockerfile).map_err(Failure::broken)?;
    }
    if terminal.json {
        terminal.print_json(&json!({
            "image": args.dockerfile.tag.first(),
            "digest": image.digest,
            "layers_built": image.built,
        }));
    } else if !terminal.quiet {
        terminal.print(&format!(
            "{}  {} built  {}\n",
            image.key.0.short(),
            image.built,
            image.name
        ));
    }
    Ok(exit::FINISHED)
}

fn wanted(args: &DockerfileArgs) -> anyhow::Result<DockerfileBuild> {
    let context = args.context.clone().unwrap_or_else(|| PathBuf::from("."));
    if !context.is_dir() {
        return Err(anyhow!("the context {} is no directory", context.display()));
    }
    let context = fs_err::canonicalize(context)?;
    let file = args.file.clone().unwrap_or_else(|| default_dockerfile(&context));
    if !file.is_file() {
        return Err(anyhow!("there is no {}; name the Dockerfile with --file", file.display()));
    }
    let base = || context.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = args.tag.first().cloned().or_else(base).unwrap_or_else(|| "image".to_owned());
    Ok(DockerfileBuild {
        args: arguments(&args.build_arg)?,
        secrets: secrets(&args.secret)?,
        target: args.target.clone(),
        name,
        file,
        context,
    })
}

/// `NAME=value`, or `NAME` for a variable of the environment.
fn arguments(given: &[String]) -> anyhow::Result<BTreeMap<String, String>> {
    let mut arguments = BTreeMap::new();
    for text in given {
        match text.split_once('=') {
            Some((name, value)) => arguments.insert(name.to_owned(), value.to_owned()),
            None => match std::env::var(text) {
                Ok(value) => arguments.insert(text.clone(), value),
                Err(_) => None,
            },
        };
    }
    Ok(arguments)
}

/// `id=NAME,src=FILE`.
fn secrets(given: &[String]) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let mut secrets = BTreeMap::new();
    for text in given {
        let fields: BTreeMap<&str, &str> =
            text.split(',').filter_map(|field| field.split_once('=')).collect();
        let id = fields.get("id").context(format!("--secret {text}: it needs id=NAME"))?;
        let source = fields.get("src").or_else(|| fields.get("source")).unwrap_or(id);
        if !Path::new(source).is_file() {
            return Err(anyhow!("--secret {text}: there is no file {source}"));
        }
        secrets.insert((*id).to_owned(), PathBuf::from(source));
    }
    Ok(secrets)
}

#[cfg(test)]
mod tests {
    use super::{arguments, secrets};

    #[test]
    fn secrets_and_arguments_are_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().display();
        let read = secrets(&[format!("id=a,src={path}")]).unwrap();
        assert_eq!(read["a"], file.path());
        assert!(secrets(&["src=x".to_owned()]).is_err());
        assert!(secrets(&["id=a,src=/nowhere/at/all".to_owned()]).is_err());
        assert_eq!(arguments(&["A=b=c".to_owned()]).unwrap()["A"], "b=c");
    }
}
