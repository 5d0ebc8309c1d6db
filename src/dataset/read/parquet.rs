//! Parquet, by the record reader: text, numbers, lists and structs.

use super::{Place, Problem, Row, Sink};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field;
use serde_json::{Map, Value};
use std::path::Path;

/// Reads every row.
pub(super) fn rows(path: &Path, file: fs_err::File, sink: &mut Sink<'_>) {
    let damaged = |error: &parquet::errors::ParquetError| {
        Problem::new(path, format!("not a whole Parquet file: {error}"))
            .hint("the file was cut off or damaged: copy or download it again")
    };
    let reader = match SerializedFileReader::new(file.into_file()) {
        Ok(reader) => reader,
        Err(error) => return sink(Err(damaged(&error))),
    };
    let iter = match reader.get_row_iter(None) {
        Ok(iter) => iter,
        Err(error) => return sink(Err(damaged(&error))),
    };
    for (index, row) in iter.enumerate() {
        let place = Place::Row(index as u64 + 1);
        match row {
            Ok(row) => {
                let fields = object(row.into_columns());
                sink(Ok(Row { place, key: None, fields }));
            }
            Err(error) => return sink(Err(damaged(&error).at(Some(place)))),
        }
    }
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
