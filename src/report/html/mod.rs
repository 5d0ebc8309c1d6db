//! A run as one page of HTML that needs nothing else: no network, no other file.
//!
//! What models and logs say is data. The page's own text is escaped by the templates; all that belongs
//! to single instances is compressed and encoded in base64, so that nothing of it can be read as
//! markup, and the page's script puts it in by `textContent` alone. A policy in the page's head allows
//! no other script or style than the two of the page, by their digests.

pub(super) mod charts;
mod data;
mod page;
mod timeline;

pub use page::html;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

pub(super) const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// The policy for a page with these as its only style and script.
pub(super) fn policy(style: &str, script: &str) -> String {
    format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; img-src data:; base-uri 'none'; \
         form-action 'none'",
        source(style),
        source(script)
    )
}

/// How a policy names a text.
fn source(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}
