//! Text as the incumbent's language sees it: white space, lines, decoding.

use std::borrow::Cow;

/// White space as Python's `str.isspace` has it: Unicode's, and the four separators U+001C–U+001F.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Without white space at both ends.
pub(super) fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// The words between white space.
pub(super) fn words(text: &str) -> impl DoubleEndedIterator<Item = &str> {
    text.split(is_space).filter(|word| !word.is_empty())
}

/// The text of a log: bytes that are no UTF-8 become U+FFFD; `\r\n` and a lone `\r` end a line.
#[must_use]
pub fn decode(log: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(log);
    if memchr::memchr(b'\r', text.as_bytes()).is_none() {
        return text;
    }
    let mut clean = String::with_capacity(text.len());
    let mut rest = text.as_ref();
    while let Some(at) = memchr::memchr(b'\r', rest.as_bytes()) {
        clean.push_str(&rest[..at]);
        clean.push('\n');
        rest = &rest[at + 1..];
        rest = rest.strip_prefix('\n').unwrap_or(rest);
    }
    clean.push_str(rest);
    Cow::Owned(clean)
}

/// The lines of a text, cut at `\n` alone.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(at) = memchr::memchr(b'\n', text.as_bytes()) else { return rest.take() };
        rest = Some(&text[at + 1..]);
        Some(&text[..at])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_space_are_those_of_the_incumbent() {
        assert_eq!(decode(b"a\r\nb\rc\n\xff\r"), "a\nb\nc\n\u{fffd}\n");
        assert_eq!(lines("a\n\nb").collect::<Vec<_>>(), ["a", "", "b"]);
        assert_eq!(lines("").collect::<Vec<_>>(), [""]);
        assert_eq!(
            words("\u{a0}a\u{1c}b\u{85} c\u{200b}").collect::<Vec<_>>(),
            ["a", "b", "c\u{200b}"]
        );
        assert_eq!(strip("\u{1f}\u{3000}x y\t"), "x y");
    }
}
