//! JSON among other text.

use crate::grade::text::{lines, strip};
use serde::de::DeserializeOwned;

/// Every document of this shape that begins with a brace at the start of a line; what is no JSON,
/// or has another shape, is passed over.
///
/// Documents nest at most 128 deep, so a place is looked at no more than that often.
pub(in crate::grade::parsers) fn json_documents<T: DeserializeOwned>(text: &str) -> Vec<T> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = next_brace(text, at) {
        let mut stream = serde_json::Deserializer::from_str(&text[start..]).into_iter::<Any<T>>();
        let document = stream.next();
        let length = stream.byte_offset();
        at = match document {
            Some(Ok(document)) => {
                found.extend(document.0);
                start + length.max(1)
            }
            _ => start + 1,
        };
    }
    found
}

/// Every line that is a document of this shape.
pub(in crate::grade::parsers) fn json_lines<T: DeserializeOwned>(
    text: &str,
) -> impl Iterator<Item = T> {
    let objects = lines(text).map(strip).filter(|line| line.starts_with('{'));
    objects.filter_map(|line| serde_json::from_str(line).ok())
}

/// The first brace at or behind a place that only white space separates from its line's start.
fn next_brace(text: &str, from: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = from;
    while at < bytes.len() {
        let line_start = at == 0 || bytes[at - 1] == b'\n';
        if line_start {
            let blanks = bytes[at..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
            at += blanks;
            if bytes.get(at) == Some(&b'{') {
                return Some(at);
            }
        }
        at += memchr::memchr(b'\n', &bytes[at.min(bytes.len())..])? + 1;
    }
    None
}

/// A JSON value that may have the shape.
struct Any<T>(Option<T>);

impl<'de, T: DeserializeOwned> serde::Deserialize<'de> for Any<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The value is read whole first, so that one of another shape is passed over as a whole.
        let value = serde_json::Value::deserialize(deserializer)?;
        Ok(Self(serde_json::from_value(value).ok()))
    }
}
