//! `COPY`, `ADD` and `WORKDIR`: files put into the image below.

use super::ignored::Ignored;
use super::inside;
use super::parse::{HereDocument, Instruction, announced};
use super::place::{self, How, Item};
use super::state::State;
use super::tree::{Bytes, Entry, Kind, Tree};
use super::{Builder, FORMAT};
use crate::image::{ImageError, build};
use crate::layers::{ImageConfig, LayerKey};
use crate::model::{Digest, DigestBuilder};
use crate::sandbox::{Network, Sandbox, SandboxError};
use fs_err as fs;

/// Files to be put into an image.
struct Copied {
    items: Vec<Item>,
    how: How,
    /// Who they belong to, by name or number.
    owner: Option<String>,
}

impl Builder<'_> {
    pub(super) async fn workdir(
        &self,
        instruction: &Instruction,
        state: &mut State,
    ) -> Result<(), ImageError> {
        let path =
            state.expand(&instruction.rest).map_err(|why| self.wrong((instruction.line, why)))?;
        let path = state.inner_path(path.trim());
        state.config.workdir.clone_from(&path);
        if path == "/" {
            return Ok(());
        }
        let key = DigestBuilder::new(FORMAT)
            .field("parent", state.image.to_string())
            .field("workdir", &path)
            .field("user", &state.config.user)
            .finish();
        let title = instruction.title();
        let how = How { to: path, into: true, ..How::default() };
        let owner = Some(state.config.user.clone()).filter(|user| !user.is_empty());
        let items = vec![Item {
            name: Vec::new(),
            from: Vec::new(),
            tree: Tree { entries: [(Vec::new(), Entry::new(Kind::Directory, 0o755))].into() },
        }];
        let copied = Copied { items, how, owner };
        let make = |key| self.make_copy(state, &copied, key);
        state.image = self.layer(&title, key, make).await?;
        Ok(())
    }

    pub(super) async fn copy(
        &self,
        stage: usize,
        instruction: &Instruction,
        state: &mut State,
    ) -> Result<(), ImageError> {
        let wrong = |why: String| self.wrong((instruction.line, why));
        let words = match instruction.list() {
            Some(list) => list,
            None => instruction.rest.split_whitespace().map(str::to_owned).collect(),
        };
        let expanded: Result<Vec<String>, String> = words
            .iter()
            .map(|word| match announced(word) {
                Some(_) if !instruction.documents.is_empty() => Ok(word.clone()),
                _ => state.expand(word),
            })
            .collect();
        let mut sources = expanded.map_err(wrong)?;
        let to = sources.pop().filter(|_| !sources.is_empty());
        let to =
            to.ok_or_else(|| wrong("it takes at least a source and a destination".to_owned()))?;
        let flag = |name| instruction.flag(name).map(|value| state.expand(value)).transpose();
        let mode = flag("chmod").map_err(wrong)?.map(|text| bits(&text)).transpose();
        let items = self.items(stage, instruction, &sources, state).await?;
        let ends_in_directory = to.ends_with('/') || to == "." || to.ends_with("/.");
        if items.len() > 1 && !ends_in_directory {
            return Err(wrong("several sources need a destination that ends with `/`".to_owned()));
        }
        let how = How {
            to: state.inner_path(&to),
            into: ends_in_directory,
            parents: instruction.flag("parents") == Some("true"),
            owner: None,
            mode: mode.map_err(wrong)?,
        };
        let owner = flag("chown").map_err(wrong)?;
        let mut key = DigestBuilder::new(FORMAT)
            .field("parent", state.image.to_string())
            .field("to", format!("{} {} {}", how.to, how.into, how.parents))
            .field("owner", owner.as_deref().unwrap_or_default())
            .field("mode", format!("{:?}", how.mode));
        for item in &items {
            let digest = item.tree.digest().map_err(ImageError::file("read what is copied"))?;
            key = key.field("name", &item.name).field("from", &item.from);
            key = key.field("files", digest.to_string());
        }
        let (key, title) = (key.finish(), instruction.title());
        let copied = Copied { items, how, owner };
        let make = |key| self.make_copy(state, &copied, key);
        state.image = self.layer(&title, key, make).await?;
        Ok(())
    }

    /// What is copied.
    async fn items(
        &self,
        stage: usize,
        instruction: &Instruction,
        sources: &[String],
        state: &State,
    ) -> Result<Vec<Item>, ImageError> {
        let wrong = |why: String| self.wrong((instruction.line, why));
        let exclude = instruction.flags.iter().filter(|(name, _)| name == "exclude");
        let exclude = Ignored::new(exclude.filter_map(|(_, value)| value.as_deref()));
        let exclude = exclude.map_err(wrong)?;
        let mut documents = instruction.documents.iter();
        let mut items = Vec::new();
        for source in sources {
            if announced(source).is_some()
                && let Some(document) = documents.next()
            {
                items.push(document_item(document, state).map_err(wrong)?);
                continue;
            }
            let add = instruction.name == "ADD";
            if add && (source.starts_with("https://") || source.starts_with("http://")) {
                items.push(self.downloaded_item(instruction, source).await?);
                continue;
            }
            if add && (source.starts_with("git@") || source.ends_with(".git")) {
                return Err(wrong("ADD of a git repository is not supported".to_owned()));
            }
            let tree = match instruction.flag("from") {
                Some(name) => {
                    let name = state.expand(name).map_err(wrong)?;
                    self.files(self.from(&name, stage, instruction.line).await?).await?
                }
                None => self.context().await?,
            };
            let selected = place::select(&tree, source, &exclude).map_err(wrong)?;
            for item in selected {
                items.push(if add { self.unpacked_item(item)? } else { item });
            }
        }
        Ok(items)
    }

    /// An archive becomes what is in it.
    fn unpacked_item(&self, item: Item) -> Result<Item, ImageError> {
        let Some(Kind::File(bytes)) = item.tree.entries.get(&b""[..]).map(|entry| &entry.kind)
        else {
            return Ok(item);
        };
        let Some(mut tree) = self.unpacked(bytes)? else { return Ok(item) };
        let top = || Entry::new(Kind::Directory, 0o755);
        tree.entries.entry(Vec::new()).or_insert_with(top);
        Ok(Item { tree, ..item })
    }

    async fn downloaded_item(
        &self,
        instruction: &Instruction,
        url: &str,
    ) -> Result<Item, ImageError> {
        let path = self.download(url, instruction.line).await?;
        let failed = || ImageError::file("read a download");
        if let Some(wanted) = instruction.flag("checksum") {
            let found = Digest::of_reader(&mut fs::File::open(&path).map_err(failed())?);
            let found = format!("sha256:{}", found.map_err(failed())?);
            if found != wanted {
                let why = format!("{url} has the checksum {found}, not {wanted}");
                return Err(self.wrong((instruction.line, why)));
            }
        }
        let name = url.split(['?', '#']).next().unwrap_or(url).trim_end_matches('/');
        let name = name.rsplit('/').next().unwrap_or("download").as_bytes().to_vec();
        let length = fs::metadata(&path).map_err(failed())?.len();
        let tree = Tree::of_file(b"", Bytes::In { file: path, offset: 0, length }, 0o600);
        Ok(Item { from: name.clone(), name, tree })
    }

    async fn make_copy(
        &self,
        state: &State,
        copied: &Copied,
        key: LayerKey,
    ) -> Result<(), ImageError> {
        let trouble = || ImageError::sandbox(&self.wanted.name);
        let backend = &self.inner.backend;
        let options = self.sandbox_options(Vec::new(), Network::None);
        let sandbox = backend.create(&state.image, &options).await.map_err(trouble())?;
        let done = match copy_into(sandbox.as_ref(), copied).await {
            Ok(()) => sandbox.snapshot(Some(key), &ImageConfig::default(), true).await.map(drop),
            Err(error) => Err(error),
        };
        let _ = sandbox.terminate().await;
        done.map_err(trouble())
    }
}

