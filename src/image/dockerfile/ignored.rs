//! `.dockerignore`: which files of a context a build does not see.
//!
//! Patterns are those of Go's `filepath.Match`, with `**` for any number of directories and `!` for
//! exceptions; the last one that matches decides
//! (<https://docs.docker.com/build/concepts/context/#dockerignore-files>).

use fs_err as fs;
use regex::Regex;
use std::io;
use std::path::Path;

/// The patterns of a context.
#[derive(Debug, Default)]
pub(super) struct Ignored {
    patterns: Vec<(Regex, bool)>,
}

impl Ignored {
    /// Those beside the Dockerfile, `<its name>.dockerignore`, else those of the context.
    pub(super) fn of(context: &Path, dockerfile: &Path) -> io::Result<Self> {
        let mut beside = dockerfile.as_os_str().to_owned();
        beside.push(".dockerignore");
        for path in [Path::new(&beside), &context.join(".dockerignore")] {
            match fs::read_to_string(path) {
                Ok(text) => {
                    let lines = text.lines().filter(|line| !line.starts_with('#'));
                    return Self::new(lines)
                        .map_err(|why| io::Error::other(format!("{}: {why}", path.display())));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self::default())
    }

    /// From patterns, in their order.
    pub(super) fn new<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut patterns = Vec::new();
        for line in lines {
            let line = line.trim();
            let (pattern, exception) = match line.strip_prefix('!') {
                Some(rest) => (rest.trim(), true),
                None => (line, false),
            };
            let pattern = super::state::clean(pattern);
            let pattern = &pattern[1..];
            if pattern.is_empty() {
                continue;
            }
            patterns.push((expression(pattern)?, exception));
        }
        Ok(Self { patterns })
    }

    /// Whether nothing is ignored.
    pub(super) fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether a path, relative to the context, is hidden from the build: itself or by what it is in.
    pub(super) fn hides(&self, path: &str) -> bool {
        let mut hidden = false;
        for (pattern, exception) in &self.patterns {
            // What is said once already need not be looked at again.
            if hidden != *exception {
                continue;
            }
            let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
            if ends.into_iter().any(|end| pattern.is_match(&path[..end])) {
                hidden = !exception;
            }
        }
        hidden
    }
}

/// A pattern of Go's `filepath.Match` with `**`, as an expression for whole paths.
pub(super) fn expression(pattern: &str) -> Result<Regex, String> {
    let mut text = String::from("(?s)^");
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        if let Some(tail) = rest.strip_prefix("**/") {
            text.push_str("(?:.*/)?");
            rest = tail;
            continue;
        }
        if let Some(tail) = rest.strip_prefix("**") {
            text.push_str(".*");
            rest = tail;
            continue;
        }
        rest = &rest[c.len_utf8()..];
        match c {
            '*' => text.push_str("[^/]*"),
            '?' => text.push_str("[^/]"),
            '[' => {
                let (class, tail) = rest
                    .split_once(']')
                    .ok_or_else(|| format!("`{pattern}`: `[` is not closed"))?;
                let (class, not) = match class.strip_prefix('^') {
                    Some(class) => (class, "^"),
                    None => (class, ""),
                };
                let class = class.replace('[', r"\[").replace('&', r"\&").replace('~', r"\~");
                text.push_str(&format!("[{not}{class}]"));
                rest = tail;
            }
            '\\' => {
                let next = rest.chars().next().unwrap_or('\\');
                rest = rest.get(next.len_utf8()..).unwrap_or_default();
                text.push_str(&regex::escape(&next.to_string()));
            }
            c => text.push_str(&regex::escape(&c.to_string())),
        }
    }
    text.push('$');
    Regex::new(&text).map_err(|_| format!("`{pattern}` is no pattern"))
}

#[cfg(test)]
mod tests {
    use super::{Ignored, expression};

    #[test]
    fn the_last_pattern_that_matches_decides() {
        let lines = ["*.md", "!README.md", "/build/", "**/*.tmp", "a/b", "!a/b/keep", "x[0-9]?"];
        let ignored = Ignored::new(lines).unwrap();
        for hidden in ["x.md", "build", "build/deep/file", "c.tmp", "d/e/f.tmp", "a/b/c", "x1y"] {
            assert!(ignored.hides(hidden), "{hidden}");
        }
        for seen in ["README.md", "d/x.md", "a/b/keep", "a/b/keep/more", "xy1", "rebuild", "x1"] {
            assert!(!ignored.hides(seen), "{seen}");
        }
        assert!(
            Ignored::new(["", "# not a comment here", "/"]).unwrap().hides("# not a comment here")
        );
    }

    #[test]
    fn patterns_are_gos() {
        assert!(expression("a[^b]c").unwrap().is_match("axc"));
        assert!(!expression("a[^b]c").unwrap().is_match("abc"));
        assert!(expression(r"a\*").unwrap().is_match("a*"));
        assert!(!expression("a*").unwrap().is_match("a/b"));
        assert!(expression("**/c").unwrap().is_match("c"));
        assert!(expression("a[").is_err());
    }
}
