//! Text of others made harmless: names, reasons and logs come from models and from programs under
//! test, and nothing in them may drive a terminal or mislead a reader.

/// One line: control characters, and those that turn the direction of writing, become U+FFFD.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if is_harmful(c) { '\u{fffd}' } else { c }).collect()
}

/// The same of a text of several lines: line feeds and tabs stay, and what a terminal would take for
/// colours and titles goes.
#[must_use]
pub fn printable_text(text: &str) -> String {
    let text = without_escapes(text);
    text.chars()
        .map(|c| if is_harmful(c) && c != '\n' && c != '\t' { '\u{fffd}' } else { c })
        .collect()
}

/// Control characters of both sets, and the marks that override the direction of text.
fn is_harmful(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Without the escape sequences of terminals; a lone escape character stays.
fn without_escapes(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\u{1b}') {
        kept.push_str(&rest[..at]);
        let length = sequence(&rest[at..]);
        if length == 1 {
            kept.push('\u{1b}');
        }
        rest = &rest[at + length..];
    }
    kept.push_str(rest);
    kept
}

/// The length of the sequence that a text begins with: 1 if it is none.
fn sequence(text: &str) -> usize {
    let bytes = text.as_bytes();
    match bytes.get(1) {
        Some(b'[') => {
            let parameters = bytes[2..].iter().take_while(|b| (0x20..=0x3f).contains(*b)).count();
            let end = 2 + parameters;
            if bytes.get(end).is_some_and(|b| (0x40..=0x7e).contains(b)) { end + 1 } else { 1 }
        }
        // A title or a link goes up to its terminator, on the same line.
        Some(b']' | b'P' | b'X' | b'^' | b'_') => {
            let line = text.find('\n').unwrap_or(text.len());
            let bell = text[..line].find('\u{7}').map(|at| at + 1);
            let string = text[2..line].find("\u{1b}\\").map(|at| at + 4);
            [bell, string].into_iter().flatten().min().unwrap_or(1)
        }
        Some(0x40..=0x5a | b'\\') => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_drives_a_terminal() {
        assert_eq!(
            printable("a\u{1b}[2Jb\n\u{9b}c\u{202e}d é"),
            "a\u{fffd}[2Jb\u{fffd}\u{fffd}c\u{fffd}d é"
        );
        let log = "\u{1b}[1;31mred\u{1b}[0m\tx\n\u{1b}]0;title\u{7}after\u{1b}]8;;http://x\u{1b}\\link\r\u{1b}";
        assert_eq!(printable_text(log), "red\tx\nafterlink\u{fffd}\u{fffd}");
        assert_eq!(
            printable_text("\u{1b}]no end\nnext\u{1b}[12"),
            "\u{fffd}]no end\nnext\u{fffd}[12"
        );
        assert_eq!(printable_text("\u{1b}Mup é"), "up é");
    }
}
