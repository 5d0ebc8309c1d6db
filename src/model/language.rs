//! The language of a task, told by the names of the files that its patches touch.

/// Endings of file names, and the language they are of.
const ENDINGS: [(&str, &str); 41] = [
    ("py", "Python"),
    ("pyx", "Python"),
    ("pyi", "Python"),
    ("js", "JavaScript"),
    ("jsx", "JavaScript"),
    ("mjs", "JavaScript"),
    ("cjs", "JavaScript"),
    ("ts", "TypeScript"),
    ("tsx", "TypeScript"),
    ("mts", "TypeScript"),
    ("vue", "JavaScript"),
    ("go", "Go"),
    ("rs", "Rust"),
    ("java", "Java"),
    ("kt", "Kotlin"),
    ("kts", "Kotlin"),
    ("scala", "Scala"),
    ("c", "C"),
    ("h", "C"),
    ("cc", "C++"),
    ("cpp", "C++"),
    ("cxx", "C++"),
    ("hh", "C++"),
    ("hpp", "C++"),
    ("cs", "C#"),
    ("fs", "F#"),
    ("php", "PHP"),
    ("phpt", "PHP"),
    ("rb", "Ruby"),
    ("feature", "Ruby"),
    ("swift", "Swift"),
    ("ex", "Elixir"),
    ("exs", "Elixir"),
    ("hs", "Haskell"),
    ("lua", "Lua"),
    ("jl", "Julia"),
    ("r", "R"),
    ("dart", "Dart"),
    ("zig", "Zig"),
    ("sh", "Shell"),
    ("pl", "Perl"),
];

/// The language that most files of these patches are written in; `None` where no name says one.
#[must_use]
pub fn language_of<'p>(patches: impl IntoIterator<Item = &'p str>) -> Option<&'static str> {
    let mut counts = [0_usize; ENDINGS.len()];
    for line in patches.into_iter().flat_map(str::lines) {
        let Some(name) = line.strip_prefix("+++ ").or_else(|| line.strip_prefix("--- ")) else {
            continue;
        };
        let name = name.split('\t').next().unwrap_or(name).trim_end_matches('"');
        let Some((_, ending)) = name.rsplit_once('.') else { continue };
        let named = ENDINGS.iter().find(|(known, _)| known.eq_ignore_ascii_case(ending));
        // Counted where the language stands first, so that its endings are one.
        if let Some((_, language)) = named
            && let Some(at) = ENDINGS.iter().position(|(_, other)| other == language)
        {
            counts[at] += 1;
        }
    }
    let (at, most) =
        counts.iter().enumerate().max_by_key(|(at, count)| (**count, usize::MAX - at))?;
    (*most > 0).then(|| ENDINGS[at].1)
}

#[cfg(test)]
mod tests {
    use super::language_of;

    #[test]
    fn most_files_decide() {
        let patch = "--- a/x.py\n+++ b/x.py\n@@\n-a\n--- a/y.ts\t2020\n+++ b/y.ts\n--- /dev/null\n+++ b/z.pyx\n";
        assert_eq!(language_of([patch]), Some("Python"));
        assert_eq!(language_of(["", "+++ b/README.md\n+++ b/Makefile\n"]), None);
        assert_eq!(language_of(["+++ b/a.h\n+++ b/a.hpp\n+++ b/a.cc\n"]), Some("C++"));
    }
}
