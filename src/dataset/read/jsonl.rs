//! JSON lines: one object a line, cut at `\n` alone.
//!
//! Other characters that some languages take for line ends (U+2028, U+0085, …) may stand inside a
//! row.

use super::{Place, Problem, Row, Sink, kind, malformed, too_large};
use serde_json::Value;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// What [`read_line`] found.
enum Line {
    /// Nothing more.
    End,
    /// A line is in the buffer.
    Whole,
    /// A line longer than the limit; it was read past and not kept.
    TooLong,
}

/// Reads every line of `input`, of at most `cap` bytes each.
pub(super) fn rows(path: &Path, input: impl Read, cap: u64, sink: &mut Sink<'_>) {
    let mut input = BufReader::with_capacity(1 << 16, input);
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        number += 1;
        let place = Place::Line(number);
        match read_line(&mut input, &mut line, cap) {
            Ok(Line::End) => return,
            Ok(Line::TooLong) => sink(Err(too_large(path, place, cap))),
            Ok(Line::Whole) => {
                let mut text = line.as_slice();
                if number == 1 {
                    text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
                }
                if !text.trim_ascii().is_empty() {
                    sink(parse(path, place, text));
                }
            }
            Err(error) => {
                let what = format!("cannot be read: {error}");
                return sink(Err(Problem::new(path, what).at(Some(place))));
            }
        }
    }
}

fn parse(path: &Path, place: Place, text: &[u8]) -> Result<Row, Problem> {
    if let Err(error) = std::str::from_utf8(text) {
        let what =
            format!("the text is not valid UTF-8 (byte {} of the line)", error.valid_up_to() + 1);
        return Err(Problem::new(path, what)
            .at(Some(place))
            .hint("convert the file to UTF-8 (for example with `iconv -t UTF-8`)"));
    }
    match serde_json::from_slice(text) {
        Ok(Value::Object(fields)) => Ok(Row { place, key: None, fields }),
        Ok(other) => {
            Err(Problem::new(path, format!("the line is {}, not an object", kind(&other)))
                .at(Some(place))
                .hint("a .jsonl file holds one JSON object a line; a list of them is a .json file"))
        }
        Err(error) if error.is_eof() && matches!(text.trim_ascii(), b"[" | b"{") => {
            Err(Problem::new(path, "one JSON value over many lines, not one object a line")
                .at(Some(place))
                .hint("rename the file to .json"))
        }
        Err(error) => Err(malformed(path, place, &error)),
    }
}

/// Reads up to the next `\n` into `line`, without it.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>, cap: u64) -> io::Result<Line> {
    line.clear();
    let mut length: u64 = 0;
    loop {
        let chunk = input.fill_buf()?;
        if chunk.is_empty() {
            return Ok(match length {
                0 => Line::End,
                _ if length > cap => Line::TooLong,
                _ => Line::Whole,
            });
        }
        let end = memchr::memchr(b'\n', chunk);
        let taken = end.unwrap_or(chunk.len());
        length += taken as u64;
        if length <= cap {
            line.extend_from_slice(&chunk[..taken]);
        } else {
            // Not kept: a line without an end must not fill the memory.
            *line = Vec::new();
        }
        input.consume(taken + usize::from(end.is_some()));
        if end.is_some() {
            return Ok(if length > cap { Line::TooLong } else { Line::Whole });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8], cap: u64) -> Vec<Result<Row, Problem>> {
        let mut all = Vec::new();
        rows(Path::new("f.jsonl"), text, cap, &mut |row| all.push(row));
        all
    }

    #[test]
    fn cuts_at_newlines_only_and_goes_on_after_bad_lines() {
        let text = "\u{feff}{\"a\":\"x\u{2028}y\u{85}z\"}\r\n\n  \nnonsense\n[1]\n{\"a\":1}";
        let all = read(text.as_bytes(), 1000);
        assert_eq!(all.len(), 4);
        assert_eq!(all[0].as_ref().unwrap().fields["a"], "x\u{2028}y\u{85}z");
        assert_eq!(all[1].as_ref().unwrap_err().place, Some(Place::Line(4)));
        assert!(all[2].as_ref().unwrap_err().what.contains("a list"));
        assert_eq!(all[3].as_ref().unwrap().place, Place::Line(6));
    }

    #[test]
    fn a_line_beyond_the_limit_is_skipped_not_kept() {
        let long = io::repeat(b'x').take(200 << 20).chain(&b"\n{\"a\":1}\n"[..]);
        let mut all = Vec::new();
        rows(Path::new("f.jsonl"), long, 1 << 20, &mut |row| all.push(row));
        assert_eq!(all.len(), 2);
        assert!(all[0].as_ref().unwrap_err().what.contains("larger than 1 MiB"));
        assert_eq!(all[1].as_ref().unwrap().place, Place::Line(2));
    }

    #[test]
    fn damage_is_named_for_what_it_is() {
        let all =
            read(b"{\"a\": \"\xff\"}\n{\"a\": NaN}\n{\"a\": \"\\ud800\"}\n{\"a\": \"cut", 1000);
        let said: Vec<_> = all.into_iter().map(|row| row.unwrap_err().to_string()).collect();
        assert!(said[0].contains("f.jsonl:1: the text is not valid UTF-8 (byte 8"), "{said:?}");
        assert!(said[1].contains("f.jsonl:2: not valid JSON"), "{said:?}");
        assert!(said[2].contains("f.jsonl:3: a \\u escape names half a character"), "{said:?}");
        assert!(said[3].contains("f.jsonl:4: the text ends in the middle of a row"), "{said:?}");
        assert!(said.iter().all(|text| text.contains("hint: ")));
    }
}
