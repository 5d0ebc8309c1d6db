//! A Dockerfile that was read: which of its stages are wanted, and what it asks for before anything
//! is built.

use super::parse::{self, Dockerfile, Instruction, Wrong};
use super::state::Arguments;
use super::words::{self, Words};
use super::{DockerfileBuild, platform_name};
use crate::image::{ImageError, Images};
use crate::model::Instance;
use fs_err as fs;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// What a Dockerfile asks for, before anything of it is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerfileOutline {
    /// The Dockerfile.
    pub file: PathBuf,
    /// The images that its stages start from, by name, in the order of the file.
    pub bases: Vec<String>,
    /// How many instructions the wanted stage and those it needs have.
    pub instructions: usize,
}

impl Images {
    /// What the Dockerfile of an instance asks for; `None` where the instance has none, or an image
    /// that was pulled or imported goes before it. Its layers have keys only when they are built:
    /// each depends on what the one before left.
    ///
    /// # Errors
    /// [`ImageError::Dockerfile`] with the line that makes no sense; the file cannot be read.
    pub fn outline(&self, instance: &Instance) -> Result<Option<DockerfileOutline>, ImageError> {
        let Some(wanted) = self.dockerfile_of(instance) else { return Ok(None) };
        let text = Text::read(&wanted)?;
        let (mut bases, mut instructions) = (Vec::new(), 0);
        for at in text.needed(text.target()?)? {
            let stage = &text.file.stages[at];
            let from = text.global_word(stage.line, &stage.from)?;
            if from != "scratch" && text.named_stage(&from, at).is_none() {
                bases.push(from);
            }
            instructions += stage.instructions.len();
        }
        Ok(Some(DockerfileOutline { file: wanted.file.clone(), bases, instructions }))
    }
}

/// A Dockerfile, and what is wanted of it.
pub(super) struct Text<'a> {
    pub(super) wanted: &'a DockerfileBuild,
    pub(super) file: Dockerfile,
    pub(super) arguments: Arguments,
}

impl<'a> Text<'a> {
    pub(super) fn read(wanted: &'a DockerfileBuild) -> Result<Self, ImageError> {
        let failed = ImageError::file(format!("read {}", wanted.file.display()));
        let text = fs::read_to_string(&wanted.file).map_err(failed)?;
        let wrong = |(line, why)| ImageError::Dockerfile { file: wanted.file.clone(), line, why };
        let file = parse::parse(&text).map_err(wrong)?;
        let global = global_arguments(&file, &wanted.args).map_err(wrong)?;
        Ok(Self { wanted, file, arguments: Arguments { given: wanted.args.clone(), global } })
    }

    pub(super) fn wrong(&self, (line, why): Wrong) -> ImageError {
        ImageError::Dockerfile { file: self.wanted.file.clone(), line, why }
    }

    /// The stage of this name or number.
    pub(super) fn named_stage(&self, name: &str, before: usize) -> Option<usize> {
        let lower = name.to_ascii_lowercase();
        let stages = &self.file.stages[..before];
        // The last one of a name is meant.
        let by_name = stages.iter().rposition(|stage| stage.name.as_deref() == Some(&lower));
        by_name.or_else(|| name.parse().ok().filter(|number| *number < before))
    }

    pub(super) fn target(&self) -> Result<usize, ImageError> {
        let count = self.file.stages.len();
        match &self.wanted.target {
            None => Ok(count - 1),
            Some(name) => self.named_stage(name, count).ok_or_else(|| {
                let names: Vec<_> =
                    self.file.stages.iter().filter_map(|stage| stage.name.as_deref()).collect();
                self.wrong((1, format!("there is no stage {name}, only {}", names.join(", "))))
            }),
        }
    }

    /// The stages that this one needs and itself, in the order of the file.
    pub(super) fn needed(&self, target: usize) -> Result<BTreeSet<usize>, ImageError> {
        let mut needed = BTreeSet::new();
        let mut open = vec![target];
        while let Some(at) = open.pop() {
            if !needed.insert(at) {
                continue;
            }
            let stage = &self.file.stages[at];
            let from = self.global_word(stage.line, &stage.from)?;
            open.extend(self.named_stage(&from, at));
            for instruction in &stage.instructions {
                for name in named_sources(instruction) {
                    open.extend(self.named_stage(&name, at));
                }
            }
        }
        Ok(needed)
    }

    /// A word of a `FROM`, which sees the arguments before the first stage.
    pub(super) fn global_word(&self, line: usize, word: &str) -> Result<String, ImageError> {
        let lookup = |name: &str| self.arguments.global.get(name).cloned();
        let words = Words { escape: self.file.escape, lookup: &lookup };
        words.expand(word).map_err(|why| self.wrong((line, why)))
    }
}

/// The arguments before the first stage, and those that are always there.
fn global_arguments(
    file: &Dockerfile,
    given: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Wrong> {
    let platform = platform_name();
    let architecture = platform.split('/').nth(1).unwrap_or_default().to_owned();
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    for side in ["TARGET", "BUILD"] {
        known.insert(format!("{side}PLATFORM"), platform.clone());
        known.insert(format!("{side}OS"), "linux".to_owned());
        known.insert(format!("{side}ARCH"), architecture.clone());
        known.insert(format!("{side}VARIANT"), String::new());
    }
    for instruction in &file.args {
        for word in words::split(&instruction.rest, file.escape) {
            let (name, default) = match word.split_once('=') {
                Some((name, default)) => (name, Some(default)),
                None => (word.as_str(), None),
            };
            let lookup = |name: &str| known.get(name).cloned();
            let words = Words { escape: file.escape, lookup: &lookup };
            let default = default.map(|default| words.expand(default)).transpose();
            let default = default.map_err(|why| (instruction.line, why))?;
            if let Some(value) = given.get(name).cloned().or(default) {
                known.insert(name.to_owned(), value);
            }
        }
    }
    Ok(known)
}

/// Names of stages or images that an instruction takes files from.
fn named_sources(instruction: &Instruction) -> Vec<String> {
    let mut names: Vec<String> = instruction.flag("from").map(str::to_owned).into_iter().collect();
    let mounts = instruction.flags.iter().filter(|(name, _)| name == "mount");
    for (_, value) in mounts {
        let fields = value.as_deref().unwrap_or_default().split(',');
        names.extend(fields.filter_map(|field| field.strip_prefix("from=")).map(str::to_owned));
    }
    names
}
