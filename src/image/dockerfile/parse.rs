//! The text of a Dockerfile as stages of instructions. Nothing is expanded or looked up here.
//!
//! The rules are those of the Dockerfile reference, <https://docs.docker.com/reference/dockerfile/>:
//! directives, comments, continued lines, here-documents, flags, and lists as JSON.

use super::words;

/// A whole file.
#[derive(Debug, PartialEq)]
pub(super) struct Dockerfile {
    /// The escape character.
    pub(super) escape: char,
    /// `ARG`s before the first stage.
    pub(super) args: Vec<Instruction>,
    /// At least one.
    pub(super) stages: Vec<Stage>,
}

/// What stands from one `FROM` to the next.
#[derive(Debug, PartialEq)]
pub(super) struct Stage {
    /// Where its `FROM` stands.
    pub(super) line: usize,
    /// Its name, in lower case.
    pub(super) name: Option<String>,
    /// The image it starts from, not expanded.
    pub(super) from: String,
    /// The platform of that image, not expanded.
    pub(super) platform: Option<String>,
    pub(super) instructions: Vec<Instruction>,
}

/// One instruction.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Instruction {
    /// Where it stands, from 1.
    pub(super) line: usize,
    /// Its name, in upper case.
    pub(super) name: String,
    /// `--name` or `--name=value`.
    pub(super) flags: Vec<(String, Option<String>)>,
    /// What stands behind the flags, continued lines joined.
    pub(super) rest: String,
    pub(super) documents: Vec<HereDocument>,
}

/// A here-document.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct HereDocument {
    pub(super) name: String,
    /// Whether variables in it are replaced: its name was not quoted.
    pub(super) expand: bool,
    /// Whether leading tabs are taken away (`<<-`).
    pub(super) chomp: bool,
    /// The text, as it stands.
    pub(super) text: String,
}

impl HereDocument {
    /// The text that is meant.
    pub(super) fn content(&self) -> String {
        if !self.chomp {
            return self.text.clone();
        }
        self.text.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
    }
}

impl Instruction {
    /// What it says, for people.
    pub(super) fn title(&self) -> String {
        let flags = self.flags.iter().map(|(name, value)| match value {
            Some(value) => format!("--{name}={value} "),
            None => format!("--{name} "),
        });
        let title = format!("{} {}{}", self.name, flags.collect::<String>(), self.rest);
        title.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// What stands behind the flags as a JSON list of text, if it is one.
    pub(super) fn list(&self) -> Option<Vec<String>> {
        serde_json::from_str(self.rest.trim()).ok()
    }

    /// The value of a flag that may be given once.
    pub(super) fn flag(&self, name: &str) -> Option<&str> {
        let found = self.flags.iter().rev().find(|(flag, _)| flag == name)?;
        Some(found.1.as_deref().unwrap_or("true"))
    }
}

/// What is wrong, and in which line.
pub(super) type Wrong = (usize, String);

const NAMES: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// Which flags an instruction takes.
fn flags_of(name: &str) -> &'static [&'static str] {
    match name {
        "FROM" => &["platform"],
        "RUN" => &["mount", "network", "security"],
        "COPY" => &["from", "chown", "chmod", "link", "exclude", "parents"],
        "ADD" => &["chown", "chmod", "link", "exclude", "checksum", "keep-git-dir", "unpack"],
        "HEALTHCHECK" => &["interval", "timeout", "start-period", "start-interval", "retries"],
        _ => &[],
    }
}

/// Reads a file.
pub(super) fn parse(text: &str) -> Result<Dockerfile, Wrong> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = Lines { lines: text.lines().enumerate().peekable(), escape: '\\' };
    lines.directives()?;
    let mut file = Dockerfile { escape: lines.escape, args: Vec::new(), stages: Vec::new() };
    while let Some((line, text)) = lines.logical() {
        let mut instruction = instruction(line, &text, lines.escape)?;
        lines.documents(&mut instruction)?;
        if instruction.name == "FROM" {
            file.stages.push(stage(&instruction)?);
        } else if let Some(stage) = file.stages.last_mut() {
            stage.instructions.push(instruction);
        } else if instruction.name == "ARG" {
            file.args.push(instruction);
        } else {
            return Err((line, format!("{} stands before the first FROM", instruction.name)));
        }
    }
    match file.stages.is_empty() {
        true => Err((1, "there is no FROM".to_owned())),
        false => Ok(file),
    }
}

