//! Compressed streams, told by their first bytes.

use std::io::{self, BufRead, BufReader, Read};

/// How a stream is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
    /// bzip2.
    Bzip2,
    /// xz.
    Xz,
}

/// Names what the first bytes of a stream begin.
pub(super) fn detect(start: &[u8]) -> Compression {
    // Zstandard's skippable frames (as of eStargz's relative zstd:chunked) begin 0x184D2A5?.
    let skippable =
        start.len() >= 4 && start[0] & 0xf0 == 0x50 && start[1..4] == [0x2a, 0x4d, 0x18];
    if start.starts_with(&[0x1f, 0x8b]) {
        Compression::Gzip
    } else if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) || skippable {
        Compression::Zstd
    } else if start.starts_with(b"BZh") {
        Compression::Bzip2
    } else if start.starts_with(&[0xfd, b'7', b'z', b'X', b'Z', 0]) {
        Compression::Xz
    } else {
        Compression::None
    }
}

/// The stream without its compression, told by its first bytes.
///
/// # Errors
/// It cannot be read.
pub fn reader<'a>(stream: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut buffered = BufReader::with_capacity(64 << 10, stream);
    let start = loop {
        match buffered.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => break other?,
        }
    };
    Ok(match detect(start) {
        Compression::None => Box::new(buffered),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(buffered)),
        Compression::Zstd => Box::new(zstd::Decoder::with_buffer(buffered)?),
        Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(buffered)),
        Compression::Xz => Box::new(liblzma::bufread::XzDecoder::new_multi_decoder(buffered)),
    })
}

#[cfg(test)]
mod tests {
    use super::reader;
    use std::io::{Read as _, Write as _};

    #[test]
    fn every_form_reads_alike() {
        let text = b"some text".repeat(1000);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&text).unwrap();
        let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        bzip2.write_all(&text).unwrap();
        let forms = [
            text.clone(),
            gzip.finish().unwrap(),
            zstd::encode_all(&text[..], 1).unwrap(),
            bzip2.finish().unwrap(),
            liblzma::encode_all(&text[..], 1).unwrap(),
        ];
        for form in forms {
            let mut back = Vec::new();
            reader(&form[..]).unwrap().read_to_end(&mut back).unwrap();
            assert_eq!(back, text);
        }
    }
}
