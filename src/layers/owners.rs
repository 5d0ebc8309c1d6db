//! True owners and modes of a layer's files, written down beside it where they are not on disk.

use super::unpack::Owner;
use super::{StoreError, names};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::Path;

/// The file, beside `fs`.
const FILE: &str = "owners.jsonl";

/// One line of the file.
#[derive(Serialize, Deserialize)]
struct Line {
    path: String,
    #[serde(flatten)]
    owner: Owner,
}

/// Writes the owners of a layer in the directory that holds its `fs`; none: no file.
pub(super) fn write(directory: &Path, owners: &BTreeMap<Vec<u8>, Owner>) -> Result<(), StoreError> {
    if owners.is_empty() {
        return Ok(());
    }
    let mut file = BufWriter::new(fs_err::File::create(directory.join(FILE))?);
    for (path, owner) in owners {
        let parts: Vec<_> = path.split(|&byte| byte == b'/').map(names::encode).collect();
        let line = Line { path: parts.join("/"), owner: *owner };
        serde_json::to_writer(&mut file, &line).map_err(std::io::Error::from)?;
        file.write_all(b"\n")?;
    }
    Ok(file.flush()?)
}

/// Reads what [`write()`] wrote, by path.
pub(super) fn read(directory: &Path) -> Result<BTreeMap<Vec<u8>, Owner>, StoreError> {
    let path = directory.join(FILE);
    let file = match fs_err::File::open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        other => other?,
    };
    let damaged = |why: String| StoreError::Damaged { path: path.clone(), why };
    let mut owners = BTreeMap::new();
    for line in BufReader::new(file).lines() {
        let line: Line =
            serde_json::from_str(&line?).map_err(|error| damaged(error.to_string()))?;
        let name = names::decode(&line.path).ok_or_else(|| damaged("a name is damaged".into()))?;
        owners.insert(name, line.owner);
    }
    Ok(owners)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_come_back_whatever_the_names() {
        let directory = tempfile::tempdir().unwrap();
        let owner = Owner { uid: 1000, gid: 70_000, mode: 0o4755 };
        let owners: BTreeMap<_, _> =
            [(b"a/b%c".to_vec(), owner), (b"\xff\n/.x".to_vec(), owner)].into();
        write(directory.path(), &owners).unwrap();
        assert_eq!(read(directory.path()).unwrap(), owners);
    }
}
