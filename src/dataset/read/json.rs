//! One JSON list of rows, or one JSON object of rows by id; read row by row, so that a file of any
//! size needs the memory of its largest row.

use super::{Place, Problem, Row, Sink, kind, malformed, too_large};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::cell::Cell;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::rc::Rc;

/// Text of the error that ends the reading of a row beyond the limit.
const TOO_LARGE: &str = "row too large";

/// Where the reading stands.
#[derive(Debug)]
struct Progress {
    line: Cell<u64>,
    left: Cell<u64>,
    cap: u64,
}

impl Progress {
    fn place(&self) -> Place {
        Place::Line(self.line.get())
    }
}

/// A reader that counts lines and ends with an error where a row is too large.
struct Limited<R> {
    input: BufReader<R>,
    progress: Rc<Progress>,
}

impl<R: Read> Read for Limited<R> {
    // The JSON parser reads byte by byte, so lines and bytes are counted as they are parsed.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        let left = self.progress.left.get();
        if count as u64 > left {
            return Err(io::Error::other(TOO_LARGE));
        }
        self.progress.left.set(left - count as u64);
        let lines = memchr::memchr_iter(b'\n', &buffer[..count]).count() as u64;
        self.progress.line.set(self.progress.line.get() + lines);
        Ok(count)
    }
}

/// Reads the list or object, of rows of at most `cap` bytes each.
pub(super) fn rows(path: &Path, input: impl Read, cap: u64, sink: &mut Sink<'_>) {
    let progress = Rc::new(Progress { line: Cell::new(1), left: Cell::new(cap), cap });
    let mut input = BufReader::with_capacity(1 << 16, input);
    if input.fill_buf().is_ok_and(|start| start.starts_with(b"\xEF\xBB\xBF")) {
        input.consume(3);
    }
    let limited = Limited { input, progress: progress.clone() };
    let mut parser = serde_json::Deserializer::from_reader(limited);
    let mut seen = 0;
    let top = Top { path, progress: &progress, sink, seen: &mut seen };
    let read = parser.deserialize_any(top).and_then(|()| {
        progress.left.set(cap);
        parser.end()
    });
    let Err(error) = read else { return };
    let place = progress.place();
    if error.is_io() && error.to_string().contains(TOO_LARGE) {
        return sink(Err(too_large(path, place, cap)));
    }
    if error.is_io() {
        return sink(Err(Problem::new(path, format!("cannot be read: {error}")).at(Some(place))));
    }
    let problem = malformed(path, Place::Line((error.line() as u64).max(1)), &error);
    if error.is_syntax() && error.to_string().starts_with("trailing characters") && seen > 0 {
        return sink(Err(problem.hint("if the file holds one object a line, rename it to .jsonl")));
    }
    sink(Err(problem));
}

/// The list or object that is the file.
struct Top<'a, 'b> {
    path: &'a Path,
    progress: &'a Progress,
    sink: &'a mut Sink<'b>,
    seen: &'a mut u64,
}

impl Top<'_, '_> {
    fn give(&mut self, key: Option<String>, element: Element) {
        *self.seen += 1;
        (self.sink)(match element {
            Element::Row(place, fields) => Ok(Row { place, key, fields }),
            Element::Other(kind) => {
                let what = match key {
                    Some(key) => format!("the value of `{key}` is {kind}, not an object"),
                    None => format!("item {} of the list is {kind}, not an object", self.seen),
                };
                Err(Problem::new(self.path, what).at(Some(self.progress.place())))
            }
        });
        self.progress.left.set(self.progress.cap);
    }
}

impl<'de> Visitor<'de> for Top<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of rows, or an object of rows by id")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        while let Some(element) = list.next_element_seed(ElementSeed(self.progress))? {
            self.give(None, element);
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let start = self.progress.place();
        // An object that is a row itself, rather than one that holds rows.
        let mut own = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if own.is_empty()
                && !matches!(
                    key.as_str(),
                    "instance_id" | "model_name_or_path" | "model_patch" | "repo"
                )
            {
                let element = map.next_value_seed(ElementSeed(self.progress))?;
                self.give(Some(key), element);
            } else {
                own.insert(key, map.next_value::<Value>()?);
            }
        }
        if !own.is_empty() {
            self.give(None, Element::Row(start, own));
        }
        Ok(())
    }
}

