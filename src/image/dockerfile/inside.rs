//! What an image holds where files are put into it: what stands at a path, who a name is.

use super::place::{How, Item};
use super::tree;
use crate::sandbox::{Content, Sandbox, SandboxError};
use bytes::Bytes;
use std::collections::{BTreeSet, HashMap};

/// Largest `/etc/passwd` that is read.
const LARGEST_PASSWD: u64 = 4 << 20;

/// What stands where something will go: true for a directory.
pub(super) async fn look(
    sandbox: &dyn Sandbox,
    how: &How,
    items: &[Item],
) -> Result<HashMap<Vec<u8>, Option<bool>>, SandboxError> {
    let mut wanted = BTreeSet::from([tree::plain(how.to.as_bytes())]);
    for item in items.iter().filter(|_| how.parents) {
        let to = tree::plain(how.to.as_bytes());
        wanted.insert(tree::join(&to, &item.from));
    }
    let mut found = HashMap::new();
    for path in wanted {
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        let ends: Vec<usize> = ends.chain([path.len()]).filter(|end| *end > 0).collect();
        let mut missing = false;
        for end in ends {
            let part = &path[..end];
            // In what is not there nothing is.
            let is = if missing { None } else { kind_of(sandbox, part).await? };
            missing = is.is_none();
            found.insert(part.to_vec(), is);
        }
    }
    Ok(found)
}

/// Whether a directory or a file is there. Links are followed.
async fn kind_of(sandbox: &dyn Sandbox, path: &[u8]) -> Result<Option<bool>, SandboxError> {
    let path = format!("/{}", String::from_utf8_lossy(path));
    match sandbox.copy_out(&path, 0).await {
        Ok(Content::Tar(_)) => Ok(Some(true)),
        Ok(Content::File { .. }) | Err(SandboxError::TooLarge { .. }) => Ok(Some(false)),
        Err(SandboxError::Path { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// `user` or `user:group`, by name or number, as numbers. A named user alone brings its group; a
/// number alone is the group's number too.
pub(super) async fn numbers(
    sandbox: &dyn Sandbox,
    owner: &str,
) -> Result<(u64, u64), SandboxError> {
    let (user, group) = match owner.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (owner, None),
    };
    let (uid, own_group) = match user.parse() {
        Ok(number) => (number, number),
        Err(_) => {
            let fields = entry(sandbox, user, "/etc/passwd").await?;
            (numeric(&fields, 2)?, numeric(&fields, 3)?)
        }
    };
    let gid = match group.map(|group| (group, group.parse())) {
        None => own_group,
        Some((_, Ok(number))) => number,
        Some((name, Err(_))) => numeric(&entry(sandbox, name, "/etc/group").await?, 2)?,
    };
    Ok((uid, gid))
}

fn numeric(fields: &[String], at: usize) -> Result<u64, SandboxError> {
    fields.get(at).and_then(|field| field.parse().ok()).ok_or_else(|| SandboxError::Path {
        path: "/etc".to_owned(),
        why: format!("the entry `{}` has no number in field {}", fields.join(":"), at + 1),
    })
}

/// The fields of a line of `/etc/passwd` or `/etc/group`.
async fn entry(sandbox: &dyn Sandbox, name: &str, file: &str) -> Result<Vec<String>, SandboxError> {
    let bytes = match sandbox.copy_out(file, LARGEST_PASSWD).await {
        Ok(Content::File { bytes, .. }) => bytes,
        Ok(Content::Tar(_)) | Err(SandboxError::Path { .. }) => Bytes::new(),
        Err(error) => return Err(error),
    };
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().find(|line| line.split(':').next() == Some(name));
    let line = line.ok_or_else(|| SandboxError::Path {
        path: file.to_owned(),
        why: format!("it has no entry for `{name}`"),
    })?;
    Ok(line.split(':').map(str::to_owned).collect())
}
