//! JSON text as Python's `json.dumps(…, indent=4)` writes it: readers of the incumbent's files
//! compare them byte for byte.

use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter};
use std::io;

/// The text, without a line feed at its end.
pub(crate) fn to_text<T: Serialize>(value: &T) -> String {
    let mut text = Vec::new();
    let formatter = Python(PrettyFormatter::with_indent(b"    "));
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
    value.serialize(&mut serializer).expect("reports always have a JSON form");
    String::from_utf8(text).expect("the formatter writes ASCII")
}

/// Four spaces, and everything beyond ASCII escaped.
struct Python(PrettyFormatter<'static>);

impl Formatter for Python {
    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }
    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }
    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }
    fn end_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }
    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }
    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }
    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }
    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }
    fn end_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }

    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        for piece in fragment.split_inclusive(|c: char| !c.is_ascii() || c == '\u{7f}') {
            let last = piece.chars().next_back().filter(|c| !c.is_ascii());
            let plain = last.map_or(piece, |c| &piece[..piece.len() - c.len_utf8()]);
            writer.write_all(plain.as_bytes())?;
            for unit in last.map(|c| c.encode_utf16(&mut [0; 2]).to_vec()).unwrap_or_default() {
                write!(writer, "\\u{unit:04x}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::to_text;

    #[test]
    fn the_text_is_what_python_writes() {
        let value =
            serde_json::json!({"a": [], "b": {}, "c": ["é", "\u{1F600}\u{7f}", "\n\"\\"], "d": 1});
        let text = "{\n    \"a\": [],\n    \"b\": {},\n    \"c\": [\n        \"\\u00e9\",\n        \"\\ud83d\\ude00\u{7f}\",\n        \"\\n\\\"\\\\\"\n    ],\n    \"d\": 1\n}";
        assert_eq!(to_text(&value), text);
    }
}
