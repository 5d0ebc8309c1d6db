//! The shape of the house, read from its source: the order of the modules, and who may name what.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The modules in the order of their dependencies: each may use only those before it.
const ORDER: [&str; 14] = [
    "model", "dataset", "grade", "layers", "sandbox", "image", "evaluate", "journal", "history",
    "report", "regrade", "run", "cluster", "cli",
];

struct Source {
    /// Relative to `src`, with `/` between its parts.
    path: String,
    text: String,
}

impl Source {
    fn module(&self) -> &str {
        let first = self.path.split('/').next().unwrap();
        first.strip_suffix(".rs").unwrap_or(first)
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs_err::read_dir(&folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                let text = fs_err::read_to_string(&path).unwrap();
                let path = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                found.push(Source { path, text });
            }
        }
    }
    assert!(found.len() > 10, "the sources were not found below {}", root.display());
    found
}

/// The top-level modules of the crate that this text names by `crate::…`, comments left out.
fn named_modules(text: &str) -> BTreeSet<String> {
    let code: String = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or(""))
        .collect::<Vec<_>>()
        .join("\n");
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let whole_word = code[..at]
            .chars()
            .next_back()
            .is_none_or(|before| !before.is_alphanumeric() && before != '_' && before != '$');
        if !whole_word {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => names.extend(heads_of_group(group)),
            None => names.extend(head(rest)),
        }
    }
    names
}

/// The identifier a path begins with.
fn head(path: &str) -> Option<String> {
    let name: String =
        path.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!name.is_empty()).then_some(name)
}

/// The first identifiers of the items of `{a::b, c::{d, e}}`, given what follows the first brace.
fn heads_of_group(group: &str) -> Vec<String> {
    let mut heads = Vec::new();
    let mut depth = 0;
    let mut start = 0;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                heads.extend(head(&group[start..at]));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                heads.extend(head(&group[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    heads
}

#[test]
fn a_module_uses_only_those_before_it() {
    let place = |name: &str| ORDER.iter().position(|module| *module == name);
    let mut wrong = Vec::new();
    for source in sources() {
        if source.path == "lib.rs" || source.path == "main.rs" || source.path.starts_with("bin/") {
            continue;
        }
        let Some(own) = place(source.module()) else {
            wrong.push(format!(
                "src/{}: `{}` has no place in the order",
                source.path,
                source.module()
            ));
            continue;
        };
        for used in named_modules(&source.text) {
            if place(&used).is_some_and(|used| used > own) {
                wrong.push(format!(
                    "src/{} uses `crate::{used}`, which comes after it",
                    source.path
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "the order is {}\n{}", ORDER.join(", "), wrong.join("\n"));
}

#[test]
fn the_library_declares_its_modules_in_order() {
    let text =
        fs_err::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let declared: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let expected: Vec<&str> =
        ORDER.into_iter().filter(|module| declared.contains(module)).collect();
    assert_eq!(declared, expected);
}

/// Whether a file may name a thing: `who(path)` is asked for every file whose code holds `what`.
fn only_in(what: &str, who: impl Fn(&str) -> bool) {
    let wrong: Vec<String> = sources()
        .iter()
        .filter(|source| !who(&source.path))
        .flat_map(|source| {
            source
                .text
                .lines()
                .enumerate()
                .filter(|(_, line)| line.split("//").next().unwrap_or("").contains(what))
                .map(|(n, line)| format!("src/{}:{}: {}", source.path, n + 1, line.trim()))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(wrong.is_empty(), "`{what}` has no business here:\n{}", wrong.join("\n"));
}

#[test]
fn unsafe_code_stands_in_one_place() {
    let sys =
        |path: &str| path == "sandbox/native/sys.rs" || path.starts_with("sandbox/native/sys/");
    only_in("unsafe {", sys);
    only_in("unsafe fn", sys);
    only_in("unsafe impl", sys);
    only_in("expect(unsafe_code", |path| sys(path) || path == "sandbox/native/mod.rs");
}

#[test]
fn foreign_words_stop_at_their_gate() {
    only_in("clap::", |path| path.starts_with("cli/"));
    only_in("anyhow::", |path| path.starts_with("cli/"));
    only_in("indicatif::", |path| path.starts_with("cli/"));
    only_in("toml::", |path| path.starts_with("cli/") || path.starts_with("dataset/"));
    only_in("parquet::", |path| path.starts_with("dataset/"));
    only_in("bollard::", |path| path.starts_with("sandbox/docker"));
}

#[test]
fn lints_are_expected_with_a_reason_and_never_allowed() {
    only_in(concat!("#[", "allow("), |_| false);
    only_in(concat!("#![", "allow("), |_| false);
    only_in(concat!("todo", "!("), |_| false);
    only_in(concat!("unimplemented", "!("), |_| false);
}

#[test]
fn no_file_is_called_after_nothing() {
    let names = ["utils", "util", "common", "helpers", "prelude", "imp", "misc"];
    for source in sources() {
        for part in source.path.split('/') {
            let stem = part.strip_suffix(".rs").unwrap_or(part);
            assert!(!names.contains(&stem), "src/{}: say what it is", source.path);
        }
    }
}

#[test]
fn every_file_says_its_purpose_in_its_first_line() {
    for source in sources().iter().filter(|source| !source.path.ends_with("tests.rs")) {
        let first = source.text.lines().next().unwrap_or("");
        assert!(first.starts_with("//! "), "src/{} begins with `{first}`", source.path);
    }
}

#[test]
fn the_reader_of_uses_reads_groups_and_skips_comments() {
    let text = "use crate::{model::{A, B}, layers::C};\nlet x = crate::run::go(); // crate::cli\nuse xcrate::image;";
    let names: Vec<String> = named_modules(text).into_iter().collect();
    assert_eq!(names, ["layers", "model", "run"]);
}
