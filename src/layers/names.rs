//! Arbitrary bytes as file names and as JSON text, and image names in one form.

use std::fmt::Write as _;

/// Bytes as text of printable ASCII without `/` and `%`: everything else is `%XX`.
pub(super) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for (at, &byte) in bytes.iter().enumerate() {
        let plain = byte.is_ascii_graphic() && byte != b'%' && byte != b'/';
        if plain && !(at == 0 && byte == b'.') {
            text.push(char::from(byte));
        } else {
            write!(text, "%{byte:02X}").expect("writing to a String cannot fail");
        }
    }
    text
}

/// The bytes that [`encode`] made this text of.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let mut byte = [0];
        hex::decode_to_slice(tail.get(..2)?, &mut byte).ok()?;
        bytes.push(byte[0]);
        rest = &tail[2..];
    }
    Some(bytes)
}

/// An image name as users and rows write it, in one form: without Docker's default registry and
/// its `library/`, with `:latest` where it names neither tag nor digest.
pub(super) fn canonical(name: &str) -> String {
    let name = name.trim();
    let name = name.strip_prefix("docker.io/").unwrap_or(name);
    let name = name.strip_prefix("index.docker.io/").unwrap_or(name);
    let name = name.strip_prefix("library/").unwrap_or(name);
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.contains(':') || last.contains('@') {
        name.to_owned()
    } else {
        format!("{name}:latest")
    }
}

#[cfg(test)]
mod tests {
    use super::{canonical, decode, encode};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_name_comes_back(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let text = encode(&bytes);
            prop_assert!(!text.contains('/') && !text.starts_with('.'));
            prop_assert_eq!(decode(&text), Some(bytes));
        }
    }

    #[test]
    fn one_image_has_one_name() {
        for name in
            ["python", "docker.io/python", "docker.io/library/python:latest", "python:latest"]
        {
            assert_eq!(canonical(name), "python:latest", "{name}");
        }
        assert_eq!(canonical("localhost:5000/a/b"), "localhost:5000/a/b:latest");
        assert_eq!(canonical("a/b@sha256:00"), "a/b@sha256:00");
    }
}
