//! The instructions that change files: `RUN`, `COPY`, `ADD`, `WORKDIR`.

use super::ignored::Ignored;
use super::mounts::Mount;
use super::parse::{HereDocument, Instruction, announced};
use super::place::{self, How, Item};
use super::state::{PREDEFINED, State};
use super::tree::{Bytes, Entry, Kind, Tree};
use super::{Builder, FORMAT};
use crate::image::{ImageError, build};
use crate::layers::{ImageConfig, LayerKey};
use crate::model::{Digest, DigestBuilder};
use crate::sandbox::{
    self, Command, Content, Network, Output, Sandbox, SandboxError, SandboxOptions, Upper,
};
use bytes::Bytes as SharedBytes;
use fs_err as fs;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Largest `/etc/passwd` that is read.
const LARGEST_PASSWD: u64 = 4 << 20;
/// Where a script that a here-document holds is shown.
const SCRIPT: &str = "/run/evalrun/script";

/// Files to be put into an image.
struct Copied {
    items: Vec<Item>,
    how: How,
    /// Who they belong to, by name or number.
    owner: Option<String>,
}

/// A `RUN` as it counts.
struct Run {
    title: String,
    line: usize,
    argv: Vec<String>,
    /// A script to be shown at [`SCRIPT`].
    script: Option<String>,
    mounts: Vec<Mount>,
    network: Network,
}

impl Builder<'_> {
    pub(super) fn sandbox_options(
        &self,
        mounts: Vec<sandbox::Mount>,
        network: Network,
    ) -> SandboxOptions {
        SandboxOptions {
            limits: self.inner.options.limits.clone(),
            network,
            env: BTreeMap::new(),
            mounts,
            upper: Upper::Disk,
            lifetime: None,
            labels: BTreeMap::from([("layer".to_owned(), self.wanted.name.clone())]),
        }
    }

    pub(super) async fn run(
        &self,
        stage: usize,
        instruction: &Instruction,
        state: &mut State,
    ) -> Result<(), ImageError> {
        let run = self.read_run(instruction, state)?;
        let mut identities = Vec::new();
        for mount in &run.mounts {
            identities.push(self.mount_identity(mount, stage, instruction.line).await?);
        }
        let env = environment(state);
        let key = DigestBuilder::new(FORMAT)
            .field("parent", state.image.to_string())
            .list("run", &run.argv)
            .field("script", run.script.as_deref().unwrap_or_default())
            .list("env", env.iter().map(|(name, value)| format!("{name}={value}")))
            .field("workdir", &state.config.workdir)
            .field("user", &state.config.user)
            .field("network", format!("{:?}", run.network == Network::None))
            .field("mounts", serde_json::to_string(&run.mounts).expect("mounts have text keys"))
            .list("mounted", identities)
            .finish();
        let make = |key| self.make_run(stage, state, &run, key);
        state.image = self.layer(&instruction.title(), key, make).await?;
        Ok(())
    }

    fn read_run(&self, instruction: &Instruction, state: &State) -> Result<Run, ImageError> {
        let wrong = |why: String| self.wrong((instruction.line, why));
        let mut mounts = Vec::new();
        for (name, value) in &instruction.flags {
            match (name.as_str(), value.as_deref()) {
                ("mount", Some(value)) => mounts.push(Mount::parse(value, state).map_err(wrong)?),
                ("network", _) | ("security", Some("sandbox")) => {}
                (name, _) => return Err(wrong(format!("this --{name} is not supported"))),
            }
        }
        let network = match instruction.flag("network") {
            None | Some("default" | "host") => self.inner.options.network,
            Some("none") => Network::None,
            Some(other) => return Err(wrong(format!("`{other}` is no network"))),
        };
        let (argv, script) = command_line(instruction, state);
        Ok(Run {
            title: instruction.title(),
            line: instruction.line,
            argv,
            script,
            mounts,
            network,
        })
    }

    async fn make_run(
        &self,
        stage: usize,
        state: &State,
        run: &Run,
        key: LayerKey,
    ) -> Result<(), ImageError> {
        let trouble = || ImageError::sandbox(&self.wanted.name);
        let mut shown = Vec::new();
        let mut locks = Vec::new();
        let mut env = environment(state);
        // What is for building only gives way to what the image says.
        for (name, value) in self.building_environment() {
            env.entry(name).or_insert(value);
        }
        for mount in &run.mounts {
            if let Mount::Secret { env: Some(name), id, .. } = mount
                && let Some(path) = self.wanted.secrets.get(id)
            {
                let secret = fs::read_to_string(path).map_err(ImageError::file("read a secret"))?;
                env.insert(name.clone(), secret);
            }
            let source = self.mount_source(mount, stage, run.line).await?;
            if let (Some((source, lock)), Some(target)) = (source, mount.target()) {
                // What a command writes into a part of the context goes with the build.
                let writable = match mount {
                    Mount::Bind { writable, .. } => *writable,
                    Mount::Secret { .. } => false,
                    Mount::Cache { .. } | Mount::Tmpfs { .. } => true,
                };
                shown.push(sandbox::Mount { source, target: target.to_owned(), writable });
                locks.extend(lock);
            }
        }
        if let Some(script) = &run.script {
            shown.push(self.show_script(script)?);
        }
        let options = self.sandbox_options(shown, run.network);
        let backend = &self.inner.backend;
        let sandbox = backend.create(&state.image, &options).await.map_err(trouble())?;
        let done = self.exec_run(sandbox.as_ref(), state, run, env).await;
        let done = match done {
            // What a layer says of itself is nothing: it may be part of several images.
            Ok(()) => sandbox
                .snapshot(Some(key), &ImageConfig::default(), true)
                .await
                .map(drop)
                .map_err(trouble()),
            Err(error) => Err(error),
        };
        let _ = sandbox.terminate().await;
        drop(locks);
        done
    }

    fn show_script(&self, script: &str) -> Result<sandbox::Mount, ImageError> {
        use std::os::unix::fs::PermissionsExt as _;
        let source = self.scratch_path(&format!("script-{}", self.next()));
        let failed = || ImageError::file("write a script");
        fs::write(&source, script).map_err(failed())?;
        fs::set_permissions(&source, std::fs::Permissions::from_mode(0o755)).map_err(failed())?;
        Ok(sandbox::Mount { source, target: SCRIPT.to_owned(), writable: false })
    }

    async fn exec_run(
        &self,
        sandbox: &dyn Sandbox,
        state: &State,
        run: &Run,
        env: BTreeMap<String, String>,
    ) -> Result<(), ImageError> {
        let trouble = || ImageError::sandbox(&self.wanted.name);
        let log = self.log.file().try_clone().map_err(ImageError::file("share a log"))?;
        let workdir = match state.config.workdir.as_str() {
            "" => "/".to_owned(),
            workdir => workdir.to_owned(),
        };
        let user = match state.config.user.as_str() {
            "" => "0".to_owned(),
            user => user.to_owned(),
        };
        let command = Command {
            workdir: Some(workdir),
            user: Some(user),
            stdout: Output::File(log),
            stderr: Output::Stdout,
            timeout: Some(self.inner.options.timeout),
            env,
            ..Command::new(run.argv.iter().map(String::as_str))
        };
        let process = match sandbox.exec(&command).await {
            Err(SandboxError::CannotStart { program, source }) => {
                return Err(self.wrong((run.line, format!("`{program}`: {source}"))));
            }
            other => other.map_err(trouble())?,
        };
        let outcome = process.wait().await.map_err(trouble())?;
        build::must_succeed(
            &build::Place { layer: &self.wanted.name, step: &run.title },
            &outcome,
            self.inner.options.timeout,
            &self.log,
        )
    }

    /// Variables of building, in no image: those that the caller gave, and proxies.
    fn building_environment(&self) -> BTreeMap<String, String> {
        let mut env = self.inner.options.env.clone();
        for name in PREDEFINED {
            if let Some(value) = self.arguments.given.get(name) {
                env.insert(name.to_owned(), value.clone());
            }
        }
        env
    }

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

