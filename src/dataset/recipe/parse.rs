//! The text of a recipe file, read key by key so that every problem is found with its line.

use super::super::error::{Place, Problem, Problems};
use super::super::nearest;
use super::forms::{is_pin, is_python, is_word, lexically};
use super::{Entry, Recipe};
use crate::model::{EnvSpec, PythonSpec, RepoSource, RootSource};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The keys that `[defaults]` and `[[env]]` may hold (`[[env]]` has `versions` besides).
const KEYS: [&str; 16] = [
    "base",
    "base_packages",
    "build_requires",
    "env",
    "eval_commands",
    "install",
    "log_parser",
    "packages",
    "pre_install",
    "python",
    "python_alternatives",
    "requirements",
    "source",
    "test_command",
    "tools",
    "versions",
];

type Table<'i> = DeTable<'i>;

/// Reads a recipe. `folder` is what relative paths start from; a recipe without one may name none.
pub(super) fn parse(path: &Path, text: &str, folder: Option<&Path>) -> Result<Recipe, Problems> {
    let mut reader = Reader { path, text, folder, problems: Problems::default() };
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let what = format!("not valid TOML: {}", error.message());
        reader.problem(error.span(), None, what, None);
    }
    if !reader.problems.is_empty() {
        return Err(reader.problems);
    }
    let recipe = reader.recipe(document.get_ref());
    if reader.problems.is_empty() { Ok(recipe) } else { Err(reader.problems) }
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    folder: Option<&'a Path>,
    problems: Problems,
}

/// The values of one `[[env]]` over those of `[defaults]`.
#[derive(Clone, Copy)]
struct Layers<'a, 'i> {
    own: &'a Table<'i>,
    defaults: Option<&'a Table<'i>>,
}

impl<'a, 'i> Layers<'a, 'i> {
    fn get(&self, key: &str) -> Option<&'a Spanned<DeValue<'i>>> {
        self.own.get(key).or_else(|| self.defaults?.get(key))
    }
}

