//! Tar entries with any field free to lie.

/// One entry, with any field free to lie.
#[derive(Clone, Debug)]
pub(super) struct Raw {
    pub(super) name: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) flag: u8,
    pub(super) mode: u32,
    pub(super) uid: Vec<u8>,
    pub(super) size: Option<Vec<u8>>,
    pub(super) content: Vec<u8>,
    pub(super) bad_checksum: bool,
}

pub(super) fn raw(flag: u8, name: impl AsRef<[u8]>) -> Raw {
    Raw {
        name: name.as_ref().to_vec(),
        link: Vec::new(),
        flag,
        mode: 0o644,
        uid: b"0000000\0".to_vec(),
        size: None,
        content: Vec::new(),
        bad_checksum: false,
    }
}

pub(super) fn file(name: impl AsRef<[u8]>, content: &str) -> Raw {
    Raw { content: content.into(), ..raw(b'0', name) }
}

pub(super) fn directory(name: &str) -> Raw {
    Raw { mode: 0o755, ..raw(b'5', name) }
}

pub(super) fn symlink(name: &str, target: impl AsRef<[u8]>) -> Raw {
    Raw { link: target.as_ref().to_vec(), ..raw(b'2', name) }
}

pub(super) fn hard_link(name: &str, target: impl AsRef<[u8]>) -> Raw {
    Raw { link: target.as_ref().to_vec(), ..raw(b'1', name) }
}

/// An extended header with these records.
pub(super) fn pax(records: &[(&str, &[u8])]) -> Raw {
    let mut content = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let length = (rest + 1..).find(|length| rest + length.to_string().len() == *length);
        content.extend_from_slice(format!("{} {key}=", length.unwrap()).as_bytes());
        content.extend_from_slice(value);
        content.push(b'\n');
    }
    Raw { content, ..raw(b'x', "pax") }
}

impl Raw {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut block = [0_u8; 512];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &self.name[..self.name.len().min(100)]);
        put(100, format!("{:07o}", self.mode).as_bytes());
        put(108, &self.uid);
        put(116, b"0000000\0");
        match &self.size {
            Some(size) => put(124, size),
            None => put(124, format!("{:011o}", self.content.len()).as_bytes()),
        }
        put(136, b"14000000000\0");
        put(156, &[self.flag]);
        put(157, &self.link[..self.link.len().min(100)]);
        put(257, b"ustar\x0000");
        put(148, b"        ");
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        let sum = if self.bad_checksum { sum + 1 } else { sum };
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        let mut bytes = block.to_vec();
        bytes.extend_from_slice(&self.content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }
}

pub(super) fn archive(entries: &[Raw]) -> Vec<u8> {
    let mut bytes: Vec<u8> = entries.iter().flat_map(Raw::bytes).collect();
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}
