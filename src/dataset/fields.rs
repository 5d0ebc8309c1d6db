//! The fields of a row, taken out one by one by type; what is missing or of another type is
//! noted, and the reading goes on.

use super::error::{Problem, Problems};
use super::read::{Row, kind};
use serde_json::Value;
use std::path::Path;

/// A row whose fields are being taken.
pub(super) struct Fields<'a> {
    path: &'a Path,
    row: Row,
    id: Option<String>,
    problems: &'a mut Problems,
    found: usize,
}

impl<'a> Fields<'a> {
    /// Begins with a row of this file; problems go to `problems`.
    pub(super) fn new(path: &'a Path, row: Row, problems: &'a mut Problems) -> Self {
        let id = row.fields.get("instance_id").and_then(Value::as_str).map(short);
        Self { path, row, id, problems, found: 0 }
    }

    /// Whether nothing is wrong so far.
    pub(super) fn good(&self) -> bool {
        self.found == 0
    }

    /// The key the row stands under, in a JSON object of rows.
    pub(super) fn key(&self) -> Option<&str> {
        self.row.key.as_deref()
    }

    /// The file.
    pub(super) fn path(&self) -> &'a Path {
        self.path
    }

    /// Where the row stands in the file.
    pub(super) fn place(&self) -> super::Place {
        self.row.place
    }

    /// Notes a problem.
    pub(super) fn wrong(&mut self, field: &str, what: impl Into<String>, hint: impl Into<String>) {
        let mut problem = Problem::new(self.path, what).at(Some(self.row.place)).field(field);
        problem.id = self.id.as_deref().map(Into::into);
        let hint = hint.into();
        if !hint.is_empty() {
            problem = problem.hint(hint);
        }
        self.found += 1;
        self.problems.push(problem);
    }

    /// What has not been taken.
    pub(super) fn rest(self) -> serde_json::Map<String, Value> {
        self.row.fields
    }

    /// Text that stays where it is; what is no text is looked at by whoever takes it.
    pub(super) fn peek(&self, name: &str) -> Option<String> {
        self.row.fields.get(name).and_then(Value::as_str).map(str::to_owned)
    }

    /// Takes a field whatever it holds; null is as good as absent.
    pub(super) fn value(&mut self, name: &str) -> Option<Value> {
        self.row.fields.swap_remove(name).filter(|value| !value.is_null())
    }

    /// Whether the row has the field, null included.
    pub(super) fn has(&self, name: &str) -> bool {
        self.row.fields.contains_key(name)
    }

    /// Takes text that may be absent.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        match self.value(name)? {
            Value::String(text) => Some(text),
            other => {
                let hint = match other {
                    Value::Number(_) => "put it in quotes",
                    _ => "",
                };
                self.wrong(name, format!("{} where text is wanted", kind(&other)), hint);
                None
            }
        }
    }

    /// Takes text that may be absent; the empty text is as good as absent, because tables fill
    /// what a row does not have with it.
    pub(super) fn filled(&mut self, name: &str) -> Option<String> {
        self.text(name).filter(|text| !text.is_empty())
    }

    /// Takes text that must be there and not empty.
    pub(super) fn required(&mut self, name: &str, hint: &str) -> Option<String> {
        let before = self.found;
        let there = self.has(name);
        let text = self.text(name);
        if self.found > before {
            return None;
        }
        match text {
            Some(text) if text.is_empty() => self.wrong(name, "empty", hint),
            Some(text) => return Some(text),
            None if there => self.wrong(name, "null", hint),
            None => self.wrong(name, "missing", hint),
        }
        None
    }

    /// Takes a list of texts, written as a list or as the JSON text of one.
    pub(super) fn list(&mut self, name: &str) -> Option<Vec<String>> {
        let hint = "write a list of test names, or its JSON text; `[]` if there are none";
        let value = match self.value(name) {
            Some(Value::String(text)) => match serde_json::from_str(&text) {
                Ok(value @ Value::Array(_)) => value,
                _ if text.is_empty() => {
                    self.wrong(name, "missing", hint);
                    return None;
                }
                Ok(other) => {
                    self.wrong(
                        name,
                        format!("the JSON text of {}, not of a list", kind(&other)),
                        hint,
                    );
                    return None;
                }
                Err(error) => {
                    self.wrong(name, format!("text that is no JSON list ({error})"), hint);
                    return None;
                }
            },
            Some(value) => value,
            None => {
                self.wrong(name, if self.has(name) { "null" } else { "missing" }, hint);
                return None;
            }
        };
        let Value::Array(items) = value else {
            self.wrong(name, format!("{} where a list is wanted", kind(&value)), hint);
            return None;
        };
        let mut texts = Vec::with_capacity(items.len());
        for item in items {
            match item {
                Value::String(text) => texts.push(text),
                other => {
                    self.wrong(
                        name,
                        format!("the list holds {}, not only text", kind(&other)),
                        hint,
                    );
                    return None;
                }
            }
        }
        Some(texts)
    }
}

/// At most 80 characters of a text, control characters made visible, for messages.
pub(super) fn short(text: &str) -> String {
    let mut out: String = text
        .chars()
        .take(80)
        .flat_map(|c| match c {
            c if c.is_control() => c.escape_default().collect::<Vec<_>>(),
            c => vec![c],
        })
        .collect();
    if text.chars().nth(80).is_some() {
        out.push('…');
    }
    out
}
