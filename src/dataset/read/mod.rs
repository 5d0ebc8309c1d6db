//! Rows of any container format, one at a time, with the place each came from.
//!
//! A reader hands every row, and every problem, to a sink, and goes on as long as the format lets
//! it. What it holds in memory is bounded by the largest row it accepts.

mod csv;
mod json;
mod jsonl;
mod parquet;

use super::error::{Place, Problem};
use serde_json::{Map, Value};
use std::path::Path;

/// The largest row accepted, in bytes. The largest rows known of any benchmark have a few MiB.
const MAX_ROW: u64 = 32 << 20;

/// One row, as it was read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    /// Where it stands.
    pub(super) place: Place,
    /// The key it stands under, in a JSON object of rows.
    pub(super) key: Option<String>,
    /// Its fields.
    pub(super) fields: Map<String, Value>,
}

/// Takes rows and problems as they come.
pub(super) type Sink<'a> = dyn FnMut(Result<Row, Problem>) + 'a;

/// A container format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// A JSON object a line.
    JsonLines,
    /// One JSON list, or one JSON object of rows by id.
    Json,
    /// Parquet.
    Parquet,
    /// Comma-separated values with a header.
    Csv,
}

impl Format {
    /// By the end of the file's name.
    pub(super) fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            "json" => Some(Self::Json),
            "parquet" => Some(Self::Parquet),
            "csv" => Some(Self::Csv),
            _ => None,
        }
    }
}

/// Reads every row of a file.
pub(super) fn rows(path: &Path, sink: &mut Sink<'_>) {
    let Some(format) = Format::of(path) else {
        let problem = Problem::new(path, "the format is not known by the end of the file's name");
        return sink(Err(problem.hint("name it .jsonl, .json, .parquet or .csv")));
    };
    if path.is_dir() {
        return sink(Err(Problem::new(path, "is a directory where a file is wanted")));
    }
    let file = match fs_err::File::open(path) {
        Ok(file) => file,
        Err(error) => return sink(Err(unreadable(path, &error))),
    };
    match format {
        Format::JsonLines => jsonl::rows(path, file, MAX_ROW, sink),
        Format::Json => json::rows(path, file, MAX_ROW, sink),
        Format::Parquet => parquet::rows(path, file, sink),
        Format::Csv => csv::rows(path, file, MAX_ROW, sink),
    }
}

/// The system does not let us read the file.
fn unreadable(path: &Path, error: &std::io::Error) -> Problem {
    let what = match error.kind() {
        std::io::ErrorKind::NotFound => "no such file".to_owned(),
        _ => format!("cannot be read: {error}"),
    };
    Problem::new(path, what)
}

/// A row beyond [`MAX_ROW`].
fn too_large(path: &Path, place: Place, cap: u64) -> Problem {
    Problem::new(path, format!("the row is larger than {} MiB", cap >> 20))
        .at(Some(place))
        .hint("no benchmark has rows of this size; the file is damaged, or is not one row a line")
}

/// What a JSON parser says, in our words.
fn malformed(path: &Path, place: Place, error: &serde_json::Error) -> Problem {
    let said = error.to_string();
    // serde_json ends every message with its place; ours stands at the front already.
    let said = said.split(" at line ").next().unwrap_or(&said);
    let problem = if error.is_eof() {
        Problem::new(path, "the text ends in the middle of a row")
            .hint("the file was cut off: copy or download it again")
    } else if said.contains("invalid unicode") {
        Problem::new(path, "the text is not valid UTF-8")
            .hint("convert the file to UTF-8 (for example with `iconv -t UTF-8`)")
    } else if said.contains("hex escape") {
        Problem::new(path, format!("a \\u escape names half a character: {said}"))
            .hint("write the text as UTF-8 with undecodable bytes replaced")
    } else {
        let column = error.column();
        Problem::new(path, format!("not valid JSON: {said} (column {column})"))
            .hint("every row is one JSON object; Python's NaN is no JSON, write null")
    };
    problem.at(Some(place))
}

/// The name of a JSON value's type, with its article.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
