//! Sizes as people write them.

use serde::Deserialize;
use toml::Value;

/// A number of bytes, or no limit. Written `4G`, `512M`, `1048576` or `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
pub(in crate::cli) struct Size(pub(in crate::cli) Option<u64>);

impl TryFrom<Value> for Size {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match &value {
            Value::Integer(bytes) => u64::try_from(*bytes).ok(),
            Value::String(text) if text.trim() == "none" => return Ok(Self(None)),
            Value::String(text) => parse(text),
            _ => None,
        }
        .filter(|bytes| *bytes > 0)
        .map(|bytes| Self(Some(bytes)))
        .ok_or_else(|| format!("{value} is no size; write \"4G\", \"512M\", bytes, or \"none\""))
    }
}

fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1u64 << 40,
        _ => return None,
    };
    match digits.split_once('.') {
        None => digits.trim().parse::<u64>().ok()?.checked_mul(unit),
        Some((whole, part)) => {
            let whole: u64 = whole.parse().ok()?;
            let scale = 10u64.checked_pow(u32::try_from(part.len()).ok()?)?;
            let part: u64 = part.parse().ok()?;
            whole.checked_mul(unit)?.checked_add(part.checked_mul(unit)? / scale)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in
            [("4G", 4 << 30), ("512M", 512 << 20), ("1.5k", 1536), ("17", 17), ("2 GiB", 2 << 30)]
        {
            let size = Size::try_from(Value::String(text.to_owned()));
            assert_eq!(size, Ok(Size(Some(bytes))), "{text}");
        }
        assert_eq!(Size::try_from(Value::String("none".into())), Ok(Size(None)));
        for text in ["", "G", "-1", "4X", "1.G", "99999999999T", "0"] {
            assert!(Size::try_from(Value::String(text.to_owned())).is_err(), "{text}");
        }
    }
}