/// Variables of a command: the image's, and arguments that the stage declared.
fn environment(state: &State) -> BTreeMap<String, String> {
    let mut env = state.args.clone();
    env.extend(state.config.env.clone());
    env
}

/// The words of a command, and the script that a here-document alone is.
fn command_line(instruction: &Instruction, state: &State) -> (Vec<String>, Option<String>) {
    if let Some(list) = instruction.list().filter(|list| !list.is_empty()) {
        return (list, None);
    }
    let rest = instruction.rest.trim();
    if let [document] = &instruction.documents[..]
        && announced(rest).is_some_and(|only| only.name == document.name)
    {
        let text = document.content();
        return match text.starts_with("#!") {
            true => (vec![SCRIPT.to_owned()], Some(text)),
            false => (state.by_shell(&text), None),
        };
    }
    let mut text = instruction.rest.clone();
    for document in &instruction.documents {
        // The shell reads it, and replaces what is to be replaced.
        text.push('\n');
        text.push_str(&document.text);
        text.push_str(&document.name);
    }
    (state.by_shell(&text), None)
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
        how.owner = Some(numbers(sandbox, owner).await?);
    }
    let there = look(sandbox, &how, items).await?;
    let placed = place::place(items, &how, &|path| there.get(path).copied().flatten());
    let placed = placed.map_err(|why| SandboxError::Path { path: how.to.clone(), why })?;
    if placed.entries.is_empty() {
        return Ok(());
    }
    build::copy_tar(sandbox, "/", move |out| place::write_tar(&placed, out)).await
}

