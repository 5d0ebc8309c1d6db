//! What `evalrun images` shows of the store: `list`, `show`, `tree`, `du`.

use super::{find, names_of};
use crate::cli::Session;
use crate::cli::exit::{self, Failure};
use crate::cli::terminal::bytes;
use crate::layers::{ImageEntry, ImageKey, ImageUsage, Store, StoreUsage};
use anyhow::anyhow;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// The images, the last used first, with what they cost.
pub(super) fn list(session: &Session) -> Result<u8, Failure> {
    let store = session.settings.store()?;
    let mut images = store.images().map_err(Failure::broken)?;
    let usage = usage_of(&store)?;
    images.sort_by_key(|entry| std::cmp::Reverse(usage.1.get(&entry.image.key).map(|u| u.used)));
    if session.terminal.json {
        let values: Vec<Value> = images.iter().map(|entry| value_of(entry, &usage.1)).collect();
        session.terminal.print_json(&values);
        return Ok(exit::FINISHED);
    }
    let mut text = String::new();
    if !images.is_empty() {
        let _ = writeln!(
            text,
            "{:12}  {:>10}  {:>10}  {:>6}  {:>9}  NAME",
            "KEY", "SIZE", "UNIQUE", "LAYERS", "LAST USED"
        );
    }
    for entry in &images {
        let cost = usage.1.get(&entry.image.key);
        let _ = writeln!(
            text,
            "{:12}  {:>10}  {:>10}  {:>6}  {:>9}  {}",
            entry.image.key.0.short(),
            bytes(entry.image.size),
            bytes(cost.map_or(0, |cost| cost.unique)),
            entry.image.layers.len(),
            cost.map(|cost| ago(cost.used)).unwrap_or_default(),
            names_of(entry),
        );
    }
    session.terminal.print(&text);
    let (count, home) = (images.len(), store.home().display());
    session.terminal.say(&format!("{count} images, {} in {home}", bytes(usage.0.bytes)));
    Ok(exit::FINISHED)
}

/// One image: names, layers, size, who needs it, environment.
pub(super) fn show(name: &str, session: &Session) -> Result<u8, Failure> {
    let store = session.settings.store()?;
    let key = find(&store, name)?;
    let images = store.images().map_err(Failure::broken)?;
    let entry = images
        .iter()
        .find(|entry| entry.image.key == key)
        .ok_or_else(|| Failure::input(anyhow!("image {key} is not complete in the store")))?;
    let usage = usage_of(&store)?;
    let children = store.children().map_err(Failure::broken)?.remove(&key).unwrap_or_default();
    if session.terminal.json {
        let mut value = value_of(entry, &usage.1);
        value["needed_by"] = json!(children);
        session.terminal.print_json(&value);
        return Ok(exit::FINISHED);
    }
    let mut text = text_of(entry, &store);
    if let Some(cost) = usage.1.get(&key) {
        let _ = writeln!(text, "unique   {}", bytes(cost.unique));
        let _ = writeln!(text, "shared   {}", bytes(cost.shared));
        let _ = writeln!(text, "used     {} ({} ago)", cost.used, ago(cost.used));
    }
    for entry in images.iter().filter(|entry| children.contains(&entry.image.key)) {
        let _ = writeln!(text, "below    {}  {}", entry.image.key.0.short(), names_of(entry));
    }
    session.terminal.print(&text);
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

/// Which image stands on which.
pub(super) fn tree(session: &Session) -> Result<u8, Failure> {
    let store = session.settings.store()?;
    let images: BTreeMap<ImageKey, ImageEntry> = store
        .images()
        .map_err(Failure::broken)?
        .into_iter()
        .map(|entry| (entry.image.key, entry))
        .collect();
    let children = store.children().map_err(Failure::broken)?;
    let standing: BTreeSet<&ImageKey> = children.values().flatten().collect();
    let usage = usage_of(&store)?.1;
    let forest = Forest { images: &images, children: &children, usage: &usage };
    let roots: Vec<&ImageKey> = images.keys().filter(|key| !standing.contains(key)).collect();
    if session.terminal.json {
        let values: Vec<Value> = roots.iter().map(|key| forest.value(key)).collect();
        session.terminal.print_json(&values);
        return Ok(exit::FINISHED);
    }
    let mut text = String::new();
    for root in roots {
        forest.draw(root, "", "", &mut text);
    }
    session.terminal.print(&text);
    Ok(exit::FINISHED)
}

/// The images and what stands on them.
struct Forest<'a> {
    images: &'a BTreeMap<ImageKey, ImageEntry>,
    children: &'a BTreeMap<ImageKey, BTreeSet<ImageKey>>,
    usage: &'a BTreeMap<ImageKey, ImageUsage>,
}