/// What stands where a row is wanted.
enum Element {
    Row(Place, Map<String, Value>),
    Other(&'static str),
}

struct ElementSeed<'a>(&'a Progress);

impl<'de> DeserializeSeed<'de> for ElementSeed<'_> {
    type Value = Element;

    fn deserialize<D: Deserializer<'de>>(self, parser: D) -> Result<Element, D::Error> {
        parser.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ElementSeed<'_> {
    type Value = Element;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Element, A::Error> {
        // The opening brace was just read: this is the row's line.
        let place = self.0.place();
        let mut fields = Map::new();
        while let Some((key, value)) = map.next_entry::<String, Value>()? {
            fields.insert(key, value);
        }
        Ok(Element::Row(place, fields))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Element, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Element::Other(kind(&Value::Array(Vec::new()))))
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<Element, E> {
        Ok(Element::Other("text"))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Element, E> {
        Ok(Element::Other("null"))
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<Element, E> {
        Ok(Element::Other("a boolean"))
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<Element, E> {
        Ok(Element::Other("a number"))
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<Element, E> {
        Ok(Element::Other("a number"))
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Element, E> {
        Ok(Element::Other("a number"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::MAX_ROW;
    use super::*;

    fn read(text: &str, cap: u64) -> Vec<Result<Row, Problem>> {
        let mut all = Vec::new();
        rows(Path::new("f.json"), text.as_bytes(), cap, &mut |row| all.push(row));
        all
    }

    #[test]
    fn a_list_and_an_object_by_id_give_rows_with_their_lines() {
        let all = read("[\n  {\"a\": 1},\n  7,\n  {\n \"a\": 2}\n]\n", MAX_ROW);
        assert_eq!(all.len(), 3);
        assert_eq!(all[0].as_ref().unwrap().place, Place::Line(2));
        assert!(all[1].as_ref().unwrap_err().what.contains("item 2 of the list is a number"));
        assert_eq!(all[2].as_ref().unwrap().place, Place::Line(4));
        let all = read("{\"x\": {\"a\": 1},\n \"y\": {\"a\": 2}}", MAX_ROW);
        assert_eq!(all[1].as_ref().unwrap().key.as_deref(), Some("y"));
        assert_eq!(all[1].as_ref().unwrap().place, Place::Line(2));
        let all = read("{\"instance_id\": \"x\", \"model_patch\": null}", MAX_ROW);
        assert_eq!(all[0].as_ref().unwrap().key, None);
        assert_eq!(all[0].as_ref().unwrap().fields.len(), 2);
    }

    #[test]
    fn damage_is_named_and_what_came_before_is_kept() {
        let all = read("[{\"a\": 1},\n{\"a\": \"cu", MAX_ROW);
        assert!(all[0].is_ok());
        let said = all[1].as_ref().unwrap_err().to_string();
        assert!(said.contains("f.json:2: the text ends in the middle of a row"), "{said}");
        let all = read("{\"instance_id\": \"a\"}\n{\"instance_id\": \"b\"}\n", MAX_ROW);
        let said = all[1].as_ref().unwrap_err().to_string();
        assert!(said.contains("rename it to .jsonl"), "{said}");
        let all = read("\"text\"", MAX_ROW);
        assert!(all[0].as_ref().unwrap_err().what.contains("expected a list of rows"));
        let all = read(&format!("[{{\"a\": 1}}, {{\"a\": \"{}\"}}]", "x".repeat(3000)), 2000);
        assert!(all[0].is_ok());
        assert!(all[1].as_ref().unwrap_err().what.contains("larger than"));
    }
}
