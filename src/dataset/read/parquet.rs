//! Parquet, by the record reader: text, numbers, lists and structs.

use super::{Place, Problem, Row, Sink};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field;
use parquet::schema::types::Type;
use serde_json::{Map, Value};
use std::path::Path;

/// How much of what the library says is shown: it may quote a whole cell.
const SAID: usize = 200;

/// Reads every row.
pub(super) fn rows(path: &Path, file: fs_err::File, sink: &mut Sink<'_>) {
    let reader = match SerializedFileReader::new(file.into_file()) {
        Ok(reader) => reader,
        Err(error) => return sink(Err(damaged(path, &error))),
    };
    let iter = match reader.get_row_iter(None) {
        Ok(iter) => iter,
        Err(error) => return sink(Err(damaged(path, &error))),
    };
    for (index, row) in iter.enumerate() {
        let place = Place::Row(index as u64 + 1);
        match row {
            Ok(row) => {
                let fields = object(row.into_columns());
                sink(Ok(Row { place, key: None, fields }));
            }
            Err(error) => {
                let problem = match bad_text(&reader, index, &error) {
                    Some(field) => Problem::new(path, "the text is not valid UTF-8")
                        .field(field)
                        .hint("write the file again with the text as UTF-8"),
                    None => damaged(path, &error),
                };
                return sink(Err(problem.at(Some(place))));
            }
        }
    }
}

fn damaged(path: &Path, error: &ParquetError) -> Problem {
    let said: String = error.to_string().chars().take(SAID).collect();
    Problem::new(path, format!("not a whole Parquet file: {said}"))
        .hint("the file was cut off or damaged: copy or download it again")
}

/// The column whose text in this row is no text, if that is what the error is about: the library
/// does not name it, so the columns are read one by one.
fn bad_text(
    reader: &SerializedFileReader<std::fs::File>,
    index: usize,
    error: &ParquetError,
) -> Option<String> {
    if !error.to_string().contains("as String") {
        return None;
    }
    let schema = reader.metadata().file_metadata().schema();
    let bad = schema.get_fields().iter().find(|field| {
        let one = Type::group_type_builder(schema.name()).with_fields(vec![(*field).clone()]);
        let rows = one.build().and_then(|one| reader.get_row_iter(Some(one)));
        rows.is_ok_and(|mut rows| rows.nth(index).is_some_and(|row| row.is_err()))
    })?;
    Some(bad.name().to_owned())
}

fn object(columns: Vec<(String, Field)>) -> Map<String, Value> {
    columns.into_iter().map(|(name, field)| (name, value(field))).collect()
}

fn value(field: Field) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Bool(bool) => bool.into(),
        Field::Byte(number) => number.into(),
        Field::Short(number) => number.into(),
        Field::Int(number) => number.into(),
        Field::Long(number) => number.into(),
        Field::UByte(number) => number.into(),
        Field::UShort(number) => number.into(),
        Field::UInt(number) => number.into(),
        Field::ULong(number) => number.into(),
        Field::Float(number) => number.into(),
        Field::Double(number) => number.into(),
        Field::Str(text) => text.into(),
        // Writers that do not mark text as text leave plain bytes.
        Field::Bytes(bytes) => match std::str::from_utf8(bytes.data()) {
            Ok(text) => text.into(),
            Err(_) => Value::Array(bytes.data().iter().map(|&byte| byte.into()).collect()),
        },
        Field::Group(row) => Value::Object(object(row.into_columns())),
        Field::ListInternal(list) => {
            Value::Array(list.elements().iter().cloned().map(value).collect())
        }
        Field::MapInternal(map) => Value::Object(
            map.entries()
                .iter()
                .map(|(key, field)| match key {
                    Field::Str(key) => (key.clone(), value(field.clone())),
                    other => (other.to_string(), value(field.clone())),
                })
                .collect(),
        ),
        // Dates, times and decimals: no field we read is one; they keep their printed form.
        other => other.to_string().into(),
    }
}