/// An instruction from one line, as an `ONBUILD` trigger holds it.
pub(super) fn trigger(line: usize, text: &str, escape: char) -> Result<Instruction, Wrong> {
    let mut lines = Lines { lines: text.lines().enumerate().peekable(), escape };
    let Some((_, first)) = lines.logical() else {
        return Err((line, "ONBUILD names no instruction".to_owned()));
    };
    let mut instruction = instruction(line, &first, escape)?;
    if matches!(instruction.name.as_str(), "ONBUILD" | "FROM" | "MAINTAINER") {
        return Err((line, format!("{} is not allowed as a trigger", instruction.name)));
    }
    lines.documents(&mut instruction)?;
    Ok(instruction)
}

struct Lines<'a> {
    lines: std::iter::Peekable<std::iter::Enumerate<std::str::Lines<'a>>>,
    escape: char,
}

impl Lines<'_> {
    /// `# name=value` lines at the very top.
    fn directives(&mut self) -> Result<(), Wrong> {
        let mut seen = Vec::new();
        while let Some(&(at, line)) = self.lines.peek() {
            let Some((name, value)) = line.trim().strip_prefix('#').and_then(|l| l.split_once('='))
            else {
                break;
            };
            let name = name.trim().to_ascii_lowercase();
            if !matches!(name.as_str(), "syntax" | "escape" | "check") {
                break;
            }
            if seen.contains(&name) {
                return Err((at + 1, format!("the directive {name} stands twice")));
            }
            if name == "escape" {
                self.escape = match value.trim() {
                    "\\" => '\\',
                    "`" => '`',
                    other => {
                        return Err((at + 1, format!("`{other}` cannot be the escape character")));
                    }
                };
            }
            seen.push(name);
            self.lines.next();
        }
        Ok(())
    }

    /// The next instruction as one line, without comments, and where it begins.
    fn logical(&mut self) -> Option<(usize, String)> {
        let (first, mut text) = loop {
            let (at, line) = self.lines.next()?;
            let line = line.trim_start();
            if !line.is_empty() && !line.starts_with('#') {
                break (at + 1, line.to_owned());
            }
        };
        loop {
            let ended = text.trim_end_matches([' ', '\t']);
            let Some(open) = ended.strip_suffix(self.escape) else {
                text.truncate(text.trim_end().len());
                return Some((first, text));
            };
            text.truncate(open.len());
            // Comments and empty lines within an instruction do not count.
            let next = self.lines.by_ref().map(|(_, line)| line).find(|line| {
                let line = line.trim_start();
                !line.is_empty() && !line.starts_with('#')
            });
            match next {
                Some(next) => text.push_str(next),
                None => return Some((first, text.trim_end().to_owned())),
            }
        }
    }

    /// Reads the here-documents that an instruction announces.
    fn documents(&mut self, instruction: &mut Instruction) -> Result<(), Wrong> {
        let takes = |name: &str| matches!(name, "RUN" | "COPY" | "ADD");
        let inner = instruction.rest.split_whitespace().next().unwrap_or_default();
        let takes = takes(&instruction.name)
            || (instruction.name == "ONBUILD" && takes(&inner.to_ascii_uppercase()));
        if !takes || instruction.list().is_some() {
            return Ok(());
        }
        for word in words::split(&instruction.rest, self.escape) {
            let Some(mut document) = announced(&word) else { continue };
            loop {
                let Some((_, line)) = self.lines.next() else {
                    let why = format!("the here-document {} has no end", document.name);
                    return Err((instruction.line, why));
                };
                let end = if document.chomp { line.trim_start_matches('\t') } else { line };
                if end == document.name {
                    break;
                }
                document.text.push_str(line);
                document.text.push('\n');
            }
            instruction.documents.push(document);
        }
        Ok(())
    }
}

/// The here-document that a word such as `<<-"END"` announces.
pub(super) fn announced(word: &str) -> Option<HereDocument> {
    let word = word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<")?;
    let (chomp, word) = match word.strip_prefix('-') {
        Some(word) => (true, word),
        None => (false, word),
    };
    let name: String = word.chars().filter(|c| !"'\"".contains(*c)).collect();
    let plain = !name.is_empty() && !name.contains(['<', '>', '|', '&', ';', '(', ')', '$']);
    plain.then(|| HereDocument { expand: name == word, name, chomp, text: String::new() })
}

fn instruction(line: usize, text: &str, escape: char) -> Result<Instruction, Wrong> {
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let name = name.to_ascii_uppercase();
    if !NAMES.contains(&name.as_str()) {
        return Err((line, format!("`{}` is no instruction", name.escape_debug())));
    }
    let (flags, rest) = flags(line, &name, rest.trim_start(), escape)?;
    if rest.is_empty() && flags.is_empty() {
        return Err((line, format!("{name} says nothing")));
    }
    Ok(Instruction { line, name, flags, rest: rest.to_owned(), documents: Vec::new() })
}

type Flags = Vec<(String, Option<String>)>;

