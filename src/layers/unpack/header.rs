//! The 512-byte blocks of tar: fields, numbers, checksum.

use super::sparse::Extent;

/// The size of a block.
pub(super) const BLOCK: usize = 512;

/// One header block whose checksum is right.
pub(super) struct Header<'a>(&'a [u8; BLOCK]);

impl<'a> Header<'a> {
    /// Takes a block as a header.
    pub(super) fn new(block: &'a [u8; BLOCK]) -> Result<Self, String> {
        let stated = octal(&block[148..156]).ok_or("its checksum is no number")?;
        let (mut unsigned, mut signed) = (0_i64, 0_i64);
        for (at, &byte) in block.iter().enumerate() {
            let byte = if (148..156).contains(&at) { b' ' } else { byte };
            unsigned += i64::from(byte);
            // Old writers summed signed characters.
            signed += i64::from(byte.cast_signed());
        }
        let stated = i64::try_from(stated).map_err(|_| "its checksum is too large")?;
        if stated != unsigned && stated != signed {
            return Err("a header's checksum is wrong".to_owned());
        }
        Ok(Self(block))
    }

    /// The kind of entry, as written.
    pub(super) fn type_flag(&self) -> u8 {
        self.0[156]
    }

    /// The name, with its prefix where the format has one.
    pub(super) fn name(&self) -> Vec<u8> {
        let name = until_nul(&self.0[..100]);
        let prefix = if self.is_posix() { until_nul(&self.0[345..500]) } else { &[] };
        if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
    }

    /// The target of a link.
    pub(super) fn link(&self) -> Vec<u8> {
        until_nul(&self.0[157..257]).to_vec()
    }

    /// Permission bits.
    pub(super) fn mode(&self) -> Result<u32, String> {
        let mode = unsigned(&self.0[100..108]).ok_or("a mode is no number")?;
        Ok(u32::try_from(mode & 0o7777).expect("twelve bits fit"))
    }

    /// The owner.
    pub(super) fn uid(&self) -> Result<u64, String> {
        unsigned(&self.0[108..116]).ok_or_else(|| "a user id is no number".to_owned())
    }

    /// The owning group.
    pub(super) fn gid(&self) -> Result<u64, String> {
        unsigned(&self.0[116..124]).ok_or_else(|| "a group id is no number".to_owned())
    }

    /// Bytes of content.
    pub(super) fn size(&self) -> Result<u64, String> {
        unsigned(&self.0[124..136]).ok_or_else(|| "a size is no number".to_owned())
    }

    /// Time of the last change, in seconds since 1970.
    pub(super) fn mtime(&self) -> Result<i64, String> {
        number(&self.0[136..148]).ok_or_else(|| "a time is no number".to_owned())
    }

    /// GNU sparse (type `S`): up to four extents, whether blocks of more follow, the file's size.
    pub(super) fn sparse(&self) -> Result<(Vec<Extent>, bool, u64), String> {
        let extents = extents(&self.0[386..482])?;
        let size = unsigned(&self.0[483..495]).ok_or("a sparse file's size is no number")?;
        Ok((extents, self.0[482] != 0, size))
    }

    fn is_posix(&self) -> bool {
        &self.0[257..263] == b"ustar\0"
    }
}

/// A block of more extents of a GNU sparse file, and whether another follows.
pub(super) fn more_extents(block: &[u8; BLOCK]) -> Result<(Vec<Extent>, bool), String> {
    Ok((extents(&block[..504])?, block[504] != 0))
}

/// Pairs of offset and length, twelve bytes each, up to the first that is empty.
fn extents(bytes: &[u8]) -> Result<Vec<Extent>, String> {
    let mut extents = Vec::new();
    for pair in bytes.chunks_exact(24) {
        if pair[0] == 0 {
            break;
        }
        let read = |field| unsigned(field).ok_or("a sparse extent is no number");
        extents.push((read(&pair[..12])?, read(&pair[12..])?));
    }
    Ok(extents)
}

/// The bytes before the first NUL.
fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or_default()
}

fn unsigned(field: &[u8]) -> Option<u64> {
    u64::try_from(number(field)?).ok()
}

/// A number: octal text, or binary where the first bit is set.
fn number(field: &[u8]) -> Option<i64> {
    let (&first, rest) = field.split_first()?;
    if first & 0x80 == 0 {
        return octal(field).and_then(|number| i64::try_from(number).ok());
    }
    let negative = first & 0x40 != 0;
    let mut value = i128::from(first & 0x3f);
    if negative {
        value -= 0x40;
    }
    for &byte in rest {
        value = value.checked_mul(256)? + i128::from(byte);
    }
    i64::try_from(value).ok()
}

/// Octal digits with spaces or NULs around; nothing but those is 0.
fn octal(field: &[u8]) -> Option<u64> {
    let blank = |byte: &u8| *byte == b' ' || *byte == 0;
    let start = field.iter().position(|byte| !blank(byte)).unwrap_or(field.len());
    let digits = &field[start..];
    let end = digits.iter().position(blank).unwrap_or(digits.len());
    if !digits[end..].iter().all(blank) && !digits[end..].starts_with(b"\0") {
        return None;
    }
    digits[..end].iter().try_fold(0_u64, |value, &digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_are_octal_or_binary() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"   644 \0"), Some(0o644));
        assert_eq!(number(b"\0\0\0\0\0\0\0\0"), Some(0));
        assert_eq!(number(b"77777777"), Some(0o77_777_777));
        assert_eq!(number(b"12a\0\0\0\0\0"), None);
        assert_eq!(number(b"\x80\0\0\0\0\0\x01\0"), Some(256));
        assert_eq!(number(b"\xff\xff\xff\xff\xff\xff\xff\xff"), Some(-1));
        assert_eq!(number(b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), None);
    }
}
