//! The entries of a tar stream, one after the other, with their content.

use super::entry::{Entry, Kind, Pax};
use super::header::{self, BLOCK, Header};
use super::sparse::{self, Extent, Sparse};
use super::{Caps, UnpackError};
use std::io::{self, Read};

/// Bytes of one extended header, long name or sparse map; Go's reader has the same bound.
const MAX_EXTENDED: u64 = 1 << 20;

/// Extents of one sparse file.
const MAX_EXTENTS: usize = 1 << 20;

/// Reads entries; the content of the last one can be read until the next is asked for.
pub(super) struct TarStream<R> {
    reader: R,
    caps: Caps,
    /// Bytes read so far.
    at: u64,
    /// Bytes of content not read yet.
    left: u64,
    /// Bytes between the content and the next header.
    padding: u64,
}

/// What headers before an entry's own said of it.
#[derive(Default)]
struct Before {
    pax: Option<Pax>,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl<R: Read> TarStream<R> {
    pub(super) fn new(reader: R, caps: Caps) -> Self {
        Self { reader, caps, at: 0, left: 0, padding: 0 }
    }

    /// The next entry; `None` at the end of the archive.
    pub(super) fn next_entry(&mut self) -> Result<Option<Entry>, UnpackError> {
        let mut before = Before::default();
        let mut headers = 0;
        loop {
            self.skip_content()?;
            let Some(block) = self.header_block()? else {
                return Ok(None);
            };
            headers += 1;
            if headers > 64 {
                return Err(self.malformed("too many extended headers stand before an entry"));
            }
            let header = Header::new(&block).map_err(|why| self.malformed(why))?;
            match header.type_flag() {
                b'x' => {
                    let records = self.extended(&header)?;
                    before.pax = Some(Pax::parse(&records).map_err(|why| self.malformed(why))?);
                }
                // Said of all entries after it: comments, by all writers known.
                b'g' => drop(self.extended(&header)?),
                b'L' => before.name = Some(until_nul(self.extended(&header)?)),
                b'K' => before.link = Some(until_nul(self.extended(&header)?)),
                _ => return self.entry(&header, before).map(Some),
            }
        }
    }

    /// Reads content of the last entry; 0 at its end.
    pub(super) fn read_content(&mut self, buffer: &mut [u8]) -> Result<usize, UnpackError> {
        let want = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if want == 0 {
            return Ok(0);
        }
        let read = self.read_some(&mut buffer[..want])?;
        if read == 0 {
            return Err(UnpackError::Truncated { at: self.at });
        }
        self.left -= read as u64;
        Ok(read)
    }

    /// Where in the stream the next byte of content is.
    pub(super) fn position(&self) -> u64 {
        self.at
    }

    /// Reads to the end of the stream, whatever stands behind the archive: whoever takes a digest
    /// of the stream needs all of it.
    pub(super) fn drain(&mut self) -> Result<(), UnpackError> {
        let mut buffer = [0; 8192];
        while self.read_some(&mut buffer)? > 0 {}
        Ok(())
    }

    fn entry(&mut self, header: &Header<'_>, before: Before) -> Result<Entry, UnpackError> {
        let pax = before.pax.unwrap_or_default();
        let at = self.at;
        let bad = |why| UnpackError::Malformed { at, why };
        let path = before.name.or(pax.path).unwrap_or_else(|| header.name());
        let path = pax.sparse_name.unwrap_or(path);
        let kind = Kind::new(header.type_flag(), &path);
        let mut stored = 0;
        if Kind::has_content(header.type_flag()) {
            stored = match pax.size {
                Some(size) => size,
                None => header.size().map_err(bad)?,
            };
            if stored > self.caps.bytes {
                return Err(UnpackError::Cap { what: "bytes", limit: self.caps.bytes });
            }
        }
        let mut entry = Entry {
            path,
            link: before.link.or(pax.link).unwrap_or_else(|| header.link()),
            kind,
            mode: header.mode().map_err(bad)?,
            uid: pax.uid.map_or_else(|| header.uid(), Ok).map_err(bad)?,
            gid: pax.gid.map_or_else(|| header.gid(), Ok).map_err(bad)?,
            mtime: pax
                .mtime
                .map_or_else(|| header.mtime().map(|mtime| (mtime, 0)), Ok)
                .map_err(bad)?,
            stored,
            xattrs: pax.xattrs,
            sparse: None,
        };
        let mut extents = None;
        if header.type_flag() == b'S' && kind == Kind::File {
            extents = Some(self.old_sparse(header)?);
        }
        self.left = stored;
        self.padding = padding(stored);
        if kind == Kind::File && pax.sparse_inline {
            let map = self.inline_map()?;
            extents = Some((map, pax.sparse_size.unwrap_or(0)));
        } else if let (Kind::File, Some(size)) = (kind, pax.sparse_size) {
            let map = sparse::pairs(&pax.sparse_map).map_err(|why| self.malformed(why))?;
            extents = Some((map, size));
        }
        if let Some((extents, size)) = extents {
            let sparse = Sparse::new(extents, size, self.left);
            entry.sparse = Some(sparse.map_err(|why| self.malformed(why))?);
            entry.stored = self.left;
        }
        Ok(entry)
    }

    /// The extents of a GNU sparse file: in its header and the blocks after it.
    fn old_sparse(&mut self, header: &Header<'_>) -> Result<(Vec<Extent>, u64), UnpackError> {
        let (mut extents, mut more, size) = header.sparse().map_err(|why| self.malformed(why))?;
        while more {
            let mut block = [0; BLOCK];
            self.read_full(&mut block)?;
            let (further, another) =
                header::more_extents(&block).map_err(|why| self.malformed(why))?;
            extents.extend(further);
            more = another;
            if extents.len() > MAX_EXTENTS {
                return Err(self.malformed("a sparse file has too many extents"));
            }
        }
        Ok((extents, size))
    }

    /// The map that stands before the content: decimal numbers, one a line, in whole blocks. The
    /// first is the number of pairs after it.
    fn inline_map(&mut self) -> Result<Vec<Extent>, UnpackError> {
        let mut numbers: Vec<u64> = Vec::new();
        let mut line = Vec::new();
        let mut wanted = None;
        while wanted.is_none_or(|wanted| numbers.len() < wanted) {
            let mut block = [0; BLOCK];
            if self.left < BLOCK as u64 {
                return Err(self.malformed("a sparse map does not end"));
            }
            self.read_full(&mut block)?;
            self.left -= BLOCK as u64;
            for byte in block {
                if wanted.is_some_and(|wanted| numbers.len() == wanted) {
                    break;
                }
                if byte != b'\n' {
                    line.push(byte);
                    continue;
                }
                let number = sparse::decimal(&line);
                let number =
                    number.ok_or_else(|| self.malformed("a sparse map holds no number"))?;
                line.clear();
                if wanted.is_some() {
                    numbers.push(number);
                } else {
                    let pairs = usize::try_from(number).ok().filter(|&n| n <= MAX_EXTENTS);
                    let pairs = pairs.ok_or_else(|| self.malformed("a sparse map is too long"))?;
                    wanted = Some(2 * pairs);
                }
            }
            if line.len() > 32 {
                return Err(self.malformed("a sparse map holds no number"));
            }
        }
        sparse::pairs(&numbers).map_err(|why| self.malformed(why))
    }

    /// The content of an extended header.
    fn extended(&mut self, header: &Header<'_>) -> Result<Vec<u8>, UnpackError> {
        let size = header.size().map_err(|why| self.malformed(why))?;
        if size > MAX_EXTENDED {
            return Err(UnpackError::Cap {
                what: "bytes in an extended header",
                limit: MAX_EXTENDED,
            });
        }
        let mut content = vec![0; usize::try_from(size).expect("it is at most a megabyte")];
        self.read_full(&mut content)?;
        self.left = 0;
        self.padding = padding(size);
        Ok(content)
    }

    /// The next header block; `None` at the end: two blocks of zeros, or the stream's end where a
    /// header would begin.
    fn header_block(&mut self) -> Result<Option<[u8; BLOCK]>, UnpackError> {
        let mut block = [0; BLOCK];
        let mut zeros = 0;
        loop {
            let read = self.read_up_to(&mut block)?;
            if read == 0 {
                return Ok(None);
            }
            if read < BLOCK {
                return Err(UnpackError::Truncated { at: self.at });
            }
            if block.iter().any(|&byte| byte != 0) {
                if zeros > 0 {
                    return Err(self.malformed("a single block of zeros stands before a header"));
                }
                return Ok(Some(block));
            }
            zeros += 1;
            if zeros == 2 {
                return Ok(None);
            }
        }
    }

    fn skip_content(&mut self) -> Result<(), UnpackError> {
        let mut buffer = [0; 8192];
        let mut skip = self.left + self.padding;
        (self.left, self.padding) = (0, 0);
        while skip > 0 {
            let want = usize::try_from(skip).unwrap_or(usize::MAX).min(buffer.len());
            let read = self.read_some(&mut buffer[..want])?;
            if read == 0 {
                return Err(UnpackError::Truncated { at: self.at });
            }
            skip -= read as u64;
        }
        Ok(())
    }

    fn read_full(&mut self, buffer: &mut [u8]) -> Result<(), UnpackError> {
        if self.read_up_to(buffer)? < buffer.len() {
            return Err(UnpackError::Truncated { at: self.at });
        }
        Ok(())
    }

    /// Fills the buffer as far as the stream goes.
    fn read_up_to(&mut self, buffer: &mut [u8]) -> Result<usize, UnpackError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read_some(&mut buffer[filled..])? {
                0 => break,
                read => filled += read,
            }
        }
        Ok(filled)
    }

    /// One read of the stream, counted against the cap.
    fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize, UnpackError> {
        let read = loop {
            match self.reader.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(UnpackError::Truncated { at: self.at });
                }
                other => break other.map_err(UnpackError::Read)?,
            }
        };
        self.at += read as u64;
        if self.at > self.caps.bytes {
            return Err(UnpackError::Cap { what: "bytes", limit: self.caps.bytes });
        }
        Ok(read)
    }

    fn malformed(&self, why: impl Into<String>) -> UnpackError {
        UnpackError::Malformed { at: self.at, why: why.into() }
    }
}

/// Content fills whole blocks.
fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

/// A long name ends at its first NUL.
fn until_nul(mut name: Vec<u8>) -> Vec<u8> {
    if let Some(end) = name.iter().position(|&byte| byte == 0) {
        name.truncate(end);
    }
    name
}
