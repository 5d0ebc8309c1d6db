//! The words of a Dockerfile: quotes, escapes, and the variables in them.
//!
//! The rules are those of BuildKit's word processor, as the Dockerfile reference tells them:
//! <https://docs.docker.com/reference/dockerfile/#environment-replacement>.

use regex::Regex;

/// What variables stand for, and which character escapes.
pub(super) struct Words<'a> {
    /// `\`, or what the `escape` directive says.
    pub(super) escape: char,
    /// The value of a variable.
    pub(super) lookup: &'a dyn Fn(&str) -> Option<String>,
}

/// Splits at white space that stands outside quotes; the quotes stay.
pub(super) fn split(text: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match quote {
            None if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ => {}
        }
        word.push(c);
        // Within single quotes nothing escapes.
        if c == escape
            && quote != Some('\'')
            && let Some(next) = chars.next()
        {
            word.push(next);
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

impl Words<'_> {
    /// The text that a word means: without quotes, with variables replaced.
    pub(super) fn expand(&self, word: &str) -> Result<String, String> {
        let mut reader = Reader { words: self, rest: word, out: String::new() };
        reader.until(None)?;
        Ok(reader.out)
    }

    /// Likewise for a here-document: quotes are plain text there.
    pub(super) fn expand_text(&self, text: &str) -> Result<String, String> {
        let mut reader = Reader { words: self, rest: text, out: String::new() };
        while let Some(c) = reader.next() {
            match c {
                '$' => reader.variable()?,
                c if c == self.escape => reader.escaped(&['$', self.escape]),
                c => reader.out.push(c),
            }
        }
        Ok(reader.out)
    }
}

struct Reader<'a, 'w> {
    words: &'a Words<'w>,
    rest: &'a str,
    out: String,
}

impl Reader<'_, '_> {
    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let c = chars.next()?;
        self.rest = chars.as_str();
        Some(c)
    }

    fn take_if(&mut self, wanted: char) -> bool {
        let taken = self.rest.strip_prefix(wanted);
        self.rest = taken.unwrap_or(self.rest);
        taken.is_some()
    }

    /// Reads to the end, or to a closing brace.
    fn until(&mut self, end: Option<char>) -> Result<(), String> {
        while let Some(c) = self.next() {
            match c {
                c if Some(c) == end => return Ok(()),
                '\'' => self.single()?,
                '"' => self.double()?,
                '$' => self.variable()?,
                c if c == self.words.escape => match self.next() {
                    Some(next) => self.out.push(next),
                    // At the end it escapes nothing.
                    None => self.out.push(c),
                },
                c => self.out.push(c),
            }
        }
        match end {
            None => Ok(()),
            Some(end) => Err(format!("`{end}` is missing")),
        }
    }

    fn single(&mut self) -> Result<(), String> {
        let (text, rest) = self.rest.split_once('\'').ok_or("a `'` is not closed")?;
        self.out.push_str(text);
        self.rest = rest;
        Ok(())
    }

    fn double(&mut self) -> Result<(), String> {
        while let Some(c) = self.next() {
            match c {
                '"' => return Ok(()),
                '$' => self.variable()?,
                c if c == self.words.escape => self.escaped(&['"', '$', self.words.escape]),
                c => self.out.push(c),
            }
        }
        Err("a `\"` is not closed".to_owned())
    }

    /// After an escape character where it escapes only some.
    fn escaped(&mut self, special: &[char]) {
        if !self.rest.starts_with(special) {
            self.out.push(self.words.escape);
        }
        if let Some(next) = self.next() {
            self.out.push(next);
        }
    }

    /// A name at the front: letters, digits and `_`, or one special parameter.
    fn name(&mut self) -> String {
        let plain = |c: char| c == '_' || c.is_ascii_alphanumeric();
        let starts_plain = self.rest.starts_with(|c: char| plain(c) && !c.is_ascii_digit());
        let length = match starts_plain {
            true => self.rest.find(|c| !plain(c)).unwrap_or(self.rest.len()),
            false => usize::from(
                self.rest.starts_with(|c: char| c.is_ascii_digit() || "@*#?-$!".contains(c)),
            ),
        };
        let (name, rest) = self.rest.split_at(length);
        self.rest = rest;
        name.to_owned()
    }

    /// After a `$`.
    fn variable(&mut self) -> Result<(), String> {
        if !self.take_if('{') {
            let name = self.name();
            match name.is_empty() {
                true => self.out.push('$'),
                false => self.out.push_str(&(self.words.lookup)(&name).unwrap_or_default()),
            }
            return Ok(());
        }
        let name = self.name();
        if name.is_empty() {
            return Err("`${` is followed by no name".to_owned());
        }
        let value = (self.words.lookup)(&name);
        let value = match self.next().ok_or("`}` is missing")? {
            '}' => value,
            ':' => {
                let kind = self.next().ok_or("`}` is missing")?;
                self.otherwise(&name, value.filter(|value| !value.is_empty()), kind)?
            }
            kind @ ('-' | '+' | '?') => self.otherwise(&name, value, kind)?,
            side @ ('#' | '%') => {
                let greedy = self.take_if(side);
                let pattern = self.word()?;
                value.map(|value| trim(&value, &pattern, side == '#', greedy))
            }
            '/' => {
                let all = self.take_if('/');
                let (pattern, with) = self.replacement()?;
                value.map(|value| replace(&value, &pattern, &with, all))
            }
            other => return Err(format!("`{other}` is no modifier of the variable {name}")),
        };
        self.out.push_str(&value.unwrap_or_default());
        Ok(())
    }

    /// `-`: the word stands for a variable that is not there; `+`: for one that is; `?`: it says why
    /// there is an error.
    fn otherwise(
        &mut self,
        name: &str,
        value: Option<String>,
        kind: char,
    ) -> Result<Option<String>, String> {
        let word = self.word()?;
        match kind {
            '-' => Ok(Some(value.unwrap_or(word))),
            '+' => Ok(value.map(|_| word)),
            '?' if value.is_some() => Ok(value),
            '?' if word.is_empty() => Err(format!("the variable {name} is not set")),
            '?' => Err(format!("{name}: {word}")),
            other => Err(format!("`:{other}` is no modifier of the variable {name}")),
        }
    }

    /// The word up to the closing brace, with what is in it replaced.
    fn word(&mut self) -> Result<String, String> {
        let mut reader = Reader { words: self.words, rest: self.rest, out: String::new() };
        reader.until(Some('}'))?;
        self.rest = reader.rest;
        Ok(reader.out)
    }

    fn replacement(&mut self) -> Result<(String, String), String> {
        let mut reader = Reader { words: self.words, rest: self.rest, out: String::new() };
        reader.until(Some('/'))?;
        self.rest = reader.rest;
        let pattern = reader.out;
        Ok((pattern, self.word()?))
    }
}

