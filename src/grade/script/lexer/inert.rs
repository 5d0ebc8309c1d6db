//! What the shell does not read as commands: quotes, arithmetic, here-documents.

use super::Lexer;

/// A here-document whose body is still to come.
pub(super) struct HereDocument {
    delimiter: String,
    strip_tabs: bool,
}

impl Lexer<'_> {
    pub(super) fn in_arithmetic(&mut self) -> Option<()> {
        match (self.peek(0), self.peek(1)) {
            (b')', b')') => {
                self.frames.pop();
                self.at += 2;
            }
            (b'(', _) => self.close_inner_parentheses()?,
            (b'"' | b'\'', _) => return None,
            _ if self.expansion() => {}
            _ => self.advance(),
        }
        Some(())
    }

    /// Skips `( … )` inside arithmetic.
    fn close_inner_parentheses(&mut self) -> Option<()> {
        let mut depth = 0;
        loop {
            match self.bytes.get(self.at)? {
                b'(' => depth += 1,
                b')' => depth -= 1,
                b'\n' | b'\'' | b'"' => return None,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }

    /// Reads `'…'`, or the `'…'` of `$'…'`, in which a backslash escapes.
    pub(super) fn single_quotes(&mut self, escapes: bool) -> Option<()> {
        self.begin_word();
        self.quoted = true;
        self.at += 1;
        loop {
            match *self.bytes.get(self.at)? {
                b'\'' => break,
                b'\\' if escapes => self.at += 1,
                _ => {}
            }
            // A line that begins in quotes is no command; the open word says so.
            self.advance();
        }
        self.at += 1;
        Some(())
    }

    /// Reads the delimiter of a here-document whose body begins at the next line.
    pub(super) fn here_document(&mut self) -> Option<()> {
        let strip_tabs = self.peek(0) == b'-';
        self.at += usize::from(strip_tabs);
        while matches!(self.peek(0), b' ' | b'\t') {
            self.at += 1;
        }
        let mut delimiter = Vec::new();
        loop {
            match self.peek(0) {
                quote @ (b'\'' | b'"') => {
                    let body = &self.bytes[self.at + 1..];
                    let length = memchr::memchr(quote, body)?;
                    delimiter.extend_from_slice(&body[..length]);
                    self.at += length + 2;
                }
                b'\\' => {
                    delimiter.push(self.peek(1));
                    self.at += 2;
                }
                0 | b' ' | b'\t' | b'\n' | b';' | b'&' | b'|' | b'<' | b'>' | b'(' | b')' => break,
                byte => {
                    delimiter.push(byte);
                    self.at += 1;
                }
            }
        }
        if delimiter.is_empty() {
            return None;
        }
        self.pending
            .push(HereDocument { delimiter: String::from_utf8(delimiter).ok()?, strip_tabs });
        Some(())
    }

    /// Skips a here-document; the shell takes the end of the file for its end as well.
    pub(super) fn skip_body(&mut self, document: &HereDocument) {
        while self.at < self.bytes.len() {
            let rest = &self.script[self.at..];
            let (line, length) = match rest.find('\n') {
                Some(end) => (&rest[..end], end + 1),
                None => (rest, rest.len()),
            };
            self.at += length;
            let line = if document.strip_tabs { line.trim_start_matches('\t') } else { line };
            if line == document.delimiter {
                return;
            }
        }
    }
}
