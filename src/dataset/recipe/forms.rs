//! The forms that single values of a recipe have.

use std::path::{Component, Path, PathBuf};

/// `path` without `.` and without `x/..`, as far as names go.
pub(super) fn lexically(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir
                if matches!(out.components().next_back(), Some(Component::Normal(_))) =>
            {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

/// A name or version as Debian and Python write them.
pub(super) fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "._+-".contains(c))
}

/// `name==version`.
pub(super) fn is_pin(text: &str) -> bool {
    text.split_once("==").is_some_and(|(name, version)| is_word(name) && is_word(version))
}

/// `3.11`.
pub(super) fn is_python(text: &str) -> bool {
    text.split_once('.').is_some_and(|(major, minor)| {
        let digits =
            |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        digits(major) && digits(minor)
    })
}
