//! A hostile program and what must happen to it, as its header tells.
//!
//! The header is the comment at the top of the file: lines `word: value`. What is not said is as in
//! [`Case::default`]. A word with `rootless ` before it stands where an ordinary user keeps the
//! sandbox.
//!
//! | word | value |
//! |---|---|
//! | `does` | what it tries, in a line |
//! | `limits` | `memory=64M pids=64 disk=16M output=1M`, `none` for no limit |
//! | `upper` | `disk` or `memory` |
//! | `time` | seconds until it is ended |
//! | `user`, `mode` | whom it runs as inside; the permission bits of its file |
//! | `image` | one of `images.rs`; else this machine's programs |
//! | `output` | `unread`: nobody reads it; `terminal`: it has one |
//! | `while` | what the keeper does meanwhile, see `deeds.rs` |
//! | `then` | what the keeper does afterwards and what must come of it, any number |
//! | `ends` | how it must end: `code 0`, `signal 9`, `timed-out`, `output-limit`, `refused`; several with `or` |
//! | `hits` | the limits that must be reported, and no others may: `memory`, `pids`, `disk` |
//! | `may hit` | those that may be reported besides |
//! | `why` | why it differs for an ordinary user |

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A program with its header.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// `family/name`.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) source: String,
    words: BTreeMap<String, Vec<String>>,
    rootless: bool,
}

const KNOWN: [&str; 15] = [
    "does", "limits", "upper", "time", "user", "mode", "image", "output", "while", "then", "ends",
    "hits", "may hit", "why", "golden",
];

impl Case {
    fn read(folder: &Path, path: &Path, rootless: bool) -> Self {
        let source = fs_err::read_to_string(path).unwrap();
        let name = path.strip_prefix(folder).unwrap().with_extension("");
        let name = name.to_str().unwrap().to_owned();
        let mut words: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let begin = |line: &&str| line.starts_with("#!") || line.starts_with("/*");
        let header = source.lines().skip(source.lines().take_while(begin).count());
        for line in header {
            let comment = ["# ", " * "].iter().find_map(|mark| line.strip_prefix(mark));
            let Some((word, value)) = comment.and_then(|line| line.split_once(": ")) else { break };
            let bare = word.strip_prefix("rootless ").unwrap_or(word);
            assert!(KNOWN.contains(&bare), "{name}: `{word}` means nothing");
            words.entry(word.to_owned()).or_default().push(value.trim().to_owned());
        }
        let case = Self { name, path: path.to_owned(), source, words, rootless };
        assert!(!case.does().is_empty(), "{}: what does it do?", case.name);
        case
    }

    fn all_of(&self, word: &str) -> &[String] {
        let rootless = self.words.get(&format!("rootless {word}")).filter(|_| self.rootless);
        rootless.or_else(|| self.words.get(word)).map_or(&[], Vec::as_slice)
    }

    fn get<'a>(&'a self, word: &str, default: &'a str) -> &'a str {
        self.all_of(word).last().map_or(default, String::as_str)
    }

    pub(crate) fn does(&self) -> &str {
        self.get("does", "")
    }

    pub(crate) fn limits(&self) -> &str {
        self.get("limits", "")
    }

    pub(crate) fn upper(&self) -> &str {
        self.get("upper", "disk")
    }

    pub(crate) fn seconds(&self) -> u32 {
        self.get("time", "60").parse().unwrap()
    }

    pub(crate) fn user(&self) -> Option<&str> {
        Some(self.get("user", "")).filter(|user| !user.is_empty())
    }

    pub(crate) fn mode(&self) -> u32 {
        u32::from_str_radix(self.get("mode", "755"), 8).unwrap()
    }

    pub(crate) fn image(&self) -> &str {
        self.get("image", "machine")
    }

    pub(crate) fn output(&self) -> &str {
        self.get("output", "")
    }

    pub(crate) fn meanwhile(&self) -> &str {
        self.get("while", "")
    }

    pub(crate) fn then(&self) -> &[String] {
        self.all_of("then")
    }

    /// The ways in which it may end.
    pub(crate) fn ends(&self) -> Vec<&str> {
        self.get("ends", "code 0").split(" or ").collect()
    }

    pub(crate) fn hits(&self) -> Vec<&str> {
        self.get("hits", "").split_whitespace().filter(|limit| *limit != "none").collect()
    }

    pub(crate) fn may_hit(&self) -> Vec<&str> {
        self.get("may hit", "").split_whitespace().collect()
    }

    /// Lines of which nothing else may be printed.
    pub(crate) fn golden(&self) -> Option<String> {
        let path = self.path.with_extension("golden");
        path.exists().then(|| fs_err::read_to_string(path).unwrap())
    }

    /// What its header says for both kinds of keeper, for the table in the documentation.
    pub(crate) fn row(&self) -> String {
        let told = |rootless: bool| {
            let case = Self { rootless, ..self.clone() };
            let ends = case.ends().join(" or ");
            let hits = case.hits().join(", ");
            let ends = if ends == "code 0" { "held".to_owned() } else { ends };
            if hits.is_empty() { ends } else { format!("{ends}; {hits}") }
        };
        let (root, user) = (told(false), told(true));
        let user = if root == user { "likewise".to_owned() } else { user };
        let why = self.get("why", "");
        let user = if why.is_empty() { user } else { format!("{user}: {why}") };
        format!("| `{}` | {} | {root} | {user} |", self.name, self.does())
    }
}

/// Where the programs are.
pub(crate) fn folder() -> PathBuf {
    std::env::var_os("EVALRUN_TEST_PROGRAMS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/hostile/programs"),
        PathBuf::from,
    )
}

/// All programs, those whose names hold `EVALRUN_HOSTILE` where that is set.
pub(crate) fn all(rootless: bool) -> Vec<Case> {
    let wanted = std::env::var("EVALRUN_HOSTILE").unwrap_or_default();
    let folder = folder();
    let entries = walkdir::WalkDir::new(&folder).min_depth(2).sort_by_file_name();
    let paths = entries.into_iter().map(|entry| entry.unwrap().into_path());
    let programs = paths.filter(|path| {
        path.extension().is_some_and(|ext| ["c", "sh", "py"].iter().any(|known| ext == *known))
    });
    programs
        .map(|path| Case::read(&folder, &path, rootless))
        .filter(|case| case.name.contains(&wanted))
        .collect()
}
