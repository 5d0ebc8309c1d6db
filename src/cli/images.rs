//! `evalrun images`: build what a task list needs, list and show what the store holds.

use super::Session;
use super::args::ImagesCommand;
use super::exit::{self, Failure};
use super::terminal::bytes;
use crate::layers::{ImageEntry, ImageKey, Store};
use anyhow::anyhow;
use std::fmt::Write as _;

pub(super) fn run(command: ImagesCommand, session: &Session) -> Result<u8, Failure> {
    match command {
        ImagesCommand::Build(_) => Err(Failure::broken(anyhow!("builds are not here yet"))),
        ImagesCommand::List => list(session),
        ImagesCommand::Show { name } => show(&name, session),
    }
}

fn list(session: &Session) -> Result<u8, Failure> {
    let store = session.settings.store()?;
    let images = store.images().map_err(Failure::broken)?;
    if session.terminal.json {
        session.terminal.print_json(&images);
        return Ok(exit::FINISHED);
    }
    let mut text = String::new();
    for entry in &images {
        let names: Vec<&str> = entry.names.iter().map(|(name, _)| name.as_str()).collect();
        let names = if names.is_empty() { "(no name)".to_owned() } else { names.join(", ") };
        let _ = writeln!(
            text,
            "{}  {:>10}  {:>2} layers  {names}",
            entry.image.key.0.short(),
            bytes(entry.image.size),
            entry.image.layers.len()
        );
    }
    session.terminal.print(&text);
    session.terminal.say(&format!("{} images in {}", images.len(), store.home().display()));
    Ok(exit::FINISHED)
}

/// The image of this name, key, or unambiguous beginning of a key.
fn find(store: &Store, name: &str) -> Result<ImageKey, Failure> {
    if let Some((key, _)) = store.resolve(name) {
        return Ok(key);
    }
    let images = store.images().map_err(Failure::broken)?;
    let mut fitting = images.iter().filter(|entry| entry.image.key.to_string().starts_with(name));
    match (fitting.next(), fitting.next()) {
        (Some(entry), None) if name.len() >= 4 => Ok(entry.image.key),
        _ => {
            let failure = Failure::input(anyhow!("no image is named `{name}`"));
            Err(failure.hint("`evalrun images list` shows the names"))
        }
    }
}

fn show(name: &str, session: &Session) -> Result<u8, Failure> {
    let store = session.settings.store()?;
    let key = find(&store, name)?;
    let images = store.images().map_err(Failure::broken)?;
    let entry = images
        .into_iter()
        .find(|entry| entry.image.key == key)
        .ok_or_else(|| Failure::input(anyhow!("image {key} is not complete in the store")))?;
    if session.terminal.json {
        session.terminal.print_json(&entry);
    } else {
        session.terminal.print(&text_of(&entry, &store));
    }
    Ok(exit::FINISHED)
}

fn text_of(entry: &ImageEntry, store: &Store) -> String {
    let image = &entry.image;
    let mut text = format!("key      {}\n", image.key);
    for (name, _) in &entry.names {
        let _ = writeln!(text, "name     {name}");
    }
    let _ = writeln!(text, "made     {}", image.created);
    let _ = writeln!(text, "size     {}", bytes(image.size));
    for layer in &image.layers {
        let _ = writeln!(text, "layer    {}", store.layer_dir(layer).display());
    }
    for bind in &image.binds {
        let _ = writeln!(text, "bind     {}", bind.display());
    }
    if !image.config.workdir.is_empty() {
        let _ = writeln!(text, "workdir  {}", image.config.workdir);
    }
    for (name, value) in &image.config.env {
        let _ = writeln!(text, "env      {name}={value}");
    }
    text
}