/// A shell pattern (`*`, `?`) as an expression; as short as it can be, or as long.
fn expression(pattern: &str, greedy: bool) -> String {
    let mut text = String::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' if greedy => text.push_str(".*"),
            '*' => text.push_str(".*?"),
            '?' => text.push('.'),
            '\\' => text.push_str(&regex::escape(&chars.next().unwrap_or('\\').to_string())),
            c => text.push_str(&regex::escape(&c.to_string())),
        }
    }
    text
}

/// Takes what matches off the front, or off the end.
fn trim(value: &str, pattern: &str, front: bool, greedy: bool) -> String {
    let wanted = expression(pattern, greedy);
    let wanted = if front { format!("(?s)^(?:{wanted})") } else { format!("(?s)^(?:{wanted})$") };
    let matches = Regex::new(&wanted).expect("an escaped pattern is an expression");
    if front {
        return matches.replace(value, "").into_owned();
    }
    // From the end: the shortest or the longest tail that matches as a whole.
    let mut cuts: Vec<usize> =
        value.char_indices().map(|(at, _)| at).chain([value.len()]).collect();
    if !greedy {
        cuts.reverse();
    }
    let cut = cuts.into_iter().find(|&at| matches.is_match(&value[at..]));
    value[..cut.unwrap_or(value.len())].to_owned()
}

fn replace(value: &str, pattern: &str, with: &str, all: bool) -> String {
    let wanted = format!("(?s){}", expression(pattern, true));
    let matches = Regex::new(&wanted).expect("an escaped pattern is an expression");
    let with = regex::NoExpand(with);
    match all {
        true => matches.replace_all(value, with).into_owned(),
        false => matches.replace(value, with).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Words, split};

    fn expand(word: &str) -> Result<String, String> {
        let lookup = |name: &str| match name {
            "A" => Some("one".to_owned()),
            "PATHS" => Some("/a/b/c.tar.gz".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        Words { escape: '\\', lookup: &lookup }.expand(word)
    }

    #[test]
    fn words_are_split_outside_quotes() {
        let words = split(r#"a=1  b="x y" c=d\ e 'f g'h"#, '\\');
        assert_eq!(words, ["a=1", r#"b="x y""#, r"c=d\ e", "'f g'h"]);
        assert_eq!(split("  \t ", '\\'), Vec::<String>::new());
        assert_eq!(split(r"'a\' b", '\\'), [r"'a\'", "b"]);
    }

    #[test]
    fn variables_and_quotes_mean_what_the_reference_says() {
        for (word, meaning) in [
            ("$A", "one"),
            ("${A}x", "onex"),
            ("$Ax$", "$"),
            (r"\$A", "$A"),
            ("'$A'", "$A"),
            (r#""$A b\"c\n""#, r#"one b"c\n"#),
            (r"a\ b", "a b"),
            ("${B:-two}", "two"),
            ("${B-$A}", "one"),
            ("${EMPTY:-x}", "x"),
            ("${EMPTY-x}", ""),
            ("${A:+set}", "set"),
            ("${B+set}", ""),
            ("${EMPTY:+set}", ""),
            ("${A:?no}", "one"),
            ("${PATHS##*/}", "c.tar.gz"),
            ("${PATHS#*/}", "a/b/c.tar.gz"),
            ("${PATHS%.*}", "/a/b/c.tar"),
            ("${PATHS%%.*}", "/a/b/c"),
            ("${PATHS/a/z}", "/z/b/c.tar.gz"),
            ("${PATHS//a/z}", "/z/b/c.tzr.gz"),
            ("${B:-\"q r\"}", "q r"),
        ] {
            assert_eq!(expand(word).as_deref(), Ok(meaning), "{word}");
        }
        for bad in ["'a", "\"a", "${", "${A", "${A!b}", "${B:?}", "${B:?why}", "${A:=x}"] {
            assert!(expand(bad).is_err(), "{bad}");
        }
    }
}