impl Forest<'_> {
    fn below(&self, key: &ImageKey) -> impl Iterator<Item = &ImageKey> {
        self.children.get(key).into_iter().flatten()
    }

    fn value(&self, key: &ImageKey) -> Value {
        let mut value = self.images.get(key).map_or(json!({}), |entry| value_of(entry, self.usage));
        value["children"] = self.below(key).map(|child| self.value(child)).collect();
        value
    }

    /// `first`: what stands before the image; `rest`: before what is below it.
    fn draw(&self, key: &ImageKey, first: &str, rest: &str, text: &mut String) {
        let Some(entry) = self.images.get(key) else { return };
        let unique = self.usage.get(key).map_or(0, |cost| cost.unique);
        let _ = writeln!(
            text,
            "{first}{}  {}  {} unique  {}",
            key.0.short(),
            bytes(entry.image.size),
            bytes(unique),
            names_of(entry)
        );
        let mut below = self.below(key).peekable();
        while let Some(child) = below.next() {
            let (own, further) =
                if below.peek().is_some() { ("├─ ", "│  ") } else { ("└─ ", "   ") };
            self.draw(child, &format!("{rest}{own}"), &format!("{rest}{further}"), text);
        }
    }
}

/// What the store takes, and what it would take if nothing were shared.
pub(super) fn du(session: &Session) -> Result<u8, Failure> {
    let store = session.settings.store()?;
    let (usage, _) = usage_of(&store)?;
    let images = store.images().map_err(Failure::broken)?;
    let alone: u64 = images.iter().map(|entry| entry.image.size).sum();
    if session.terminal.json {
        let mut value = serde_json::to_value(&usage).map_err(Failure::broken)?;
        value["images_alone"] = json!(alone);
        value["largest_image"] = json!(images.iter().map(|entry| entry.image.size).max());
        session.terminal.print_json(&value);
        return Ok(exit::FINISHED);
    }
    let named = images.iter().filter(|entry| !entry.names.is_empty());
    let sizes: Vec<u64> = named.map(|entry| entry.image.size).collect();
    let mut text = String::new();
    let mut line = |what: &str, size: u64| {
        let _ = writeln!(text, "{:>10}  {what}", bytes(size));
    };
    line("on disk, all layers and images", usage.bytes);
    line("of that, needed by no image", usage.unneeded);
    line("if no two layers shared a file", usage.apart);
    line(
        &format!("if none of the {} images with names shared a layer", sizes.len()),
        sizes.iter().sum(),
    );
    line("the largest image alone", sizes.iter().copied().max().unwrap_or(0));
    session.terminal.print(&text);
    session.terminal.say(&format!(
        "{} images, {} layers in {}",
        images.len(),
        usage.layers,
        store.home().display()
    ));
    Ok(exit::FINISHED)
}

fn usage_of(store: &Store) -> Result<(StoreUsage, BTreeMap<ImageKey, ImageUsage>), Failure> {
    let usage = store.usage().map_err(Failure::broken)?;
    let by_key = usage.images.iter().map(|cost| (cost.key, cost.clone())).collect();
    Ok((usage, by_key))
}

fn value_of(entry: &ImageEntry, usage: &BTreeMap<ImageKey, ImageUsage>) -> Value {
    let mut value = json!(entry);
    if let Some(cost) = usage.get(&entry.image.key) {
        value["unique"] = json!(cost.unique);
        value["shared"] = json!(cost.shared);
        value["last_used"] = json!(cost.used);
    }
    value
}

/// How long ago: `3 h`, `12 d`.
fn ago(time: Timestamp) -> String {
    let seconds = Timestamp::now().as_second().saturating_sub(time.as_second()).max(0);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::ago;
    use jiff::{Span, Timestamp};

    #[test]
    fn ages_are_short() {
        let before = |span: Span| ago(Timestamp::now() - span);
        assert_eq!(before(Span::new().minutes(5)), "5 min");
        assert_eq!(before(Span::new().hours(30)), "30 h");
        assert_eq!(before(Span::new().hours(24 * 9)), "9 d");
        assert_eq!(ago(Timestamp::now() + Span::new().hours(1)), "0 s");
    }
}
