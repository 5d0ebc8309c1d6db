//! `image_assets` of a row: files to stage before the tests run.

use super::fields::{Fields, short};
use super::read::kind;
use crate::model::{Asset, AssetSource};
use serde_json::{Map, Value};
use std::path::{Component, Path};

const FIELD: &str = "image_assets";
const HINT: &str =
    "write {\"test_patch\": [{\"path\": \"…\", \"url\": \"https://…\"}]}, or its JSON text";

/// Takes the files to stage. Those of `problem_statement` are for the agent and are left out.
pub(super) fn take(row: &mut Fields<'_>) -> Vec<Asset> {
    let value = match row.value(FIELD) {
        None => return Vec::new(),
        Some(Value::String(text)) if text.trim().is_empty() => return Vec::new(),
        Some(Value::String(text)) => match serde_json::from_str(&text) {
            Ok(value) => value,
            Err(error) => {
                row.wrong(FIELD, format!("text that is no JSON ({error})"), HINT);
                return Vec::new();
            }
        },
        Some(value) => value,
    };
    let groups = match value {
        Value::Null => return Vec::new(),
        Value::Object(groups) => groups,
        other => {
            row.wrong(FIELD, format!("{} where an object is wanted", kind(&other)), HINT);
            return Vec::new();
        }
    };
    // The incumbent restores those of the tests first, then those of the reference solution.
    let mut assets = Vec::new();
    for group in ["test_patch", "patch"] {
        match groups.get(group) {
            None | Some(Value::Null) => {}
            Some(Value::Array(items)) => {
                assets.extend(items.iter().filter_map(|item| asset(row, group, item)));
            }
            Some(other) => {
                let what = format!("{} where a list is wanted", kind(other));
                row.wrong(&format!("{FIELD}.{group}"), what, HINT);
            }
        }
    }
    assets
}

fn asset(row: &mut Fields<'_>, group: &str, item: &Value) -> Option<Asset> {
    let field = format!("{FIELD}.{group}");
    let Value::Object(item) = item else {
        // A bare address: where it goes is the last part of its path, if it is one of the work
        // tree; the rows known name such addresses for the reader alone.
        let what = format!("{} without a path cannot be staged", kind(item));
        row.wrong(&field, what, HINT);
        return None;
    };
    let path = text(row, &field, item, "path")?;
    if !stays_below(&path) {
        let what = format!("the path `{}` leaves the work tree", short(&path));
        row.wrong(&field, what, "write a relative path without `..`");
        return None;
    }
    if item.contains_key("file") {
        let file = text(row, &field, item, "file")?;
        return file_of(row, &field, &file).map(|source| Asset { path, source });
    }
    let url = text(row, &field, item, "url")?;
    if !(url.starts_with("https://") || url.starts_with("http://")) {
        let what = format!("`{}` is no http or https address", short(&url));
        row.wrong(&field, what, HINT);
        return None;
    }
    Some(Asset { path, source: AssetSource::Url(url) })
}

/// A file that comes with the rows: relative to the folder of their file, and below it.
fn file_of(row: &mut Fields<'_>, field: &str, file: &str) -> Option<AssetSource> {
    let folder = row.path().parent().unwrap_or(Path::new("."));
    if !stays_below(file) {
        let what = format!("the file `{}` is not in the folder of the rows", short(file));
        row.wrong(field, what, "write a relative path without `..`");
        return None;
    }
    let full = folder.join(file);
    if !full.is_file() {
        row.wrong(field, format!("no such file: {}", full.display()), "");
        return None;
    }
    Some(AssetSource::File(std::path::absolute(&full).unwrap_or(full)))
}

fn text(row: &mut Fields<'_>, field: &str, item: &Map<String, Value>, key: &str) -> Option<String> {
    match item.get(key) {
        Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
        Some(other) => {
            row.wrong(field, format!("`{key}` is {}", kind(other)), HINT);
            None
        }
        None => {
            row.wrong(field, format!("an entry has no `{key}`"), HINT);
            None
        }
    }
}

/// Whether a path names something below the folder it starts from.
fn stays_below(path: &str) -> bool {
    !path.is_empty()
        && !path.contains('\0')
        && Path::new(path)
            .components()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
        && Path::new(path).file_name().is_some()
}
