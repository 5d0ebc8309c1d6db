//! Writes tar: ustar headers, with PAX records for what does not fit them.

use std::io::{self, Read, Write};

const BLOCK: usize = 512;

/// One entry's header.
pub(super) struct Meta<'a> {
    /// The name; directories end in `/`.
    pub(super) path: &'a [u8],
    /// `0` file, `1` hard link, `2` symbolic link, `5` directory, `6` pipe.
    pub(super) flag: u8,
    /// The target of a link.
    pub(super) link: &'a [u8],
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Seconds and nanoseconds since 1970.
    pub(super) mtime: (i64, u32),
    pub(super) size: u64,
    pub(super) xattrs: &'a [(Vec<u8>, Vec<u8>)],
}

/// Writes entries.
pub(super) struct TarWriter<W> {
    writer: W,
}

impl<W: Write> TarWriter<W> {
    pub(super) fn new(writer: W) -> Self {
        Self { writer }
    }

    /// Writes a header; of a file, [`content`](Self::content) must follow.
    pub(super) fn header(&mut self, meta: &Meta<'_>) -> io::Result<()> {
        let records = records(meta);
        if !records.is_empty() {
            let extended = Meta {
                path: b"PaxHeaders/entry",
                flag: b'x',
                link: b"",
                mode: 0o644,
                uid: 0,
                gid: 0,
                mtime: (0, 0),
                size: records.len() as u64,
                xattrs: &[],
            };
            self.writer.write_all(&block(&extended))?;
            self.writer.write_all(&records)?;
            self.pad(records.len() as u64)?;
        }
        self.writer.write_all(&block(meta))
    }

    /// Writes the content of a file: exactly `size` bytes, whatever became of the file meanwhile.
    pub(super) fn content(&mut self, reader: impl Read, size: u64) -> io::Result<()> {
        let copied = io::copy(&mut reader.take(size), &mut self.writer)?;
        io::copy(&mut io::repeat(0).take(size - copied), &mut self.writer)?;
        self.pad(size)
    }

    /// Writes the end of the archive.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.writer.write_all(&[0; 2 * BLOCK])?;
        self.writer.flush()
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        let padding =
            usize::try_from(size.wrapping_neg() % BLOCK as u64).expect("it is less than a block");
        self.writer.write_all(&[0; BLOCK][..padding])
    }
}

/// PAX records for what a header block cannot hold.
fn records(meta: &Meta<'_>) -> Vec<u8> {
    let mut records = Vec::new();
    if meta.path.len() > 100 {
        record(&mut records, b"path", meta.path);
    }
    if meta.link.len() > 100 {
        record(&mut records, b"linkpath", meta.link);
    }
    for (name, id) in [("uid", meta.uid), ("gid", meta.gid)] {
        if id > 0o7_777_777 {
            record(&mut records, name.as_bytes(), id.to_string().as_bytes());
        }
    }
    if meta.size > 0o77_777_777_777 {
        record(&mut records, b"size", meta.size.to_string().as_bytes());
    }
    let (seconds, nanoseconds) = meta.mtime;
    if nanoseconds != 0 || !(0..=0o77_777_777_777).contains(&seconds) {
        record(&mut records, b"mtime", time(seconds, nanoseconds).as_bytes());
    }
    for (name, value) in meta.xattrs {
        record(&mut records, &[b"SCHILY.xattr.", name.as_slice()].concat(), value);
    }
    records
}

/// Seconds with a fraction; `-2` and `750000000` are `-1.25`.
fn time(seconds: i64, nanoseconds: u32) -> String {
    if seconds < 0 && nanoseconds > 0 {
        let sign = if seconds == -1 { "-0" } else { "" };
        let whole = seconds + 1;
        let whole = if whole == 0 { String::new() } else { whole.to_string() };
        return format!("{sign}{whole}.{:09}", 1_000_000_000 - nanoseconds);
    }
    if nanoseconds == 0 { seconds.to_string() } else { format!("{seconds}.{nanoseconds:09}") }
}

/// `length key=value\n`, where the length counts itself.
fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(length.to_string().as_bytes());
    records.push(b' ');
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

/// A ustar header block; what does not fit is cut, and PAX records say it.
fn block(meta: &Meta<'_>) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    put(&mut block[..100], meta.path);
    octal(&mut block[100..108], u64::from(meta.mode));
    octal(&mut block[108..116], u64::from(meta.uid));
    octal(&mut block[116..124], u64::from(meta.gid));
    octal(&mut block[124..136], meta.size);
    octal(&mut block[136..148], u64::try_from(meta.mtime.0).unwrap_or(0));
    block[156] = meta.flag;
    put(&mut block[157..257], meta.link);
    block[257..265].copy_from_slice(b"ustar\x0000");
    block[148..156].fill(b' ');
    let sum: u64 = block.iter().map(|&byte| u64::from(byte)).sum();
    octal(&mut block[148..155], sum);
    block
}

fn put(field: &mut [u8], bytes: &[u8]) {
    let length = bytes.len().min(field.len());
    field[..length].copy_from_slice(&bytes[..length]);
}

/// Digits that fill the field but for a NUL; too large a number becomes the largest.
fn octal(field: &mut [u8], number: u64) {
    let digits = field.len() - 1;
    let largest = (1_u64 << (3 * digits)) - 1;
    let text = format!("{:0digits$o}", number.min(largest));
    put(field, text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::{record, time};

    #[test]
    fn a_record_counts_itself() {
        for length in [1, 80, 90, 91, 92, 93, 94, 95, 985, 990, 995] {
            let mut records = Vec::new();
            record(&mut records, b"path", &vec![b'x'; length]);
            let space = records.iter().position(|&byte| byte == b' ').unwrap();
            let stated: usize = std::str::from_utf8(&records[..space]).unwrap().parse().unwrap();
            assert_eq!(stated, records.len());
        }
    }

    #[test]
    fn times_before_1970_are_written_as_they_are_read() {
        assert_eq!(time(-2, 750_000_000), "-1.250000000");
        assert_eq!(time(-1, 500_000_000), "-0.500000000");
        assert_eq!(time(-3, 0), "-3");
        assert_eq!(time(7, 1), "7.000000001");
    }
}