/// What stands where something will go: true for a directory.
async fn look(
    sandbox: &dyn Sandbox,
    how: &How,
    items: &[Item],
) -> Result<HashMap<Vec<u8>, Option<bool>>, SandboxError> {
    let mut wanted = BTreeSet::from([super::tree::plain(how.to.as_bytes())]);
    for item in items.iter().filter(|_| how.parents) {
        let to = super::tree::plain(how.to.as_bytes());
        wanted.insert(super::tree::join(&to, &item.from));
    }
    let mut found = HashMap::new();
    for path in wanted {
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        let ends: Vec<usize> = ends.chain([path.len()]).filter(|end| *end > 0).collect();
        let mut missing = false;
        for end in ends {
            let part = &path[..end];
            // In what is not there nothing is.
            let is = if missing { None } else { kind_of(sandbox, part).await? };
            missing = is.is_none();
            found.insert(part.to_vec(), is);
        }
    }
    Ok(found)
}

/// Whether a directory or a file is there. Links are followed.
async fn kind_of(sandbox: &dyn Sandbox, path: &[u8]) -> Result<Option<bool>, SandboxError> {
    let path = format!("/{}", String::from_utf8_lossy(path));
    match sandbox.copy_out(&path, 0).await {
        Ok(Content::Tar(_)) => Ok(Some(true)),
        Ok(Content::File { .. }) | Err(SandboxError::TooLarge { .. }) => Ok(Some(false)),
        Err(SandboxError::Path { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// `user` or `user:group`, by name or number, as numbers. A named user alone brings its group; a
/// number alone is the group's number too.
async fn numbers(sandbox: &dyn Sandbox, owner: &str) -> Result<(u64, u64), SandboxError> {
    let (user, group) = match owner.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (owner, None),
    };
    let (uid, own_group) = match user.parse() {
        Ok(number) => (number, number),
        Err(_) => {
            let fields = entry(sandbox, user, "/etc/passwd").await?;
            (numeric(&fields, 2)?, numeric(&fields, 3)?)
        }
    };
    let gid = match group.map(|group| (group, group.parse())) {
        None => own_group,
        Some((_, Ok(number))) => number,
        Some((name, Err(_))) => numeric(&entry(sandbox, name, "/etc/group").await?, 2)?,
    };
    Ok((uid, gid))
}

fn numeric(fields: &[String], at: usize) -> Result<u64, SandboxError> {
    fields.get(at).and_then(|field| field.parse().ok()).ok_or_else(|| SandboxError::Path {
        path: "/etc".to_owned(),
        why: format!("the entry `{}` has no number in field {}", fields.join(":"), at + 1),
    })
}

/// The fields of a line of `/etc/passwd` or `/etc/group`.
async fn entry(sandbox: &dyn Sandbox, name: &str, file: &str) -> Result<Vec<String>, SandboxError> {
    let bytes = match sandbox.copy_out(file, LARGEST_PASSWD).await {
        Ok(Content::File { bytes, .. }) => bytes,
        Ok(Content::Tar(_)) | Err(SandboxError::Path { .. }) => SharedBytes::new(),
        Err(error) => return Err(error),
    };
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().find(|line| line.split(':').next() == Some(name));
    let line = line.ok_or_else(|| SandboxError::Path {
        path: file.to_owned(),
        why: format!("it has no entry for `{name}`"),
    })?;
    Ok(line.split(':').map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;
    use crate::layers::ImageKey;

    fn line(text: &str) -> (Vec<String>, Option<String>) {
        let file = parse::parse(&format!("FROM a\n{text}")).unwrap();
        let image = ImageKey(Digest::of("a"));
        let state = State::new(image, ImageConfig::default(), '\\');
        command_line(&file.stages[0].instructions[0], &state)
    }

    #[test]
    fn commands_are_what_the_shell_or_the_list_says() {
        let shell = |text: &str| vec!["/bin/sh".to_owned(), "-c".to_owned(), text.to_owned()];
        assert_eq!(line("RUN echo $A").0, shell("echo $A"));
        assert_eq!(line("RUN [\"a\", \"b\"]").0, ["a", "b"]);
        assert_eq!(line("RUN <<E\nx\ny\nE").0, shell("x\ny\n"));
        assert_eq!(line("RUN cat <<E > f\nx\nE").0, shell("cat <<E > f\nx\nE"));
        let (argv, script) = line("RUN <<E\n#!/usr/bin/python3\nprint()\nE");
        assert_eq!(
            (argv[0].as_str(), script.unwrap().as_str()),
            (SCRIPT, "#!/usr/bin/python3\nprint()\n")
        );
        assert_eq!(bits("0755").unwrap(), 0o755);
        assert!(bits("u+x").is_err());
    }
}