impl Reader<'_> {
    fn problem(
        &mut self,
        span: Option<Range<usize>>,
        field: Option<&str>,
        what: String,
        hint: Option<String>,
    ) {
        let line = span.map(|span| {
            let before = &self.text.as_bytes()[..span.start.min(self.text.len())];
            Place::Line(memchr::memchr_iter(b'\n', before).count() as u64 + 1)
        });
        let problem = Problem {
            field: field.map(Into::into),
            remedy: hint.map(Into::into),
            ..Problem::new(self.path, what).at(line)
        };
        // A default is looked at once for every `[[env]]`, and is wrong once.
        if !self.problems.list().contains(&problem) {
            self.problems.push(problem);
        }
    }

    fn recipe(&mut self, document: &Table<'_>) -> Recipe {
        self.only(document, &["repo", "defaults", "env"]);
        let repo = self.repo(document);
        let defaults = document.get("defaults").and_then(|value| self.table("defaults", value));
        if let Some(defaults) = defaults {
            self.only(defaults, &KEYS[..KEYS.len() - 1]);
        }
        let mut entries = Vec::new();
        let mut seen = BTreeSet::new();
        let items = document.get("env").map(|value| (value, value.get_ref()));
        match items {
            Some((_, DeValue::Array(list))) => {
                for item in list.iter() {
                    if let Some(own) = self.table("env", item) {
                        self.only(own, &KEYS);
                        let layers = Layers { own, defaults };
                        entries.push(self.entry(layers, item.span(), &mut seen));
                    }
                }
            }
            Some((value, _)) => self.wrong("env", value, "a list of tables, as `[[env]]`"),
            None => self.problem(
                None,
                Some("env"),
                "no `[[env]]`: the recipe is for no version".to_owned(),
                Some(
                    "add `[[env]]` with `versions = [\"…\"]`; \"*\" stands for any other"
                        .to_owned(),
                ),
            ),
        }
        Recipe { repo, path: self.path.to_owned(), entries }
    }

    fn repo(&mut self, document: &Table<'_>) -> String {
        let Some(value) = document.get("repo") else {
            let hint = Some("write `repo = \"owner/name\"` at the top".to_owned());
            self.problem(None, Some("repo"), "missing".to_owned(), hint);
            return String::new();
        };
        let Some(repo) = self.string("repo", value) else { return String::new() };
        if !super::super::is_repo(&repo) {
            let what = format!("`{repo}` is not of the form `owner/name`");
            self.problem(Some(value.span()), Some("repo"), what, None);
        }
        repo
    }

    fn entry(
        &mut self,
        layers: Layers<'_, '_>,
        span: Range<usize>,
        seen: &mut BTreeSet<String>,
    ) -> Entry {
        let versions = match layers.own.get("versions") {
            Some(value) => self.list("versions", value),
            None => Vec::new(),
        };
        let at = layers.own.get("versions").map_or(span, Spanned::span);
        if versions.is_empty() {
            let hint = Some("write `versions = [\"1.0\"]`; \"*\" stands for any other".to_owned());
            self.problem(Some(at.clone()), Some("versions"), "names no version".to_owned(), hint);
        }
        for version in &versions {
            if !seen.insert(version.clone()) {
                let what = format!("version `{version}` has more than one `[[env]]`");
                self.problem(Some(at.clone()), Some("versions"), what, None);
            }
        }
        Entry { versions, spec: self.spec(layers) }
    }

    fn spec(&mut self, layers: Layers<'_, '_>) -> EnvSpec {
        let base = match layers.get("base") {
            Some(value) => self.base(value),
            None => RootSource::Host,
        };
        let repo = match layers.get("source") {
            Some(value) => self.source(value),
            None => RepoSource::Git,
        };
        EnvSpec {
            origin: String::new(),
            base,
            base_packages: self.list_of(layers, "base_packages"),
            tools: self.list_of(layers, "tools"),
            python: self.python(layers),
            repo,
            pre_install: self.list_of(layers, "pre_install"),
            install: self.list_of(layers, "install"),
            env: self.env(layers),
            test_command: self.text_of(layers, "test_command"),
            eval_commands: self.list_of(layers, "eval_commands"),
            log_parser: self.text_of(layers, "log_parser"),
        }
    }

    /// `python` absent or empty: no Python environment, and then nothing that goes into one.
    fn python(&mut self, layers: Layers<'_, '_>) -> Option<PythonSpec> {
        let alternatives = self.list_of(layers, "python_alternatives");
        let spec = PythonSpec {
            version: None,
            alternatives,
            requirements: self.list_of(layers, "requirements"),
            packages: self.list_of(layers, "packages"),
            build_requires: self.list_of(layers, "build_requires"),
        };
        let wanted = layers.get("python").and_then(|value| {
            Some((value.span(), self.string("python", value)?)).filter(|(_, text)| !text.is_empty())
        });
        let Some((span, version)) = wanted else {
            let without = ["python_alternatives", "requirements", "packages", "build_requires"];
            for key in without {
                if let Some(value) = layers.own.get(key)
                    && !layers.own.contains_key("python")
                    && matches!(value.get_ref(), DeValue::Array(list) if !list.is_empty())
                {
                    let what = "has no effect without `python`".to_owned();
                    let hint =
                        Some("add `python = \"3.11\"` (or \"*\" for the base's own)".to_owned());
                    self.problem(Some(value.span()), Some(key), what, hint);
                }
            }
            return None;
        };
        if version == "*" {
            return Some(spec);
        }
        let bad = std::iter::once(&version).chain(&spec.alternatives).find(|text| !is_python(text));
        if let Some(bad) = bad {
            let what = format!("`{bad}` is not a Python version of the form `3.11`");
            self.problem(Some(span), Some("python"), what, None);
        }
        Some(PythonSpec { version: Some(version), ..spec })
    }

    fn base(&mut self, value: &Spanned<DeValue<'_>>) -> RootSource {
        let Some(text) = self.string("base", value) else { return RootSource::Host };
        let parsed = match text.split_once(':') {
            None if text == "host" => Some(RootSource::Host),
            Some(("debian", suite)) if is_word(suite) => Some(RootSource::Debian(suite.to_owned())),
            Some(("dir", path)) if !path.is_empty() => {
                Some(RootSource::Directory(self.path("base", value, path)))
            }
            Some(("archive", path)) if !path.is_empty() => {
                Some(RootSource::Archive(self.path("base", value, path)))
            }
            Some(("image", name)) if !name.is_empty() => Some(RootSource::Named(name.to_owned())),
            _ => None,
        };
        parsed.unwrap_or_else(|| {
            let forms =
                "`host`, `debian:<suite>`, `dir:<path>`, `archive:<path>` or `image:<name>`";
            let hint = Some(format!("write {forms}"));
            self.problem(
                Some(value.span()),
                Some("base"),
                format!("`{text}` is no root source"),
                hint,
            );
            RootSource::Host
        })
    }

    fn source(&mut self, value: &Spanned<DeValue<'_>>) -> RepoSource {
        let Some(text) = self.string("source", value) else { return RepoSource::Git };
        match text.split_once(':') {
            None if text == "git" => return RepoSource::Git,
            Some(("dir", path)) if !path.is_empty() => {
                return RepoSource::Directory(self.path("source", value, path));
            }
            Some(("sdist", wanted)) if is_pin(wanted) => {
                return RepoSource::Sdist(wanted.to_owned());
            }
            _ => {}
        }
        let hint = Some("write `git`, `dir:<path>` or `sdist:<name>==<version>`".to_owned());
        self.problem(Some(value.span()), Some("source"), format!("`{text}` is no source"), hint);
        RepoSource::Git
    }

    fn path(&mut self, field: &str, value: &Spanned<DeValue<'_>>, path: &str) -> PathBuf {
        let path = Path::new(path);
        match self.folder {
            Some(folder) => lexically(&folder.join(path)),
            None if path.is_absolute() => path.to_owned(),
            None => {
                let what = format!(
                    "`{}` is relative, and a built-in recipe has no folder",
                    path.display()
                );
                self.problem(Some(value.span()), Some(field), what, None);
                path.to_owned()
            }
        }
    }

    fn env(&mut self, layers: Layers<'_, '_>) -> BTreeMap<String, String> {
        let Some(value) = layers.get("env") else { return BTreeMap::new() };
        let Some(table) = self.table("env", value) else { return BTreeMap::new() };
        let mut all = BTreeMap::new();
        for (key, value) in table {
            let name = key.get_ref();
            let valid = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !valid {
                let what = format!("`{name}` is no name of an environment variable");
                self.problem(Some(key.span()), Some("env"), what, None);
            }
            if let Some(text) = self.string(&format!("env.{name}"), value) {
                all.insert(name.to_string(), text);
            }
        }
        all
    }

    fn text_of(&mut self, layers: Layers<'_, '_>, key: &str) -> String {
        layers.get(key).and_then(|value| self.string(key, value)).unwrap_or_default()
    }

    fn list_of(&mut self, layers: Layers<'_, '_>, key: &str) -> Vec<String> {
        layers.get(key).map(|value| self.list(key, value)).unwrap_or_default()
    }

    fn list(&mut self, field: &str, value: &Spanned<DeValue<'_>>) -> Vec<String> {
        let DeValue::Array(list) = value.get_ref() else {
            self.wrong(field, value, "a list of texts");
            return Vec::new();
        };
        list.iter().filter_map(|item| self.string(field, item)).collect()
    }

    fn string(&mut self, field: &str, value: &Spanned<DeValue<'_>>) -> Option<String> {
        let DeValue::String(text) = value.get_ref() else {
            self.wrong(field, value, "text");
            return None;
        };
        if text.contains('\0') {
            self.problem(Some(value.span()), Some(field), "holds a NUL character".to_owned(), None);
            return None;
        }
        Some(text.to_string())
    }

    fn table<'a, 'i>(
        &mut self,
        field: &str,
        value: &'a Spanned<DeValue<'i>>,
    ) -> Option<&'a Table<'i>> {
        let DeValue::Table(table) = value.get_ref() else {
            self.wrong(field, value, "a table");
            return None;
        };
        Some(table)
    }

    fn wrong(&mut self, field: &str, value: &Spanned<DeValue<'_>>, wanted: &str) {
        let got = match value.get_ref() {
            DeValue::String(_) => "text",
            DeValue::Integer(_) | DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let hint = match got {
            "a number" => Some("put it in double quotes".to_owned()),
            _ => None,
        };
        self.problem(
            Some(value.span()),
            Some(field),
            format!("{got} where {wanted} is wanted"),
            hint,
        );
    }

    fn only(&mut self, table: &Table<'_>, keys: &[&str]) {
        for key in table.keys() {
            let name = key.get_ref();
            if !keys.contains(&name.as_ref()) {
                let hint = match nearest::nearest(name, keys.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("the keys are {}", keys.join(", ")),
                };
                self.problem(Some(key.span()), Some(name), "unknown key".to_owned(), Some(hint));
            }
        }
    }
}
