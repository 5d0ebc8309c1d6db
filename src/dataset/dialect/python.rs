//! Lists that a relative wrote with Python's `repr`.

use crate::dataset::fields::{Fields, short};
use crate::dataset::read::kind;
use serde_json::Value;

/// Takes a list of texts: a list, its JSON text, or its text in Python.
pub(super) fn list(row: &mut Fields<'_>, name: &str) -> Option<Vec<String>> {
    let hint = "write a list of texts, its JSON text, or its text in Python";
    let there = row.has(name);
    let items = match row.value(name) {
        Some(Value::Array(items)) => items,
        Some(Value::String(text)) => match serde_json::from_str(&text) {
            Ok(Value::Array(items)) => items,
            _ => match literal(&text) {
                Some(items) => items.into_iter().map(Value::String).collect(),
                None => {
                    row.wrong(name, format!("`{}` is no list of texts", short(&text)), hint);
                    return None;
                }
            },
        },
        Some(other) => {
            row.wrong(name, format!("{} where a list is wanted", kind(&other)), hint);
            return None;
        }
        None => {
            row.wrong(name, if there { "null" } else { "missing" }, hint);
            return None;
        }
    };
    let mut texts = Vec::with_capacity(items.len());
    for item in items {
        match item {
            Value::String(text) => texts.push(text),
            other => {
                row.wrong(name, format!("the list holds {}, not only text", kind(&other)), hint);
                return None;
            }
        }
    }
    Some(texts)
}

/// The texts of a list (or tuple) of string literals.
pub(super) fn literal(text: &str) -> Option<Vec<String>> {
    let text = text.trim();
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let inner = inner.or_else(|| text.strip_prefix('(').and_then(|text| text.strip_suffix(')')))?;
    let mut texts = Vec::new();
    let mut rest = inner.trim_start();
    while !rest.is_empty() {
        let (one, behind) = string(rest)?;
        texts.push(one);
        rest = behind.trim_start();
        match rest.strip_prefix(',') {
            Some(behind) => rest = behind.trim_start(),
            None if rest.is_empty() => {}
            None => return None,
        }
    }
    Some(texts)
}

/// A string literal and what stands behind it.
fn string(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let mut out = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            _ if c == quote => return Some((out, &text[at + 1..])),
            '\n' => return None,
            '\\' => match chars.next()?.1 {
                'n' => out.push('\n'),
                't' => out.push('\t'),
                'r' => out.push('\r'),
                '\n' => {}
                'x' => out.push(code(&mut chars, 2)?),
                'u' => out.push(code(&mut chars, 4)?),
                'U' => out.push(code(&mut chars, 8)?),
                c @ ('\\' | '\'' | '"') => out.push(c),
                // Python keeps what is no escape.
                c => {
                    out.push('\\');
                    out.push(c);
                }
            },
            c => out.push(c),
        }
    }
    None
}

fn code(chars: &mut impl Iterator<Item = (usize, char)>, digits: usize) -> Option<char> {
    let text: String = chars.take(digits).map(|(_, c)| c).collect();
    let plain = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    char::from_u32(u32::from_str_radix(&text, 16).ok().filter(|_| plain)?)
}
