//! One entry of a tar stream, with what extended headers say of it.

use super::sparse::{self, Sparse};

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    Symlink,
    HardLink,
    Fifo,
    Device,
    Unknown,
}

impl Kind {
    /// Reads a type flag. A name that ends in `/` made a directory before there were types.
    pub(super) fn new(flag: u8, name: &[u8]) -> Self {
        match flag {
            0 | b'0' | b'7' | b'S' if name.ends_with(b"/") => Self::Directory,
            0 | b'0' | b'7' | b'S' => Self::File,
            b'1' => Self::HardLink,
            b'2' => Self::Symlink,
            b'3' | b'4' => Self::Device,
            b'5' => Self::Directory,
            b'6' => Self::Fifo,
            _ => Self::Unknown,
        }
    }

    /// Whether content follows a header with this flag, as long as its size says: links,
    /// directories and the like have none, whatever size they state.
    pub(super) fn has_content(flag: u8) -> bool {
        !matches!(flag, b'1'..=b'6')
    }
}

/// One entry.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) path: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) kind: Kind,
    /// Permission bits.
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
    /// Seconds and nanoseconds since 1970.
    pub(super) mtime: (i64, u32),
    /// Bytes of content in the stream.
    pub(super) stored: u64,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse: Option<Sparse>,
}

impl Entry {
    /// Bytes of the file it makes.
    pub(super) fn size(&self) -> u64 {
        self.sparse.as_ref().map_or(self.stored, |sparse| sparse.size)
    }
}

/// What a PAX header says of the entry after it.
#[derive(Debug, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<(i64, u32)>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// `GNU.sparse.name`: the true name of a sparse file.
    pub(super) sparse_name: Option<Vec<u8>>,
    /// The true size of a sparse file.
    pub(super) sparse_size: Option<u64>,
    /// The map of a sparse file, in numbers (formats 0.0 and 0.1).
    pub(super) sparse_map: Vec<u64>,
    /// The map stands before the content (format 1.0).
    pub(super) sparse_inline: bool,
}

impl Pax {
    /// Reads the records of a header: `length key=value\n`, one after the other.
    pub(super) fn parse(mut records: &[u8]) -> Result<Self, String> {
        let mut pax = Self::default();
        while !records.is_empty() {
            let space = records.iter().take(20).position(|&byte| byte == b' ');
            let space = space.ok_or("a record of an extended header has no length")?;
            let length = sparse::decimal(&records[..space])
                .and_then(|length| usize::try_from(length).ok())
                .filter(|&length| length > space + 2 && length <= records.len())
                .ok_or("the length of an extended header's record is wrong")?;
            let (record, rest) = records.split_at(length);
            records = rest;
            let body = record[space + 1..]
                .strip_suffix(b"\n")
                .ok_or("a record of an extended header does not end in a line feed")?;
            let equals = body.iter().position(|&byte| byte == b'=');
            let equals = equals.ok_or("a record of an extended header has no `=`")?;
            pax.record(&body[..equals], &body[equals + 1..])?;
        }
        Ok(pax)
    }

    fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        let number = || {
            sparse::decimal(value).ok_or_else(|| format!("`{}` is no number", key.escape_ascii()))
        };
        let name = || {
            if value.contains(&0) {
                return Err("a name of an extended header holds a NUL".to_owned());
            }
            Ok((!value.is_empty()).then(|| value.to_vec()))
        };
        match key {
            b"path" => self.path = name()?,
            b"linkpath" => self.link = name()?,
            b"size" if !value.is_empty() => self.size = Some(number()?),
            b"uid" if !value.is_empty() => self.uid = Some(number()?),
            b"gid" if !value.is_empty() => self.gid = Some(number()?),
            b"mtime" if !value.is_empty() => {
                self.mtime = Some(time(value).ok_or("a time is no number")?);
            }
            b"GNU.sparse.name" => self.sparse_name = name()?,
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.sparse_size = Some(number()?),
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => self.sparse_map.push(number()?),
            b"GNU.sparse.map" => {
                self.sparse_map = value
                    .split(|&byte| byte == b',')
                    .map(|text| sparse::decimal(text).ok_or("a sparse map holds no number"))
                    .collect::<Result<_, _>>()?;
            }
            b"GNU.sparse.major" => self.sparse_inline = number()? == 1,
            _ => {
                if let Some(attribute) = key.strip_prefix(b"SCHILY.xattr.")
                    && !attribute.is_empty()
                    && !attribute.contains(&0)
                {
                    self.xattrs.push((attribute.to_vec(), value.to_vec()));
                }
            }
        }
        Ok(())
    }
}

/// Seconds with an optional sign and fraction.
fn time(text: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let negative = whole.starts_with('-');
    let seconds: i64 = whole.parse().ok()?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanos: u32 = digits.parse().ok()?;
    if negative && nanos > 0 {
        return Some((seconds.checked_sub(1)?, 1_000_000_000 - nanos));
    }
    Some((seconds, nanos))
}

#[cfg(test)]
mod tests {
    use super::{Pax, time};

    #[test]
    fn records_are_read_by_their_length() {
        let pax = Pax::parse(b"13 path=a\nb=c\n22 SCHILY.xattr.user.x=\n").unwrap_err();
        assert!(pax.contains("length") || pax.contains("line feed"), "{pax}");
        let pax = Pax::parse(b"14 path=a\nb=c\n13 uid=70000\n").unwrap();
        assert_eq!(pax.path.as_deref(), Some(&b"a\nb=c"[..]));
        assert_eq!(pax.uid, Some(70000));
        for bad in [&b"4 a=\n"[..], b"99 path=a\n", b"x path=a\n", b"10 path=ab", b"8 path\n\n\n"] {
            assert!(Pax::parse(bad).is_err(), "{}", bad.escape_ascii());
        }
        assert!(Pax::parse(b"11 path=a\0b\n").is_err());
    }

    #[test]
    fn times_before_1970_have_positive_fractions() {
        assert_eq!(time(b"1.5"), Some((1, 500_000_000)));
        assert_eq!(time(b"-1.25"), Some((-2, 750_000_000)));
        assert_eq!(time(b"-0.5"), Some((-1, 500_000_000)));
        assert_eq!(time(b"x"), None);
    }
}
