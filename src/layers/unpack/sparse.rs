//! Maps of sparse files: which extents of a file the stream holds.

/// Offset and length of a part of a file.
pub(super) type Extent = (u64, u64);

/// A file with holes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sparse {
    /// Offset and length of each extent, in order, none touching another's bytes.
    pub(super) extents: Vec<Extent>,
    /// The file's size, holes included.
    pub(super) size: u64,
}

impl Sparse {
    /// Checks a map against the number of bytes the stream holds for it.
    pub(super) fn new(extents: Vec<Extent>, size: u64, stored: u64) -> Result<Self, &'static str> {
        let mut end = 0;
        let mut sum = 0_u64;
        for &(offset, length) in &extents {
            if offset < end {
                return Err("the extents of a sparse file overlap");
            }
            end = offset.checked_add(length).ok_or("a sparse extent is too large")?;
            sum = sum.checked_add(length).ok_or("the sparse extents are too large")?;
        }
        if end > size {
            return Err("an extent lies behind the end of its sparse file");
        }
        if sum != stored {
            return Err("the extents of a sparse file do not add up to what the stream holds");
        }
        Ok(Self { extents, size })
    }
}

/// Numbers of text, as pairs.
pub(super) fn pairs(numbers: &[u64]) -> Result<Vec<Extent>, &'static str> {
    if numbers.len() % 2 == 1 {
        return Err("a sparse map has a number too few");
    }
    Ok(numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}

/// A decimal number without sign.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}
