//! What processes that died left behind: found, and removed.

use super::zygote::NAME;
use super::{cgroup, quota};
use crate::layers::remove_tree;
use rustix::process::{Pid, Signal};
use std::io;
use std::path::{Path, PathBuf};

/// One thing that is left of a process that is no more.
enum Leftover {
    Directory(PathBuf),
    Cgroup(PathBuf),
    Process(i32),
}

/// Names this process as no other is ever named: its pid, and when it started in clock ticks since
/// the machine did.
pub(super) fn own_name() -> io::Result<String> {
    let pid = std::process::id();
    match start_time(pid) {
        Some(start) => Ok(format!("{pid}-{start}")),
        None => Err(io::ErrorKind::NotFound.into()),
    }
}

fn start_time(pid: u32) -> Option<u64> {
    let stat = fs_err::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may hold anything.
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// Whether the process that a name begins with (`<pid>-<start>`, perhaps more) lives. A name that
/// is none of ours is left alone.
fn owner_lives(name: &str) -> bool {
    let mut parts = name.split('-');
    let pid = parts.next().and_then(|pid| pid.parse::<u32>().ok());
    let start = parts.next().and_then(|start| start.parse::<u64>().ok());
    match (pid, start) {
        (Some(pid), Some(start)) => start_time(pid) == Some(start),
        _ => true,
    }
}

/// What dead processes left of sandboxes, in words: directories below `home`, cgroups, processes,
/// and mounts that show their directories.
#[must_use]
pub fn leaks(home: &Path) -> Vec<String> {
    let mut found: Vec<String> = leftovers(home)
        .iter()
        .map(|leftover| match leftover {
            Leftover::Directory(path) => format!("directory {}", path.display()),
            Leftover::Cgroup(path) => format!("cgroup {}", path.display()),
            Leftover::Process(pid) => format!("process {pid} ({NAME})"),
        })
        .collect();
    let sandboxes = home.join("sandboxes-v1");
    let mounts = fs_err::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let shown = sandboxes.to_string_lossy().into_owned();
    found.extend(
        mounts
            .lines()
            .filter(|line| line.contains(&shown))
            .map(|line| format!("mount {}", line.split(' ').nth(4).unwrap_or(line))),
    );
    found
}

/// Removes what dead processes left; returns how many things.
pub(super) fn sweep(home: &Path) -> usize {
    let gone = leftovers(home).into_iter().filter(|leftover| match leftover {
        Leftover::Process(pid) => Pid::from_raw(*pid)
            .is_some_and(|pid| rustix::process::kill_process(pid, Signal::KILL).is_ok()),
        Leftover::Cgroup(path) => cgroup::clear(path).is_ok(),
        Leftover::Directory(path) => {
            quota::lift(path);
            remove_tree(path).is_ok()
        }
    });
    gone.count()
}

/// Processes first: they hold the others.
fn leftovers(home: &Path) -> Vec<Leftover> {
    let mut found: Vec<Leftover> = orphans().into_iter().map(Leftover::Process).collect();
    let cgroups = cgroup::all().into_iter().filter(|(_, owner)| !owner_lives(owner));
    found.extend(cgroups.map(|(path, _)| Leftover::Cgroup(path)));
    let entries = fs_err::read_dir(home.join("sandboxes-v1")).into_iter().flatten().flatten();
    let dead = entries.filter(|entry| !entry.file_name().to_str().is_none_or(owner_lives));
    found.extend(dead.map(|entry| Leftover::Directory(entry.path())));
    found
}

/// Zygotes, and sandboxes' first processes, whose parent is not one that would have them: a
/// zygote's is a process that is not a zygote and not the machine's first; a sandbox's is a zygote.
/// Our own user's only.
fn orphans() -> Vec<i32> {
    let Ok(entries) = fs_err::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| is_ours(*pid) && parent(*pid).is_some_and(|parent| parent <= 1)).collect()
}

fn is_ours(pid: i32) -> bool {
    let command = fs_err::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut words = command.split(|byte| *byte == 0);
    words.next() == Some(NAME.as_bytes()) && words.next() == Some(b"sealed")
}

fn parent(pid: i32) -> Option<i32> {
    let stat = fs_err::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_living_are_told_from_the_dead() {
        let own = own_name().unwrap();
        assert!(owner_lives(&own));
        assert!(owner_lives(&format!("{own}-7")));
        let (pid, start) = own.split_once('-').unwrap();
        let later: u64 = start.parse::<u64>().unwrap() + 1;
        assert!(!owner_lives(&format!("{pid}-{later}-0")), "a pid that was used again");
        assert!(owner_lives("somebody-elses"), "what is not ours is left alone");
    }
}
