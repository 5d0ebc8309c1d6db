//! Users of a sandbox, by the sandbox's own `/etc/passwd` and `/etc/group`. No library of the image
//! is loaded for it, and its files are only read as text.

use super::proto::{At, Fault};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::Read as _;

/// Largest file of users that is read.
const LARGEST: u64 = 4 << 20;

/// Who a command runs as.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// User.
    pub(super) uid: u32,
    /// Main group.
    pub(super) gid: u32,
    /// Further groups.
    pub(super) groups: Vec<u32>,
    /// Home directory.
    pub(super) home: String,
}

/// Finds a user by `name`, `uid`, and, after a colon, a group by name or number.
pub(super) fn identify(user: &str) -> Result<Identity, Fault> {
    if matches!(user, "" | "0" | "root") {
        return Ok(Identity { uid: 0, gid: 0, groups: Vec::new(), home: "/root".to_owned() });
    }
    find(user, &read("/etc/passwd"), &read("/etc/group"))
        .ok_or(Errno::NOENT)
        .at(format!("find user `{user}`"))
}

fn find(user: &str, passwd: &str, group: &str) -> Option<Identity> {
    let (user, wanted_group) = match user.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (user, None),
    };
    let number = user.parse::<u32>().ok();
    let entry = passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, _, home, ..] = fields[..] else { return None };
        let uid: u32 = uid.parse().ok()?;
        (name == user || number == Some(uid)).then(|| Some((name, uid, gid.parse().ok()?, home)))?
    });
    let (name, uid, gid, home) = match (entry, number) {
        (Some(entry), _) => entry,
        (None, Some(number)) => ("", number, 0, "/"),
        (None, None) => return None,
    };
    let groups = group.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, gid, members, ..] = fields[..] else { return None };
        Some((name, gid.parse::<u32>().ok()?, members))
    });
    let (gid, groups) = match wanted_group {
        Some(wanted) => {
            let by_name = groups.clone().find(|(name, ..)| *name == wanted).map(|(_, gid, _)| gid);
            (by_name.or_else(|| wanted.parse().ok())?, Vec::new())
        }
        None => {
            let member = |members: &str| members.split(',').any(|member| member == name);
            let further = groups.filter(|(_, _, members)| !name.is_empty() && member(members));
            (gid, further.map(|(_, gid, _)| gid).take(64).collect())
        }
    };
    Some(Identity { uid, gid, groups, home: home.to_owned() })
}

/// The text of a file of the sandbox; nothing if it is not a plain file of sound size.
fn read(path: &str) -> String {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let Ok(file) = rustix::fs::open(path, flags, Mode::empty()) else { return String::new() };
    match rustix::fs::fstat(&file) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => {}
        _ => return String::new(),
    }
    let mut bytes = Vec::new();
    match File::from(file).take(LARGEST).read_to_end(&mut bytes) {
        Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\nbad line\nann:x:1000:1001:,,,:/home/ann:/bin/sh\n";
    const GROUP: &str = "root:x:0:\nann:x:1001:\nstaff:x:50:bob,ann\n";

    #[test]
    fn users_are_found_by_name_and_number() {
        let ann = find("ann", PASSWD, GROUP).unwrap();
        assert_eq!((ann.uid, ann.gid, ann.home.as_str()), (1000, 1001, "/home/ann"));
        assert_eq!(ann.groups, [50]);
        assert_eq!(find("1000", PASSWD, GROUP).unwrap(), ann);
        let staff = find("ann:staff", PASSWD, GROUP).unwrap();
        assert_eq!((staff.gid, staff.groups.len()), (50, 0));
        let unknown = find("7:8", PASSWD, GROUP).unwrap();
        assert_eq!((unknown.uid, unknown.gid, unknown.home.as_str()), (7, 8, "/"));
        assert_eq!(find("nobody-here", PASSWD, GROUP), None);
        assert_eq!(find("ann:nogroup", PASSWD, GROUP), None);
    }
}
