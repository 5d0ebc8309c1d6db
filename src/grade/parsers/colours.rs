//! Output meant for a terminal.

use super::pattern;
use std::borrow::Cow;

/// Without the escape sequences of terminals.
pub(super) fn without_colours(text: &str) -> Cow<'_, str> {
    if memchr::memchr(0x1b, text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    pattern!(r"\x1B(?:[@-Z\\-_]|\[[0-?]*[ -/]*[@-~])").replace_all(text, "")
}