/// Takes the flags off the front.
fn flags<'a>(
    line: usize,
    name: &str,
    mut rest: &'a str,
    escape: char,
) -> Result<(Flags, &'a str), Wrong> {
    let mut flags = Vec::new();
    let known = flags_of(name);
    while !known.is_empty() && rest.starts_with("--") {
        let word = words::split(rest, escape).into_iter().next().unwrap_or_default();
        rest = rest[word.len()..].trim_start();
        let Some(flag) = word.strip_prefix("--").filter(|flag| !flag.is_empty()) else { break };
        let (flag, value) = match flag.split_once('=') {
            Some((flag, value)) => (flag, Some(value.to_owned())),
            None => (flag, None),
        };
        if !known.contains(&flag) {
            let known: Vec<_> = known.iter().map(|flag| format!("--{flag}")).collect();
            let why = format!("{name} has no flag --{flag}; it has {}", known.join(", "));
            return Err((line, why));
        }
        flags.push((flag.to_owned(), value));
    }
    Ok((flags, rest))
}

fn stage(from: &Instruction) -> Result<Stage, Wrong> {
    let words: Vec<&str> = from.rest.split_whitespace().collect();
    let (image, name) = match words[..] {
        [image] => (image, None),
        [image, keyword, name] if keyword.eq_ignore_ascii_case("as") => {
            (image, Some(name.to_ascii_lowercase()))
        }
        _ => return Err((from.line, "FROM takes an image, and AS a name".to_owned())),
    };
    Ok(Stage {
        line: from.line,
        name,
        from: image.to_owned(),
        platform: from.flag("platform").map(str::to_owned),
        instructions: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(text: &str) -> Instruction {
        let mut file = parse(&format!("FROM a\n{text}")).unwrap();
        file.stages.remove(0).instructions.remove(0)
    }

    #[test]
    fn lines_are_continued_and_comments_skipped() {
        let run = only("# first\n  RUN echo a \\\n  # within\n\n   && echo b \\\n && echo c  \n");
        assert_eq!((run.line, run.rest.as_str()), (3, "echo a    && echo b  && echo c"));
        let path = parse("# escape=`\nFROM a\nRUN x `\n y\\\nRUN z\n").unwrap();
        assert_eq!(path.escape, '`');
        assert_eq!(path.stages[0].instructions[0].rest, "x  y\\");
        assert_eq!(path.stages[0].instructions.len(), 2);
    }

    #[test]
    fn here_documents_belong_to_their_instruction() {
        let run = only("RUN cat <<-'A' > /f <<B && x\n\ta $X\n\tA\nb\nB\n");
        assert_eq!(run.documents.len(), 2);
        let [a, b] = &run.documents[..] else { panic!() };
        assert_eq!((a.expand, a.content().as_str()), (false, "a $X\n"));
        assert_eq!((b.expand, b.content().as_str()), (true, "b\n"));
        assert_eq!(only("RUN echo $((1<<2))").documents, []);
        assert_eq!(only("RUN [\"a\", \"<<EOF\"]").documents, []);
        let (line, why) = parse("FROM a\nRUN <<EOF\nx\n").unwrap_err();
        assert!(line == 2 && why.contains("EOF"), "{why}");
    }

    #[test]
    fn flags_lists_and_stages_are_told_apart() {
        let run = only("RUN --mount=type=cache,target=/c --network=none [\"a\", \"b c\"]");
        assert_eq!(run.flags[0].1.as_deref(), Some("type=cache,target=/c"));
        assert_eq!(run.flag("network"), Some("none"));
        assert_eq!(run.list().unwrap(), ["a", "b c"]);
        assert_eq!(only("RUN [ -f x ] && y").list(), None);
        let file = parse("ARG V=1\nFROM --platform=$P x:$V AS Build\nFROM build").unwrap();
        assert_eq!(file.args.len(), 1);
        assert_eq!(file.stages[0].name.as_deref(), Some("build"));
        assert_eq!(file.stages[1].from, "build");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, line, part) in [
            ("", 1, "no FROM"),
            ("RUN x", 1, "before the first FROM"),
            ("FROM a\n\nBAKE x", 3, "BAKE"),
            ("FROM a\nCOPY --frm=b c d", 2, "--from"),
            ("FROM a b", 1, "AS"),
            ("FROM a\nENV", 2, "says nothing"),
            ("# escape=x\nFROM a", 1, "escape"),
        ] {
            let (at, why) = parse(text).unwrap_err();
            assert!(at == line && why.contains(part), "{text:?}: {at} {why}");
        }
        assert!(trigger(7, "ONBUILD RUN x", '\\').is_err());
        assert_eq!(trigger(7, "run x", '\\').unwrap().name, "RUN");
    }
}