fn document_item(document: &HereDocument, state: &State) -> Result<Item, String> {
    let mut text = document.content();
    if document.expand {
        text = state.expand_text(&text)?;
    }
    let name = document.name.clone().into_bytes();
    let tree = Tree::of_file(b"", Bytes::Memory(text.into_bytes()), 0o644);
    Ok(Item { from: name.clone(), name, tree })
}

/// Permission bits as `COPY --chmod` takes them.
fn bits(text: &str) -> Result<u32, String> {
    let bits = u32::from_str_radix(text, 8).ok().filter(|bits| *bits <= 0o7777);
    bits.ok_or_else(|| format!("`{text}` are no permission bits in octal, as 755"))
}

async fn copy_into(sandbox: &dyn Sandbox, copied: &Copied) -> Result<(), SandboxError> {
    let Copied { items, how, owner } = copied;
    let mut how = how.clone();
    if let Some(owner) = owner {
        how.owner = Some(inside::numbers(sandbox, owner).await?);
    }
    let there = inside::look(sandbox, &how, items).await?;
    let placed = place::place(items, &how, &|path| there.get(path).copied().flatten());
    let placed = placed.map_err(|why| SandboxError::Path { path: how.to.clone(), why })?;
    if placed.entries.is_empty() {
        return Ok(());
    }
    build::copy_tar(sandbox, "/", move |out| place::write_tar(&placed, out)).await
}

#[cfg(test)]
mod tests {
    use super::bits;

    #[test]
    fn permission_bits_are_octal() {
        assert_eq!(bits("0755").unwrap(), 0o755);
        assert!(bits("u+x").is_err());
    }
}
