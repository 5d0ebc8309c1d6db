//! Comma-separated values with a header line; every cell is text.

use super::{Place, Problem, Row, Sink, too_large};
use csv::{ByteRecord, ReaderBuilder};
use serde_json::{Map, Value};
use std::cell::Cell;
use std::io::{self, Read};
use std::path::Path;
use std::rc::Rc;

/// Text of the error that ends the reading of a row beyond the limit.
const TOO_LARGE: &str = "row too large";

/// A reader that ends with an error where a row is too large.
struct Limited<R> {
    input: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left.get();
        if left == 0 {
            return Err(io::Error::other(TOO_LARGE));
        }
        let count = self.input.read(buffer)?;
        self.left.set(left.saturating_sub(count as u64));
        Ok(count)
    }
}

/// Reads every record, of at most `cap` bytes each.
pub(super) fn rows(path: &Path, input: impl Read, cap: u64, sink: &mut Sink<'_>) {
    let left = Rc::new(Cell::new(cap));
    let limited = Limited { input, left: left.clone() };
    let mut reader = ReaderBuilder::new().flexible(true).from_reader(limited);
    let names: Vec<String> = match reader.headers() {
        Ok(header) => {
            header.iter().map(|name| name.trim_start_matches('\u{feff}').to_owned()).collect()
        }
        Err(error) => return sink(Err(failed(path, Place::Line(1), cap, &error))),
    };
    let mut record = ByteRecord::new();
    loop {
        left.set(cap);
        let start = Place::Line(reader.position().line());
        match reader.read_byte_record(&mut record) {
            Ok(false) => return,
            Ok(true) => {
                let place = record.position().map_or(start, |at| Place::Line(at.line()));
                sink(row(path, place, &names, &record));
            }
            Err(error) => return sink(Err(failed(path, start, cap, &error))),
        }
    }
}

fn row(path: &Path, place: Place, names: &[String], record: &ByteRecord) -> Result<Row, Problem> {
    if record.len() != names.len() {
        let what = format!("{} cells where the header names {}", record.len(), names.len());
        return Err(Problem::new(path, what)
            .at(Some(place))
            .hint("a cell with commas, quotes or line ends stands in double quotes; a quote inside it is doubled; the file may be cut off"));
    }
    let mut fields = Map::new();
    for (name, cell) in names.iter().zip(record) {
        let text = std::str::from_utf8(cell).map_err(|_| {
            Problem::new(path, "the text is not valid UTF-8")
                .at(Some(place))
                .field(name.as_str())
                .hint("convert the file to UTF-8 (for example with `iconv -t UTF-8`)")
        })?;
        fields.insert(name.clone(), Value::String(text.to_owned()));
    }
    Ok(Row { place, key: None, fields })
}

fn failed(path: &Path, place: Place, cap: u64, error: &csv::Error) -> Problem {
    match error.kind() {
        csv::ErrorKind::Io(error) if error.to_string().contains(TOO_LARGE) => {
            too_large(path, place, cap)
        }
        csv::ErrorKind::Utf8 { .. } => Problem::new(path, "the text is not valid UTF-8")
            .at(Some(place))
            .hint("convert the file to UTF-8 (for example with `iconv -t UTF-8`)"),
        _ => Problem::new(path, format!("cannot be read: {error}")).at(Some(place)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_their_lines_and_bad_ones_do_not_hide_the_others() {
        let text = b"a,b\n1,\"x\ny\"\n2\n\xff,3\n4,5\n";
        let mut all = Vec::new();
        rows(Path::new("f.csv"), &text[..], 1 << 20, &mut |row| all.push(row));
        assert_eq!(all.len(), 4);
        assert_eq!(all[0].as_ref().unwrap().fields["b"], "x\ny");
        assert_eq!(all[0].as_ref().unwrap().place, Place::Line(2));
        assert_eq!(all[1].as_ref().unwrap_err().place, Some(Place::Line(4)));
        assert_eq!(all[2].as_ref().unwrap_err().field.as_deref(), Some("a"));
        assert_eq!(all[3].as_ref().unwrap().place, Place::Line(6));
    }

    #[test]
    fn a_quote_that_never_ends_does_not_fill_the_memory() {
        let text = b"a,b\n1,\"".chain(io::repeat(b'x').take(200 << 20));
        let mut all = Vec::new();
        rows(Path::new("f.csv"), text, 1 << 20, &mut |row| all.push(row));
        assert_eq!(all.len(), 1);
        let said = all[0].as_ref().unwrap_err().to_string();
        assert!(said.contains("f.csv:2: the row is larger than 1 MiB"), "{said}");
    }
}
