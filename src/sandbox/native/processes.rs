//! Signals to many processes of a sandbox at once, sent by its pid 1.

use rustix::process::{Pid, Signal};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// How long stopped processes may take to stop.
const STOPPING: Duration = Duration::from_secs(10);

/// How often they are told to before anybody looks whether they have: looking takes long where there
/// are many.
const ROUNDS: u32 = 16;

/// A process as its `/proc/<pid>/stat` tells.
struct Seen {
    parent: i32,
    session: i32,
    state: u8,
}

/// Sends `signal` to the tree of `pid`. With no other command running that is every process but
/// pid 1, whatever it did to hide; else those that descend from it or are in its session. What has
/// left both is ended with the sandbox.
pub(super) fn signal_tree(pid: Pid, signal: Signal, others: &[i32]) {
    if others.is_empty() {
        super::sys::kill_everyone(signal.as_raw());
        return;
    }
    let mut sent = HashSet::new();
    // What is born while the first round goes on is found by a later one.
    for _ in 0..8 {
        let seen = all();
        let mut new = 0;
        for (process, about) in &seen {
            let ours = about.session == pid.as_raw_pid() || descends(&seen, *process, pid);
            if ours && about.state != b'Z' && sent.insert(*process) {
                new += 1;
                if let Some(process) = Pid::from_raw(*process) {
                    let _ = rustix::process::kill_process(process, signal);
                }
            }
        }
        if new == 0 || signal != Signal::KILL {
            return;
        }
    }
}

fn descends(seen: &HashMap<i32, Seen>, process: i32, ancestor: Pid) -> bool {
    let mut at = process;
    for _ in 0..seen.len() + 1 {
        if at == ancestor.as_raw_pid() {
            return true;
        }
        match seen.get(&at) {
            Some(about) if about.parent > 1 => at = about.parent,
            _ => return false,
        }
    }
    false
}

/// Stops every process but pid 1 and waits until they stand. Returns those that had been stopped
/// before, and whether all stand now.
pub(super) fn stop_all() -> (HashSet<i32>, bool) {
    let before = all();
    let stopped = before.iter().filter(|(_, about)| about.state == b'T').map(|(pid, _)| *pid);
    let stopped = stopped.collect();
    let started = Instant::now();
    loop {
        // Again and again: those that still go may let others go on.
        for _ in 0..ROUNDS {
            super::sys::kill_everyone(Signal::STOP.as_raw());
            std::thread::sleep(Duration::from_micros(50));
        }
        if all_stand(&all()) {
            return (stopped, true);
        }
        if started.elapsed() > STOPPING {
            return (stopped, false);
        }
    }
}

/// Lets every process go on but pid 1, which does, and those that had been stopped before.
pub(super) fn let_go_on(stopped: &HashSet<i32>) {
    for pid in all().into_keys().filter(|pid| *pid != 1 && !stopped.contains(pid)) {
        if let Some(pid) = Pid::from_raw(pid) {
            let _ = rustix::process::kill_process(pid, Signal::CONT);
        }
    }
}

/// Whether nothing moves but pid 1. A process that waits for its child of `vfork` does not until the
/// child does.
fn all_stand(seen: &HashMap<i32, Seen>) -> bool {
    let stands = |state| matches!(state, b'T' | b't' | b'Z' | b'X');
    seen.keys().filter(|pid| **pid != 1).all(|pid| {
        let waits = || seen.values().any(|child| child.parent == *pid && stands(child.state));
        states(*pid).into_iter().all(|state| stands(state) || (state == b'D' && waits()))
    })
}

/// The states of all threads of a process: its own is that of its first thread alone.
fn states(pid: i32) -> Vec<u8> {
    let threads = fs_err::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let stats = threads.filter_map(|thread| fs_err::read(thread.path().join("stat")).ok());
    stats.filter_map(|stat| parse(&String::from_utf8_lossy(&stat))).map(|seen| seen.state).collect()
}

/// Every process of the sandbox.
fn all() -> HashMap<i32, Seen> {
    let Ok(entries) = fs_err::read_dir("/proc") else { return HashMap::new() };
    entries
        .filter_map(|entry| {
            let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = fs_err::read(format!("/proc/{pid}/stat")).ok()?;
            Some((pid, parse(&String::from_utf8_lossy(&stat))?))
        })
        .collect()
}

/// The name stands in parentheses and may hold anything, parentheses too.
fn parse(stat: &str) -> Option<Seen> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let parent = fields.next()?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    Some(Seen { parent, session, state })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_mislead() {
        let seen = parse("12 (a) R 9 (b) S 4 5 6 0 -1 4194304").unwrap();
        assert_eq!((seen.state, seen.parent, seen.session), (b'S', 4, 6));
        assert!(parse("12 (").is_none());
    }
}
